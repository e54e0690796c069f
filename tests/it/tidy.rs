//! The rules of the house that no lint knows: sizes, headers, no leftovers, nothing printed from where nothing is printed.

use std::path::{Path, PathBuf};

use crate::support::repository;

/// Longest file of the program, in lines of code before its tests.
const FILE_MAX_LINES: usize = 400;

/// Longest file of tests.
const TEST_FILE_MAX_LINES: usize = 600;

/// Longest function, in lines from its first to its last.
const FUNCTION_MAX_LINES: usize = 70;

/// Where `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &["src/sys/", "src/engine/kvm/", "agent/src/main.rs", "agent/src/sys"];

/// Rust files below a folder of the repository, by their path in it.
pub(crate) fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![repository().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What `tests/npm` installs is not ours.
                open.extend(Some(path).filter(|path| !path.ends_with("node_modules")));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(repository()).unwrap().to_path_buf(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// A file without its inline tests.
pub(crate) fn code_of(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn all() -> Vec<(PathBuf, String)> {
    ["src", "agent/src", "tests"].into_iter().flat_map(rust_files).collect()
}

fn is_test(path: &Path) -> bool {
    let name = path.display().to_string();
    name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("tests.rs")
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in all() {
        assert!(text.starts_with("//! "), "{}: does not begin with `//!`", path.display());
    }
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for (path, text) in all() {
        let lines = code_of(&text).lines().count();
        let limit = if is_test(&path) { TEST_FILE_MAX_LINES } else { FILE_MAX_LINES };
        if lines > limit {
            long.push(format!("{}: {lines} lines, the limit is {limit}", path.display()));
        }
    }
    assert!(long.is_empty(), "look for the seam:\n{}", long.join("\n"));
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    for (path, text) in all().into_iter().filter(|(path, _)| !is_test(path)) {
        let code = code_of(&text);
        let mut start: Option<(usize, usize)> = None;
        for (number, line) in code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let words =
                words.trim_start_matches("pub(super) ").trim_start_matches("const ").trim_start_matches("async ");
            if words.trim_start_matches("unsafe ").starts_with("fn ") {
                start = Some((number, indent));
            } else if let Some((first, indent)) = start
                && line == format!("{}}}", " ".repeat(indent))
            {
                if number - first >= FUNCTION_MAX_LINES {
                    long.push(format!("{}:{}: {} lines", path.display(), first + 1, number - first + 1));
                }
                start = None;
            }
        }
    }
    assert!(long.is_empty(), "functions over {FUNCTION_MAX_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let words = ["TO", "FIX"].map(|start| format!("{start}{}", if start == "TO" { "DO" } else { "ME" }));
    for (path, text) in all() {
        for word in &words {
            assert!(!text.contains(word.as_str()), "{}: holds {word}", path.display());
        }
    }
}

#[test]
fn only_cli_and_report_print() {
    let macros = ["print!(", "println!(", "eprint!(", "eprintln!("];
    for (path, text) in rust_files("src") {
        if path.starts_with("src/cli") || path.starts_with("src/report") {
            continue;
        }
        for (number, line) in code_of(&text).lines().enumerate() {
            let has = macros.iter().any(|name| line.contains(name));
            assert!(!has || line.trim_start().starts_with("//"), "{}:{}: prints", path.display(), number + 1);
        }
    }
}

#[test]
fn unsafe_stays_in_its_rooms() {
    for (path, text) in ["src", "agent/src"].into_iter().flat_map(rust_files) {
        let name = path.display().to_string();
        if UNSAFE_ROOMS.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        let has = text.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with("//") && ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| line.contains(form))
        });
        assert!(!has, "{name}: `unsafe` outside its rooms");
    }
}

#[test]
fn a_module_file_holds_no_logic() {
    for (path, text) in rust_files("src").into_iter().filter(|(path, _)| path.ends_with("mod.rs")) {
        let lines = text.lines().count();
        assert!(lines <= 100, "{}: {lines} lines", path.display());
    }
}
