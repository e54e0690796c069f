//! What `check --fix` makes of a file: `tests/cases/fix/NAME.yaml` becomes `NAME.fixed`, and the bad files of the corpus
//! never become worse.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use smolvm::config::{Mended, MendedText, Mode, mend};
use smolvm::diag::{Severity, render_concise};

use crate::cases::{case, cases};

fn mend_case(path: &Path, texts: BTreeMap<PathBuf, Vec<u8>>) -> Mended {
    let (files, mut request) = case(path, Mode::Check);
    request.texts = texts;
    mend(request, &files)
}

/// The mended text of the first file, then those of others, what was mended and what is left, as comments.
fn render(before: &[u8], mended: &Mended) -> String {
    let main = Path::new("/project/smolvm.yaml");
    let (first, others): (Vec<&MendedText>, _) =
        mended.texts.iter().partition(|text| text.path.as_deref() == Some(main));
    let text = first.first().map_or(before, |text| &text.after);
    let mut out = String::from_utf8_lossy(text).into_owned();
    for other in others {
        let name = other.path.as_deref().and_then(|path| path.strip_prefix("/project").ok()).expect("a file");
        out.push_str(&format!("# file {}\n{}", name.display(), String::from_utf8_lossy(&other.after)));
    }
    for fixed in &mended.fixed {
        let place = format!("{}:{}:{}", fixed.file, fixed.line, fixed.column);
        let (code, message) = (fixed.diagnostic.code, &fixed.diagnostic.message);
        out.push_str(&format!("# fixed {}: {code}: {message}\n", place.trim_start_matches("smolvm.yaml:")));
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
        let mended = mend_case(&path, BTreeMap::new());
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
        let name = path.display();
        let mended = mend_case(&path, BTreeMap::new());
        if mended.texts.is_empty() {
            assert!(mended.fixed.is_empty(), "{name}");
            continue;
        }
        assert!(mended.texts.iter().all(|text| text.before != text.after), "{name}");
        let after = mended.texts.iter().map(|text| (text.path.clone().expect("a file"), text.after.clone()));
        let again = mend_case(&path, after.collect());
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
        let first = mended.fixed.len() + errors(&mended);
        assert!(errors(&again) == errors(&mended) && errors(&again) <= first, "{name}");
    }
}
