//! From the names of files to a checked project.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::accounts;
use super::checks;
use super::dotenv::{Dotenv, parse_dotenv};
use super::files::{FileError, FileKind, Files};
use super::interpolate::{Lookup, Variables};
use super::lower::{Reader, lower};
use super::model::Project;
use super::suggest::nearest;
use super::text::{FILE_MAX_BYTES, read_text};
use super::yaml::parse;
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Source, Sources, Span};

/// Names under which a project's file is found, the first one first.
const NAMES: [&str; 2] = ["smolvm.yaml", "smolvm.yml"];

/// What a key or form that this smolvm does not run yet (0011) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `check`: a warning.
    Check,
    /// `up` and `plan`: an error.
    Run,
}

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRequest {
    /// An absolute path.
    Path(PathBuf),
    /// What is to be at an absolute path, whatever is there.
    Text {
        /// The path.
        path: PathBuf,
        /// The bytes in the place of those that are there.
        bytes: Vec<u8>,
    },
    /// A text that was read from standard input, and the absolute folder that its relative paths start at.
    Stdin {
        /// The bytes as read; one more than 1 MiB of them is enough to refuse it.
        bytes: Vec<u8>,
        /// The project's folder.
        folder: PathBuf,
    },
}

/// What to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// Files in the order given; a later one overrides.
    pub files: Vec<FileRequest>,
    /// The current folder, absolute: names of files below it are shown relative to it.
    pub current_folder: PathBuf,
    /// What 0011 means.
    pub mode: Mode,
    /// `-p NAME`: beats `name` of the file.
    pub name: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project, where enough of it could be read to check it. It may be run where `diagnostics` has no error.
    pub project: Option<Project>,
    /// All remarks, sorted by place.
    pub diagnostics: Diagnostics,
    /// The texts that the remarks point into.
    pub sources: Sources,
}

/// Finds `smolvm.yaml`, then `smolvm.yml`, in a folder and upwards.
pub fn find(folder: &Path, files: &dyn Files) -> Option<PathBuf> {
    let mut candidates = folder.ancestors().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    candidates.find(|path| match files.metadata(path) {
        Ok(found) => found.kind != FileKind::Folder,
        // A link that leads nowhere is told, rather than another file taken from above.
        Err(error) => error == FileError::Missing && files.link_metadata(path).is_ok(),
    })
}

/// Reads, lowers and checks.
pub fn load(request: LoadRequest, files: &dyn Files) -> Loaded {
    let mut loader = Loader { request, files, out: Diagnostics::default(), sources: Sources::default() };
    let mut project = loader.first_file();
    loader.other_files();
    if let Some(project) = &mut project {
        project.owners = accounts::resolve_owners(project, files);
        checks::check_all(project, files, &loader.sources, &mut loader.out);
    }
    loader.out.sort();
    Loaded { project, diagnostics: loader.out, sources: loader.sources }
}

struct Loader<'a> {
    request: LoadRequest,
    files: &'a dyn Files,
    out: Diagnostics,
    sources: Sources,
}

impl Loader<'_> {
    fn first_file(&mut self) -> Option<Project> {
        let first = self.request.files.first()?.clone();
        let (file, folder) = self.read(first)?;
        let dotenv = self.dotenv(&folder);
        let text = read_text(file, &self.sources.get(file).bytes, &mut self.out)?;
        let parsed = parse(file, &text, &mut self.out);
        if !parsed.is_complete {
            return None;
        }
        let variables = ProcessAndDotenv { files: self.files, dotenv };
        let mut reader = Reader {
            tree: &parsed.tree,
            variables: &variables,
            files: self.files,
            mode: self.request.mode,
            folder,
            out: &mut self.out,
            mistyped: HashMap::new(),
        };
        let Some(root) = reader.root(file) else {
            let span = Span { file, start: 0, end: 0 };
            self.out.push(
                Diagnostic::new(Code(6), Severity::Error, "the file declares no machine")
                    .label(span, "the file is empty")
                    .help("declare one: `machines: { build: { image: host } }`"),
            );
            return None;
        };
        lower(&mut reader, root, self.request.name.clone())
    }

    /// Files after the first: they must be there, and are not run yet.
    fn other_files(&mut self) {
        for request in self.request.files.clone().into_iter().skip(1) {
            let Some((file, _)) = self.read(request) else { continue };
            let severity = if self.request.mode == Mode::Run { Severity::Error } else { Severity::Warning };
            let span = Span { file, start: 0, end: 0 };
            self.out.push(
                Diagnostic::new(Code(11), severity, "this smolvm does not run several files together yet")
                    .label(span, "this file is not read")
                    .help("give one `-f`"),
            );
        }
    }

    /// Reads a file into the sources; its number and the folder that its paths start at.
    fn read(&mut self, request: FileRequest) -> Option<(FileId, PathBuf)> {
        let (bytes, folder, name, path) = match request {
            FileRequest::Stdin { bytes, folder } => (Ok(bytes), folder, "<stdin>".to_owned(), None),
            FileRequest::Path(path) => {
                (self.files.read(&path, FILE_MAX_BYTES), parent(&path), self.display(&path), Some(path))
            }
            FileRequest::Text { path, bytes } => (Ok(bytes), parent(&path), self.display(&path), Some(path)),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(FileError::TooLong) => vec![0; FILE_MAX_BYTES + 1],
            Err(error) => {
                self.out.push(self.unreadable(&name, path.as_deref(), &error));
                return None;
            }
        };
        if bytes.len() > FILE_MAX_BYTES {
            let file = self.sources.add(Source { name, path, bytes: Vec::new() });
            self.out.push(
                Diagnostic::new(Code(7), Severity::Error, "the file is longer than 1 MiB")
                    .label(Span { file, start: 0, end: 0 }, "nothing of it was read")
                    .help("move long scripts to files of their own, and mount them"),
            );
            return None;
        }
        Some((self.sources.add(Source { name, path, bytes }), folder))
    }

    fn unreadable(&self, name: &str, path: Option<&Path>, error: &FileError) -> Diagnostic {
        let is_link = path.is_some_and(|path| self.files.link_metadata(path).is_ok());
        let message = match error {
            FileError::Missing if is_link => format!("`{name}` is a link that leads nowhere"),
            FileError::Missing => format!("the file `{name}` does not exist"),
            FileError::NotRegular => format!("`{name}` is not a regular file"),
            error => format!("the file `{name}` cannot be read: {error}"),
        };
        let diagnostic = Diagnostic::new(Code(10), Severity::Error, message);
        let Some(path) = path else { return diagnostic };
        if *error == FileError::NotRegular {
            let is_file =
                |inside: &PathBuf| self.files.metadata(inside).is_ok_and(|found| found.kind == FileKind::File);
            let inside = NAMES.map(|name| path.join(name)).into_iter().find(is_file);
            return match inside {
                Some(inside) => diagnostic.help(format!("did you mean `{}`?", self.display(&inside))),
                None => diagnostic.help("name a file, as `-f smolvm.yaml`; `-` is standard input"),
            };
        }
        if is_link && *error == FileError::Missing {
            return diagnostic.help("make what it leads to, or name another with `-f FILE`");
        }
        if *error != FileError::Missing {
            return diagnostic.help("give the right to read it, or name another with `-f FILE`");
        }
        let Some((folder, own)) = path.parent().zip(path.file_name()) else { return diagnostic };
        let names: Vec<String> = self
            .files
            .list(folder)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        match nearest(&own.to_string_lossy(), names.iter().map(String::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean `{}`?", self.display(&folder.join(near)))),
            None => {
                diagnostic.help("name the file with `-f FILE`, or call smolvm in the folder that holds `smolvm.yaml`")
            }
        }
    }

    /// The variables of `.env` beside the first file.
    fn dotenv(&mut self, folder: &Path) -> Dotenv {
        let path = folder.join(".env");
        let bytes = match self.files.read(&path, FILE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(FileError::TooLong) => vec![0; FILE_MAX_BYTES + 1],
            // A folder of that name, as some virtual environments are, is no env file.
            Err(FileError::Missing | FileError::NotRegular) => return Dotenv::default(),
            Err(error) => {
                let message = format!("the file `{}` cannot be read: {error}", self.display(&path));
                let help = "give the right to read it, or move it away";
                self.out.push(Diagnostic::new(Code(304), Severity::Error, message).help(help));
                return Dotenv { is_unreadable: true, ..Dotenv::default() };
            }
        };
        let file = self.sources.add(Source { name: self.display(&path), path: Some(path), bytes });
        parse_dotenv(file, &self.sources.get(file).bytes, &mut self.out)
    }

    fn display(&self, path: &Path) -> String {
        match path.strip_prefix(&self.request.current_folder) {
            Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
            Ok(rest) => rest.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }
}

/// The folder that relative paths of a file start at.
fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// The process environment, then `.env`.
struct ProcessAndDotenv<'a> {
    files: &'a dyn Files,
    dotenv: Dotenv,
}

impl Variables for ProcessAndDotenv<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match self.files.variable(name).or_else(|| self.dotenv.variables.get(name).cloned()) {
            Some(value) => Lookup::Set(value),
            None if self.dotenv.may_say(name) => Lookup::Unknown,
            None => Lookup::Unset,
        }
    }

    fn names(&self) -> Vec<String> {
        self.files.variable_names().into_iter().chain(self.dotenv.variables.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::MemoryFiles;
    use super::super::model::{Command, Image, KernelSource, Needs};
    use super::*;
    use crate::diag::{RenderOptions, render_concise, render_full, render_json};

    /// Much of the language, for texts to be broken.
    const WHOLE: &str = "\u{feff}name: acme # größe\r\nenv: { CI: \"${CI:-false}\" }\nx-rust: &rust\n  image: host\n  \
        cpus: 2\nmachines:\n  build:\n    <<: *rust\n    mounts:\n      - ./src:/code:ro\n      - { source: ./out, \
        target: /output, create: true, owner: invoker }\n  test: *rust\nsteps:\n  - id: compile\n    machine: build\n    \
        run: |\n      make\n    timeout: 10m\n    outputs: [/output/app]\n  - machine: test\n    needs: [compile]\n    \
        run: ['a', \"b\\n\"]\nfinally:\n  - { machine: test, run: dmesg }\n";

    fn load_bytes(bytes: Vec<u8>, files: &MemoryFiles) -> Loaded {
        let request = LoadRequest {
            files: vec![FileRequest::Stdin { bytes, folder: PathBuf::from("/project") }],
            current_folder: PathBuf::from("/project"),
            mode: Mode::Run,
            name: None,
        };
        load(request, files)
    }

    fn project(text: &str) -> Project {
        let files = MemoryFiles::new().folder("/project/src").folder("/project/out").folder("/project/root");
        load_bytes(text.as_bytes().to_vec(), &files).project.expect("can be lowered")
    }

    #[test]
    fn paths_become_absolute_against_the_folder_of_the_file_and_keep_parent_components() {
        let project = project(
            "machines:\n  a:\n    image: dir:root\n    kernel: ./boot/vmlinux\n    modules: ~/mods\n    mounts:\n      - ./src/.:/x/./y/\n      - ../other:/z\nsteps: []\n",
        );
        let machine = &project.machines[0];
        assert_eq!(machine.image.value, Image::Dir(PathBuf::from("/project/root")));
        assert_eq!(machine.kernel.value, KernelSource::Path(PathBuf::from("/project/boot/vmlinux")));
        assert_eq!(machine.modules.as_ref().map(|path| path.value.clone()), Some(PathBuf::from("/home/ada/mods")));
        assert_eq!(machine.mounts[0].source().unwrap().value, PathBuf::from("/project/src"));
        assert_eq!(machine.mounts[0].target.value.as_str(), "/x/y");
        assert_eq!(machine.mounts[1].source().unwrap().value, PathBuf::from("/project/../other"));
    }

    #[test]
    fn steps_take_machine_shell_and_id_from_what_is_around_them() {
        let project = project(
            "machines: { only: { shell: [bash, -eu] } }\nsteps:\n  - run: one\n  - { run: two, shell: python3, needs: [step-1] }\n  - run: [three]\nfinally: [{ run: four }]\n",
        );
        let ids: Vec<&str> = project.steps.iter().chain(&project.finally).map(|step| step.id.value.as_str()).collect();
        assert_eq!(ids, ["step-1", "step-2", "step-3", "finally-1"]);
        assert!(project.steps.iter().all(|step| step.machine.value == "only"));
        let shell = |index: usize| match &project.steps[index].command.value {
            Command::Script { shell, .. } => shell.clone(),
            Command::List(list) => list.clone(),
        };
        assert_eq!(shell(0), ["bash", "-eu"]);
        assert_eq!(shell(1), ["python3"]);
        assert_eq!(shell(2), ["three"]);
        assert_eq!(project.steps[0].needs, Needs::Above);
        assert!(matches!(&project.steps[1].needs, Needs::Explicit(needs) if needs.len() == 1));
    }

    #[test]
    fn scripts_have_line_feeds_whatever_the_file_has() {
        let project = project("machines: { a: }\r\nsteps:\r\n  - run: |\r\n      one\r\n      two\r\n");
        assert!(matches!(&project.steps[0].command.value, Command::Script { text, .. } if text == "one\ntwo\n"));
    }

    #[test]
    fn null_in_env_passes_a_variable_on_where_it_is_set() {
        let files = MemoryFiles::new().variable("TERM", "xterm");
        let text = "env: { A: file, B: file, TERM: , NOT_SET: ~ }\nmachines: { m: { env: { B: machine, N: 1.10 } } }\n";
        let loaded = load_bytes(text.as_bytes().to_vec(), &files);
        let project = loaded.project.expect("can be lowered");
        let pairs = |env: &BTreeMap<String, String>| {
            env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(pairs(&project.env), ["A=file", "B=file", "TERM=xterm"]);
        assert_eq!(pairs(&project.machines[0].env), ["B=machine", "N=1.10"]);
    }

    #[test]
    fn what_is_not_run_yet_warns_in_check_and_is_an_error_in_run() {
        let text = b"machines: { a: { image: alpine } }\nsteps: [{ run: x }]\n".to_vec();
        for (mode, severity) in [(Mode::Check, Severity::Warning), (Mode::Run, Severity::Error)] {
            let request = LoadRequest {
                files: vec![FileRequest::Stdin { bytes: text.clone(), folder: PathBuf::from("/project") }],
                current_folder: PathBuf::from("/"),
                mode,
                name: None,
            };
            let loaded = load(request, &MemoryFiles::new());
            let found = loaded.diagnostics.iter().find(|diagnostic| diagnostic.code == Code(11));
            assert_eq!(found.map(|diagnostic| diagnostic.severity), Some(severity));
        }
    }

    #[test]
    fn missing_file_has_no_label_and_names_the_nearest_one() {
        let files = MemoryFiles::new().file("/project/smolvm.yaml", "x");
        let request = LoadRequest {
            files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yml"))],
            current_folder: PathBuf::from("/project"),
            mode: Mode::Run,
            name: None,
        };
        let loaded = load(request, &files);
        let text = render_concise(&loaded.diagnostics, &loaded.sources, 0);
        assert_eq!(text, "error[SMOL0010]: the file `smolvm.yml` does not exist\n");
        let help = loaded.diagnostics.iter().next().and_then(|diagnostic| diagnostic.help.clone());
        assert_eq!(help.as_deref(), Some("did you mean `smolvm.yaml`?"));
    }

    #[test]
    fn files_over_the_limit_are_not_read() {
        let loaded = load_bytes(vec![b'#'; FILE_MAX_BYTES + 1], &MemoryFiles::new());
        assert_eq!(loaded.diagnostics.iter().map(|one| one.code.0).collect::<Vec<_>>(), [7]);
        let loaded = load_bytes(
            [vec![b'#'; FILE_MAX_BYTES - 20], b"\nmachines: { a: }\n".to_vec()].concat(),
            &MemoryFiles::new(),
        );
        assert_eq!(loaded.diagnostics.iter().filter(|one| one.severity == Severity::Error).count(), 0);
    }

    #[test]
    fn find_looks_upwards_and_prefers_the_long_ending() {
        let files = MemoryFiles::new().file("/a/smolvm.yml", "").file("/a/b/smolvm.yml", "").file("/a/smolvm.yaml", "");
        assert_eq!(find(Path::new("/a/b/c"), &files), Some(PathBuf::from("/a/b/smolvm.yml")));
        assert_eq!(find(Path::new("/a"), &files), Some(PathBuf::from("/a/smolvm.yaml")));
        assert_eq!(find(Path::new("/x"), &files), None);
        let files = files.link("/a/b/c/smolvm.yaml", "nowhere").folder("/a/b/d/smolvm.yaml");
        assert_eq!(find(Path::new("/a/b/c"), &files), Some(PathBuf::from("/a/b/c/smolvm.yaml")));
        assert_eq!(find(Path::new("/a/b/d"), &files), Some(PathBuf::from("/a/b/smolvm.yml")));
    }

    #[test]
    fn name_comes_from_the_request_then_the_file_then_the_folder() {
        let request = |name: Option<&str>, text: &str, folder: &str| LoadRequest {
            files: vec![FileRequest::Stdin { bytes: text.as_bytes().to_vec(), folder: PathBuf::from(folder) }],
            current_folder: PathBuf::from("/"),
            mode: Mode::Run,
            name: name.map(str::to_owned),
        };
        let name = |request| load(request, &MemoryFiles::new()).project.expect("lowered").name;
        let (named, bare) = ("name: own\nmachines: { a: }\n", "machines: { a: }\n");
        assert_eq!(name(request(Some("given"), named, "/My Dir")), "given");
        assert_eq!(name(request(None, named, "/My Dir")), "own");
        assert_eq!(name(request(None, bare, "/x/My Dir.2")), "mydir2");
        assert_eq!(name(request(None, bare, "/x/日本")), "project");
    }

    /// Everything that is done with a file, on bytes that may be anything.
    fn check_any(bytes: Vec<u8>) -> Result<(), TestCaseError> {
        let length = bytes.len();
        let files = MemoryFiles::new().folder("/project/src").folder("/project/out");
        let loaded = load_bytes(bytes, &files);
        for diagnostic in loaded.diagnostics.iter() {
            let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span);
            for span in diagnostic.labels.iter().map(|label| label.span).chain(edits) {
                prop_assert!(span.start <= span.end && span.end <= length, "{diagnostic:?}");
            }
        }
        render_full(&loaded.diagnostics, &loaded.sources, &RenderOptions::default());
        render_full(&loaded.diagnostics, &loaded.sources, &RenderOptions { width: 1, ..RenderOptions::default() });
        render_json(&loaded.diagnostics, &loaded.sources, 0);
        Ok(())
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            check_any(bytes)?;
        }

        #[test]
        fn no_yaml_like_text_panics(text in "([a-c]|é|: |- |\\n|\\n  |\\r\\n|\\{|\\}|\\[|\\]|, |&a |\\*a|<<: |\"|'|\\||>|#|\t|!x |\\$\\{A|machines:|steps:|run: ){0,40}") {
            check_any(text.into_bytes())?;
        }

        #[test]
        fn no_broken_file_panics(edits in proptest::collection::vec((0usize..WHOLE.len(), 0usize..6, "[a-z:{}\\[\\]$&*\"' \n\r\té-]{0,3}"), 0..6)) {
            let mut bytes = WHOLE.as_bytes().to_vec();
            for (at, removed, added) in edits {
                let at = at.min(bytes.len());
                let end = (at + removed).min(bytes.len());
                bytes.splice(at..end, added.into_bytes());
            }
            check_any(bytes)?;
        }
    }
}
