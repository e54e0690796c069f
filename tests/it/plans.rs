//! The corpus of plans: `tests/cases/plan/NAME.yaml` and the text of its plan in `NAME.expected`. A first line
//! `# select: NAME…` gives the selection.

use std::fs;
use std::path::{Path, PathBuf};

use smolvm::config::{FileRequest, LoadRequest, MemoryFiles, Mode, load};
use smolvm::diag::render_concise;
use smolvm::plan::{HostFacts, Invoker, Selection, build, render_json, render_text};

const UPDATE: &str = "UPDATE=1 cargo test --test it plans::";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/plan");
    let entries = fs::read_dir(folder).expect("the corpus is in the tree");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

fn host() -> HostFacts {
    let invoker = Invoker {
        uid: 1000,
        gid: 1000,
        groups: vec![1000],
        name: Some("ada".to_owned()),
        home: Some(PathBuf::from("/home/ada")),
        is_process_root: false,
    };
    HostFacts { cpus: 4, memory_mib: 8192, invoker }
}

fn selection(text: &str) -> Selection {
    let names = text.lines().next().and_then(|line| line.strip_prefix("# select:"));
    Selection::of(names.unwrap_or_default().split_whitespace())
}

/// The plan of a file as text, or why there is none.
fn plan(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("readable");
    let files = MemoryFiles::new()
        .folder("/project/src")
        .folder("/project/dist")
        .folder("/project/rootfs/usr/bin")
        .folder("/data")
        .variable("HOME", "/home/ada")
        .file("/project/smolvm.yaml", text.clone());
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    let loaded = load(request, &files);
    let remarks = render_concise(&loaded.diagnostics, &loaded.sources, 0);
    assert!(!loaded.diagnostics.has_errors(), "{}: {remarks}", path.display());
    let project = loaded.project.expect("a file without errors gives a project");
    match build(&project, &host(), &selection(&text)) {
        Ok(plan) => {
            check_json(&render_json(&plan));
            render_text(&plan)
        }
        Err(error) => format!("error: {error}\n"),
    }
}

/// Every operation names only operations that stand before it.
fn check_json(text: &str) {
    let value: serde_json::Value = serde_json::from_str(text).expect("the form for programs is JSON");
    assert_eq!(value["version"], 1);
    let mut seen: Vec<&str> = Vec::new();
    for operation in value["operations"].as_array().expect("a list") {
        for before in operation["after"].as_array().expect("a list") {
            assert!(seen.contains(&before.as_str().expect("an id")), "{operation}");
        }
        seen.push(operation["id"].as_str().expect("an id"));
    }
}

#[test]
fn every_plan_reads_as_expected() {
    let paths = cases();
    assert!(!paths.is_empty());
    for path in paths {
        let expected_path = path.with_extension("expected");
        let found = plan(&path);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &found).expect("writable");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        assert_eq!(found, expected, "{}: if the new text is right, run `{UPDATE}`", path.display());
    }
}
