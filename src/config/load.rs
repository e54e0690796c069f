//! From the names of files to a checked project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::checks;
use super::dotenv::parse_dotenv;
use super::files::{FileError, FileKind, Files};
use super::interpolate::{Lookup, Variables};
use super::lower::{Reader, lower};
use super::model::Project;
use super::suggest::nearest;
use super::text::{FILE_MAX_BYTES, read_text};
use super::yaml::parse;
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Source, Sources, Span};

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
    let names = ["smolvm.yaml", "smolvm.yml"];
    let mut candidates = folder.ancestors().flat_map(|folder| names.map(|name| folder.join(name)));
    candidates.find(|path| files.metadata(path).is_ok_and(|metadata| metadata.kind != FileKind::Folder))
}

/// Reads, lowers and checks.
pub fn load(request: LoadRequest, files: &dyn Files) -> Loaded {
    let mut loader = Loader { request, files, out: Diagnostics::default(), sources: Sources::default() };
    let project = loader.first_file();
    loader.other_files();
    if let Some(project) = &project {
        checks::check_all(project, files, loader.request.mode, &mut loader.out);
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
        let variables = ProcessAndDotenv { files: self.files, dotenv, has_matrix: parsed.tree.has_key("matrix") };
        let mut reader = Reader {
            tree: &parsed.tree,
            variables: &variables,
            files: self.files,
            mode: self.request.mode,
            folder,
            out: &mut self.out,
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
                let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
                (self.files.read(&path, FILE_MAX_BYTES), folder, self.display(&path), Some(path))
            }
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
        let message = match error {
            FileError::Missing => format!("the file `{name}` does not exist"),
            FileError::NotRegular => format!("`{name}` is not a regular file"),
            error => format!("the file `{name}` cannot be read: {error}"),
        };
        let diagnostic = Diagnostic::new(Code(10), Severity::Error, message);
        let Some(path) = path.filter(|_| *error == FileError::Missing) else { return diagnostic };
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
    fn dotenv(&mut self, folder: &Path) -> BTreeMap<String, String> {
        let path = folder.join(".env");
        let bytes = match self.files.read(&path, FILE_MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(FileError::TooLong) => vec![0; FILE_MAX_BYTES + 1],
            // A folder of that name, as some virtual environments are, is no env file.
            Err(FileError::Missing | FileError::NotRegular) => return BTreeMap::new(),
            Err(error) => {
                let message = format!("the file `{}` cannot be read: {error}", self.display(&path));
                self.out.push(Diagnostic::new(Code(304), Severity::Error, message));
                return BTreeMap::new();
            }
        };
        let file = self.sources.add(Source { name: self.display(&path), path: Some(path), bytes });
        parse_dotenv(file, &self.sources.get(file).bytes, &mut self.out)
    }

    fn display(&self, path: &Path) -> String {
        path.strip_prefix(&self.request.current_folder).unwrap_or(path).display().to_string()
    }
}

/// The process environment, then `.env`.
struct ProcessAndDotenv<'a> {
    files: &'a dyn Files,
    dotenv: BTreeMap<String, String>,
    /// Whether `MATRIX_…` may be set per machine.
    has_matrix: bool,
}

impl Variables for ProcessAndDotenv<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match self.files.variable(name).or_else(|| self.dotenv.get(name).cloned()) {
            Some(value) => Lookup::Set(value),
            None if self.has_matrix && name.starts_with("MATRIX_") => Lookup::Unknown,
            None => Lookup::Unset,
        }
    }

    fn names(&self) -> Vec<String> {
        self.files.variable_names().into_iter().chain(self.dotenv.keys().cloned()).collect()
    }
}
