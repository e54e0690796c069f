//! What `check --fix` makes of a file: `tests/cases/fix/NAME.yaml` becomes `NAME.fixed`, and the bad files of the corpus
//! never become worse.

use std::fs;
use std::path::{Path, PathBuf};

use smolvm::config::{FileRequest, LoadRequest, Mended, MendedText, Mode, mend};
use smolvm::diag::{Severity, render_concise};

use crate::cases::{cases, world};

fn mend_text(path: &Path, text: Vec<u8>) -> Mended {
    let lines = fs::read_to_string(path.with_extension("world")).unwrap_or_default();
    let files = world(lines.lines()).file("/project/smolvm.yaml", text);
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Check,
        ..LoadRequest::default()
    };
    mend(request, &files)
}

/// The mended text, then what was mended and what is left, as comments.
fn render(before: &[u8], mended: &Mended) -> String {
    let text = mended.texts.first().map_or(before, |text| &text.after);
    let mut out = String::from_utf8_lossy(text).into_owned();
    for fixed in &mended.fixed {
        let (code, message) = (fixed.diagnostic.code, &fixed.diagnostic.message);
        out.push_str(&format!("# fixed {}:{}: {code}: {message}\n", fixed.line, fixed.column));
    }
    for line in render_concise(&mended.loaded.diagnostics, &mended.loaded.sources, 0).lines() {
        out.push_str(&format!("# left {}\n", line.trim_start_matches("smolvm.yaml:")));
    }
    out
}

#[test]
fn files_are_mended_with_their_comments_and_layout() {
    let mut stale = Vec::new();
    for path in cases("fix") {
        let before = fs::read(&path).unwrap();
        let mended = mend_text(&path, before.clone());
        let actual = render(&before, &mended);
        let expected_path = path.with_extension("fixed");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected_path, &actual).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != actual {
            stale.push(format!("{}\n--- expected\n{expected}\n--- actual\n{actual}", path.display()));
        }
    }
    assert!(stale.is_empty(), "{}\nif the new text is right: UPDATE=1 cargo test --test it fixes::", stale.join("\n"));
}

#[test]
fn mending_twice_is_mending_once_and_nothing_becomes_worse() {
    for path in cases("fix").into_iter().chain(cases("invalid")).chain(cases("valid")) {
        let before = fs::read(&path).unwrap();
        let name = path.display();
        let mended = mend_text(&path, before.clone());
        let Some(MendedText { before: old, after, .. }) = mended.texts.first() else {
            assert!(mended.fixed.is_empty(), "{name}");
            continue;
        };
        assert_eq!((old, old != after), (&before, true), "{name}");
        let again = mend_text(&path, after.clone());
        assert!(again.texts.is_empty(), "{name}: {:?}", again.fixed);
        let left: Vec<_> = again.loaded.diagnostics.iter().collect();
        for fixed in &mended.fixed {
            let is_left = |one: &&smolvm::diag::Diagnostic| {
                one.code == fixed.diagnostic.code
                    && one.message == fixed.diagnostic.message
                    && one.fix.as_ref().is_some_and(|fix| fix.is_safe)
            };
            assert!(!left.iter().any(is_left), "{name}: {fixed:?} is left");
        }
        let errors = |mended: &Mended| mended.loaded.diagnostics.count(Severity::Error);
        let first = mend_text(&path, before).fixed.len() + errors(&mended);
        assert!(errors(&again) == errors(&mended) && errors(&again) <= first, "{name}");
    }
}
