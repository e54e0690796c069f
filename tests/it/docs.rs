//! What is written for people is true: blocks of the README, examples, help, links.

use std::path::Path;

use crate::support::{Case, repository};

pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

/// Blocks of a Markdown file with this language.
pub(crate) fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    markdown.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or("").to_owned()).collect()
}

/// Pages that are written for people.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for folder in ["docs", "docs/decisions", "docs/rules"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(repository()).unwrap().display().to_string());
            }
        }
    }
    pages
}

#[test]
fn every_yaml_block_of_the_readme_is_checked_without_a_mistake() {
    let blocks = blocks(&text("README.md"), "yaml");
    assert!(!blocks.is_empty());
    for block in blocks {
        Case::new()
            .file("smolvm.yaml", &block)
            .folder("src")
            .args(["check"])
            .stderr("smolvm.yaml: no mistakes\n")
            .exit(0);
    }
}

/// The block of the README that stands below this mark, without the line of the command.
pub(crate) fn marked(readme: &str, mark: &str) -> String {
    let block = readme.split(&format!("<!-- block: {mark} -->\n```console\n")).nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    block.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn the_readme_shows_the_mistakes_as_they_are_told() {
    let readme = text("README.md");
    let file = blocks(&readme, "yaml").remove(0).replace("memory:", "memry:").replace("timeout: 1m", "timeout: 60");
    Case::new().file("smolvm.yaml", file).folder("src").args(["check"]).stderr(&marked(&readme, "check")).exit(78);
}

#[test]
fn every_example_is_checked_without_an_error() {
    for entry in std::fs::read_dir(repository().join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("smolvm.yaml").is_file() {
            let output = Case::new().copy(&folder).args(["check", "--deny", "warnings"]).run();
            assert!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        let folder = repository().join(&page).parent().map(Path::to_path_buf).unwrap();
        for link in text(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or("");
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            assert!(folder.join(target).exists(), "{page}: `{target}` is not there");
        }
    }
}

#[test]
fn the_changelog_says_what_is_not_released() {
    assert!(text("CHANGELOG.md").contains("\n## Unreleased\n"));
}

#[test]
fn the_readme_has_every_exit_code_of_ours() {
    let readme = text("README.md");
    for code in ["0", "*n*", "2", "4", "69", "78", "124", "125", "126, 127", "129, 130, 143"] {
        assert!(readme.contains(&format!("\n| {code} |")), "README.md: the table lacks {code}");
    }
}

#[test]
fn the_help_is_as_in_its_snapshot() {
    let snapshot = repository().join("tests/cases/help.txt");
    let mut help = String::new();
    for verb in ["", "up", "check", "plan", "config", "explain", "init", "schema", "lsp", "doctor", "version"] {
        let args = [verb, "--help"].into_iter().filter(|word| !word.is_empty());
        let output = Case::new().args(args).run();
        assert!(output.status.success());
        help.push_str(&format!("$ smolvm {verb}{}--help\n", if verb.is_empty() { "" } else { " " }));
        help.push_str(&String::from_utf8(output.stdout).unwrap());
        help.push('\n');
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&snapshot, &help).unwrap();
    }
    let expected = std::fs::read_to_string(&snapshot).unwrap_or_default();
    assert!(help == expected, "tests/cases/help.txt is stale; `UPDATE=1 cargo test --test it help` writes it");
}
