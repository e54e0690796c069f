//! The language server, asked by the libraries with which editors ask.

use std::process::Command;

use crate::support::repository;

#[test]
fn an_editor_is_served_from_its_first_word_to_its_last() {
    let npm = repository().join("tests/npm");
    assert!(npm.join("node_modules/vscode-jsonrpc").is_dir(), "run `scripts/setup.sh test`");
    let folder = tempfile::tempdir().unwrap();
    let script = npm.join("lsp.mjs");
    let output =
        Command::new("node").arg(script).arg(env!("CARGO_BIN_EXE_smolvm")).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn standard_input_belongs_to_the_editor() {
    let output = Command::new(env!("CARGO_BIN_EXE_smolvm")).args(["lsp", "-f", "-"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
