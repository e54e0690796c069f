//! Who may use whom: the arrows between the modules of the crate, as the code has them and as the architecture says.

use std::collections::BTreeSet;
use std::path::Path;

use crate::tidy::{code_of, rust_files};

/// The table of `docs/architecture.md`: a module and what it may use of this crate. `cli` may use everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("sys", &[]),
    ("config", &["diag"]),
    ("plan", &["config", "diag"]),
    ("event", &["plan", "diag"]),
    ("lsp", &["config", "diag"]),
    ("host", &["config", "plan", "rootfs", "sys"]),
    ("rootfs", &[]),
    ("image", &["config", "rootfs", "sys"]),
    ("guest", &["sys"]),
    ("share", &["rootfs", "sys"]),
    ("storage", &["sys"]),
    ("virtio", &["rootfs", "share", "sys"]),
    ("engine", &["virtio", "share", "sys"]),
    ("net", &["guest", "plan", "share", "sys"]),
    ("run", &["plan", "event", "engine", "guest", "net", "sys"]),
    (
        "compose",
        &[
            "config", "engine", "guest", "host", "image", "net", "plan", "rootfs", "run", "share", "storage", "sys",
            "virtio",
        ],
    ),
    ("control", &["run", "event", "plan", "guest", "sys"]),
    (
        "sdk",
        &[
            "compose", "config", "diag", "event", "guest", "host", "image", "net", "plan", "run", "share", "storage",
            "sys", "virtio",
        ],
    ),
    ("report", &["event", "plan", "diag"]),
];

/// Modules named after `crate::` in a text, as `crate::plan` and `crate::{plan, event}`.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        let first_word = |text: &str| -> String {
            text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        match rest.strip_prefix('{') {
            Some(list) => used.extend(list.split('}').next().unwrap_or("").split(',').map(first_word)),
            None => {
                used.insert(first_word(rest));
            }
        }
    }
    used
}

fn module_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

#[test]
fn every_arrow_of_the_code_is_in_the_table() {
    let mut strays = Vec::new();
    for (path, text) in rust_files("src") {
        let Some(module) = module_of(&path) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else { continue };
        for used in used_modules(&code_of(&text)) {
            let is_module = used == "cli" || ARROWS.iter().any(|(name, _)| *name == used);
            if is_module && used != module && !allowed.contains(&used.as_str()) {
                strays.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert!(strays.is_empty(), "arrows that the table does not have:\n{}", strays.join("\n"));
}

#[test]
fn the_architecture_page_has_the_same_table() {
    let page = std::fs::read_to_string(crate::support::repository().join("docs/architecture.md")).unwrap();
    for (module, allowed) in ARROWS {
        let list = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        let row = format!("| {module} | {list} |");
        assert!(page.lines().any(|line| line == row), "docs/architecture.md lacks the row\n{row}");
    }
}

#[test]
fn run_knows_no_engine_by_name() {
    for (path, text) in rust_files("src/run") {
        let code = code_of(&text);
        assert!(!code.contains("engine::qemu") && !code.contains("engine::kvm"), "{}", path.display());
    }
}
