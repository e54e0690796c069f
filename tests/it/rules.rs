//! The pages of `docs/rules`: every rule that can be reported has one, and its examples are told what it says.
//!
//! An example sees the world of the corpus, what the `<!-- world: … -->` lines of its page add to it, and a `dotenv`
//! block as the file `.env`. A `console` block names the file with `-f`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use smolvm::config::{FileRequest, LoadRequest, Loaded, Mode, load};
use smolvm::diag::{Code, Rule, Severity, render_concise};

use crate::cases::{cases, checked, run, world};
use crate::docs::{blocks, text};
use crate::support::repository;
use crate::tidy::{code_of, rust_files};

/// Loads the blocks below a heading of a page.
fn load_example(rule: &Rule, heading: &str) -> Loaded {
    let page = rule.text();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{}", rule.code()));
    let section = section.split("\n## ").next().unwrap();
    let declared: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("<!-- world: ")?.strip_suffix(" -->")).collect();
    let mut files = world(declared.iter().copied().filter(|line| !line.starts_with("character ")));
    for content in blocks(section, "dotenv") {
        files = files.file("/project/.env", content);
    }
    let mut name = "smolvm.yaml".to_owned();
    let yaml = blocks(section, "yaml");
    let console = blocks(section, "console");
    assert_eq!(yaml.len() + console.len(), 1, "{}: one example below `{heading}`", rule.code());
    for content in yaml {
        let mut content = content;
        for line in declared.iter().filter_map(|line| line.strip_prefix("character ")) {
            let (shown, meant) = line.split_once(' ').unwrap();
            content = content.replace(shown, &char::from(meant.parse::<u8>().unwrap()).to_string());
        }
        files = files.file("/project/smolvm.yaml", content);
    }
    for line in console {
        name = line.trim_end().strip_prefix("$ smolvm check -f ").unwrap().to_owned();
    }
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project").join(name))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        is_locked: declared.contains(&"locked"),
        ..LoadRequest::default()
    };
    let loaded = load(request, &files);
    if rule.code() == Code(11) { loaded } else { checked(loaded) }
}

fn words(loaded: &Loaded) -> String {
    render_concise(&loaded.diagnostics, &loaded.sources, 0)
}

#[test]
fn a_wrong_example_is_told_its_own_rule_alone() {
    for rule in Rule::all() {
        let loaded = load_example(rule, "Wrong");
        let told: BTreeSet<Code> = loaded.diagnostics.iter().map(|one| one.code).collect();
        assert_eq!(told, BTreeSet::from([rule.code()]), "{}", words(&loaded));
        let first = loaded.diagnostics.iter().find(|one| one.code == rule.code()).map(|one| one.severity);
        assert_eq!(first, Some(rule.severity()), "{}: the first level of the page", rule.code());
    }
}

#[test]
fn a_right_example_is_told_nothing() {
    for rule in Rule::all() {
        let loaded = load_example(rule, "Right");
        assert!(loaded.diagnostics.is_empty(), "{}:\n{}", rule.code(), words(&loaded));
        assert!(loaded.project.is_some(), "{}", rule.code());
    }
}

/// The number after each of these marks in a text, where one follows.
fn numbers_after<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = u16> + 't {
    text.split(mark).skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let digits = &rest[..rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len())];
        let is_whole = rest[digits.len()..].starts_with([',', ')']);
        if is_whole { digits.parse().ok() } else { None }
    })
}

#[test]
fn every_rule_that_can_be_reported_has_a_page() {
    let mut reported: BTreeSet<Code> = BTreeSet::new();
    for (_, text) in rust_files("src/config") {
        let code = code_of(&text);
        let marks = ["Code(", "error(", "code: "];
        reported.extend(marks.iter().flat_map(|mark| numbers_after(&code, mark)).map(Code));
    }
    assert!(reported.len() > 30, "the marks of codes in the source have changed");
    for path in cases("invalid") {
        reported.extend(run(&path, Mode::Run).diagnostics.iter().map(|one| one.code));
    }
    let lacking: Vec<String> =
        reported.iter().filter(|code| Rule::find(**code).is_none()).map(ToString::to_string).collect();
    assert!(lacking.is_empty(), "no page in docs/rules, and no line in src/diag/rules.rs: {}", lacking.join(", "));
}

#[test]
fn every_page_is_a_rule() {
    let mut pages: BTreeSet<String> = BTreeSet::new();
    for entry in std::fs::read_dir(repository().join("docs/rules")).unwrap() {
        pages.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    pages.remove("README.md");
    let rules: BTreeSet<String> = Rule::all().iter().map(|rule| format!("{}.md", rule.code())).collect();
    assert_eq!(pages, rules);
}

#[test]
fn the_index_lists_every_rule() {
    let mut index = text("docs/rules/README.md").split("\n| code |").next().unwrap().to_owned();
    index.push_str("\n| code | level | rule |\n|---|---|---|\n");
    for rule in Rule::all() {
        let code = rule.code();
        index.push_str(&format!("| [{code}]({code}.md) | {} | {} |\n", rule.level(), rule.title()));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(repository().join("docs/rules/README.md"), &index).unwrap();
    }
    assert!(text("docs/rules/README.md") == index, "stale: `UPDATE=1 cargo test --test it rules::` writes it");
}

#[test]
fn pages_have_all_their_parts_and_lines_that_can_be_read() {
    for rule in Rule::all() {
        let (code, page) = (rule.code(), rule.text());
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).skip(1).collect();
        assert_eq!(headings, ["## Why", "## Wrong", "## Right"], "{code}");
        assert!(page.lines().all(|line| line.chars().count() <= 120), "{code}: a line over 120 characters");
        assert!(!rule.summary().is_empty(), "{code}");
        assert!([Severity::Error, Severity::Warning, Severity::Note].contains(&rule.severity()), "{code}");
    }
}
