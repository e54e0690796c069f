//! Programs for guests, compiled once a test run, that need nothing of the guest's image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Case, repository};

/// Puts `probe.c` as a program into a folder of the case.
pub(crate) fn with_probe(case: Case, folder: &str) -> Case {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    let probe = PROBE.get_or_init(|| compile("probe", &[repository().join("tests/it/probe.c")]));
    let case = case.folder(folder);
    std::fs::copy(probe, case.project().join(folder).join("probe")).unwrap();
    case
}

/// The program that `files/` makes: checks of a file system.
pub(crate) fn file_checks() -> &'static Path {
    static FILES: OnceLock<PathBuf> = OnceLock::new();
    FILES.get_or_init(|| {
        let entries = std::fs::read_dir(repository().join("tests/it/files")).unwrap();
        let mut sources: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        sources.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
        compile("files", &sources)
    })
}

fn compile(name: &str, sources: &[PathBuf]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiled = Command::new("gcc").args(["-static", "-O1", "-Wall", "-o"]).arg(&path).args(sources).status();
    assert!(compiled.unwrap().success());
    path
}
