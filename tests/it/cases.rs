//! The corpus of good and bad files: `tests/cases/{valid,invalid}/NAME.yaml`, run through the library.
//!
//! What a bad file is told stands in `NAME.expected`. A case sees the small world of [`world`], what the lines of
//! `NAME.world` add to it, and the files of the folder `NAME.files`; a line `also FILE` of the world gives that file with
//! a further `-f`, `env-file FILE` with `--env-file`. That a form is not run yet (0011) is told apart, by the cases of
//! 0011. A bug report becomes a file here.

use std::fs;
use std::path::{Path, PathBuf};

use smolvm::config::{FileRequest, LoadRequest, Loaded, MemoryFiles, Mode, load};
use smolvm::diag::{Code, Diagnostics, RenderOptions, render_concise, render_full};

const UPDATE: &str = "UPDATE=1 cargo test --test it cases::";

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(kind)
}

pub(crate) fn cases(kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(kind)).expect("the corpus is in the tree");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

/// A project folder with what most files speak of, and what `lines` add.
pub(crate) fn world<'l>(lines: impl Iterator<Item = &'l str>) -> MemoryFiles {
    let mut files = MemoryFiles::new()
        .folder("/project/src")
        .folder("/project/out")
        .folder("/project/data/sub")
        .file("/project/tool.conf", "x")
        .file("/project/vmlinux", vmlinux())
        .folder("/project/rootfs/etc")
        .folder("/project/rootfs/usr/bin")
        .variable("HOME", "/home/ada")
        .variable("CI", "true")
        .variable("EMPTY", "");
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        files = match (word(), word(), word()) {
            ("file", path, content) => files.file(path, content.replace("\\n", "\n")),
            ("folder", path, _) => files.folder(path),
            ("link", path, target) => files.link(path, target),
            ("bzimage", path, _) => files.file(path, bz_image()),
            ("vmlinux", path, _) => files.file(path, vmlinux()),
            ("device", path, _) => files.device(path),
            ("tar", path, names) => {
                files.file(path, MemoryFiles::tar(&names.split(' ').map(|name| (name, 9)).collect::<Vec<_>>()))
            }
            ("gzip", path, _) => files.file(path, [0x1f, 0x8b, 8, 0]),
            // Where an image is that was brought here.
            ("brought", image, path) => files.image_root(image, path),
            // `--locked`: of the request, not of the files.
            ("locked", _, _) => files,
            ("unreadable", path, _) => files.unreadable(path),
            ("unwritable", path, _) => files.unwritable(path),
            ("variable", name, value) => files.variable(name, value),
            ("host", cpus, memory_mib) => files.host(cpus.parse().unwrap(), memory_mib.parse().unwrap()),
            ("taken", address, _) => files.taken(address.parse().unwrap()),
            ("privileged", _, _) => files.privileged(),
            (word, _, _) => panic!("unknown word `{word}` of a world"),
        };
    }
    files
}

/// As much of a packed kernel as tells it from other files.
fn bz_image() -> Vec<u8> {
    let mut bytes = vec![0; 0x1fe];
    bytes.extend([0x55, 0xaa, 0, 0]);
    bytes.extend(b"HdrS");
    bytes
}

/// As much of an unpacked kernel as tells it from other files.
fn vmlinux() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([2, 0, 0x3e, 0]);
    bytes
}

/// The world of a case, and what is to be loaded of it.
pub(crate) fn case(path: &Path, mode: Mode) -> (MemoryFiles, LoadRequest) {
    let project = Path::new("/project");
    let lines = fs::read_to_string(path.with_extension("world")).unwrap_or_default();
    let mut request = LoadRequest {
        files: vec![FileRequest::Path(project.join("smolvm.yaml"))],
        current_folder: project.to_path_buf(),
        mode,
        is_locked: lines.lines().any(|line| line == "locked"),
        ..LoadRequest::default()
    };
    let (options, lines): (Vec<&str>, Vec<&str>) =
        lines.lines().partition(|line| line.starts_with("also ") || line.starts_with("env-file "));
    for line in options {
        match line.split_once(' ').expect("a word and a file") {
            ("also", file) => request.files.push(FileRequest::Path(project.join(file))),
            (_, file) => request.env_files.push(project.join(file)),
        }
    }
    // A test that gives a text of its own needs no case.
    let text = fs::read(path).unwrap_or_default();
    let mut files = world(lines.into_iter()).file("/project/smolvm.yaml", text);
    let companions = path.with_extension("files");
    for found in walk(&companions) {
        let name = found.strip_prefix(&companions).expect("below it");
        files = files.file(project.join(name), fs::read(&found).expect("readable"));
    }
    (files, request)
}

/// The files below a folder; none where there is no such folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

pub(crate) fn run(path: &Path, mode: Mode) -> Loaded {
    let (files, request) = case(path, mode);
    let loaded = load(request, &files);
    let is_about_running = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("0011"));
    if is_about_running { loaded } else { checked(loaded) }
}

/// What is told of the file itself, whether it runs yet or not.
pub(crate) fn checked(mut loaded: Loaded) -> Loaded {
    let mut kept = Diagnostics::default();
    let told = loaded.diagnostics.iter().filter(|one| one.code != Code(11));
    told.for_each(|one| kept.push(one.clone()));
    loaded.diagnostics = kept;
    loaded
}

fn render(loaded: &Loaded) -> String {
    let options = RenderOptions { width: 100, is_color: false, is_unicode: true, max_diagnostics: 0 };
    let concise = render_concise(&loaded.diagnostics, &loaded.sources, 0);
    let full = render_full(&loaded.diagnostics, &loaded.sources, &options);
    let trimmed: Vec<&str> = full.lines().map(str::trim_end).collect();
    format!("{concise}\n{}\n", trimmed.join("\n"))
}

#[test]
fn valid_files_are_told_nothing() {
    for path in cases("valid") {
        let loaded = run(&path, Mode::Run);
        assert!(loaded.diagnostics.is_empty(), "{}:\n{}", path.display(), render(&loaded));
        assert!(loaded.project.is_some(), "{}", path.display());
    }
}

#[test]
fn invalid_files_are_told_every_mistake() {
    let mut stale = Vec::new();
    for path in cases("invalid") {
        let actual = render(&run(&path, Mode::Run));
        assert!(!actual.trim().is_empty(), "{} is told nothing", path.display());
        let expected_path = path.with_extension("expected");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &actual).expect("the tree can be written");
            continue;
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != actual {
            stale.push(format!("{}\n--- expected\n{expected}\n--- actual\n{actual}", path.display()));
        }
    }
    assert!(stale.is_empty(), "{}\nif the new text is right: {UPDATE}", stale.join("\n"));
}

#[test]
fn spans_lie_inside_their_texts_and_labels_begin_with_the_primary_one() {
    for path in cases("invalid") {
        let loaded = run(&path, Mode::Check);
        for diagnostic in loaded.diagnostics.iter() {
            assert!(!diagnostic.message.is_empty() && !diagnostic.message.ends_with('.'), "{diagnostic:?}");
            for label in &diagnostic.labels {
                let length = loaded.sources.get(label.span.file).bytes.len();
                assert!(label.span.start <= label.span.end && label.span.end <= length, "{diagnostic:?}");
            }
        }
    }
}

#[test]
fn every_expected_text_has_its_file() {
    for entry in fs::read_dir(folder("invalid")).expect("the corpus is in the tree") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension != "yaml") {
            assert!(path.with_extension("yaml").exists(), "{} has no case", path.display());
        }
    }
}
