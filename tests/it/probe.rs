//! `probe.c`, compiled once a test run: a program for guests that needs nothing of their image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Case, repository};

/// Puts the program into a folder of the case.
pub(crate) fn with_probe(case: Case, folder: &str) -> Case {
    let case = case.folder(folder);
    std::fs::copy(probe(), case.project().join(folder).join("probe")).unwrap();
    case
}

fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
        let source = repository().join("tests/it/probe.c");
        let compiled = Command::new("gcc").args(["-static", "-O1", "-Wall", "-o"]).arg(&path).arg(source).status();
        assert!(compiled.unwrap().success());
        path
    })
}
