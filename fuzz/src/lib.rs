//! What no file may do to smolvm: panic, hang, or be told in forms that do not hold together; and no layer ([`layers`]).
//!
//! Deliberately not here: the engine that searches for such files (`fuzz_targets`), real files and folders.

pub mod layers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use smolvm::config::{FileRequest, Files, LoadRequest, Loaded, MemoryFiles, Mode, load, mend, resolved_yaml};
use smolvm::diag::{
    MAX_DIAGNOSTICS, RenderOptions, Severity, render_concise, render_full, render_github, render_json, render_sarif,
};

const FOLDER: &str = "/project";

/// The project's files, by what a zero byte parts in the input; the first is always there.
const NAMES: [&str; 4] = ["smolvm.yaml", "base.yaml", "ci/more.yaml", ".env"];

/// Checks bytes as the files of a project.
///
/// # Panics
/// Where something does not hold: that is what is searched for.
pub fn check_file(bytes: &[u8]) {
    let texts: BTreeMap<PathBuf, Vec<u8>> = NAMES
        .iter()
        .map(|name| Path::new(FOLDER).join(name))
        .zip(bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec))
        .collect();
    let files = MemoryFiles::new().folder("/project/src").folder("/project/out").file("/project/run.env", "A=b\n");
    for mode in [Mode::Check, Mode::Run] {
        let loaded = load(request(&texts, mode), &files);
        check_places(&loaded);
        check_forms(&loaded);
        check_resolved(&loaded, &files);
    }
    check_mending(texts, &files);
}

fn request(texts: &BTreeMap<PathBuf, Vec<u8>>, mode: Mode) -> LoadRequest {
    LoadRequest {
        files: vec![FileRequest::Path(Path::new(FOLDER).join(NAMES[0]))],
        texts: texts.clone(),
        current_folder: PathBuf::from(FOLDER),
        mode,
        ..LoadRequest::default()
    }
}

/// Every label and edit lies in its text, on the bounds of characters, and errors are told where there is no project.
fn check_places(loaded: &Loaded) {
    for found in loaded.diagnostics.iter() {
        assert!(!found.message.is_empty());
        let edits = found.fix.iter().flat_map(|fix| fix.edits.iter().map(|edit| edit.span));
        for span in found.labels.iter().map(|label| label.span).chain(edits) {
            let text = &loaded.sources.get(span.file).bytes;
            assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {}: {}", text.len(), found.message);
        }
    }
    assert!(loaded.project.is_some() || loaded.diagnostics.has_errors());
}

fn check_forms(loaded: &Loaded) {
    let (diagnostics, sources) = (&loaded.diagnostics, &loaded.sources);
    for max in [MAX_DIAGNOSTICS, 0] {
        let json: serde_json::Value = serde_json::from_str(&render_json(diagnostics, sources, max)).expect("JSON");
        assert_eq!(json["errors"], diagnostics.count(Severity::Error));
        let _: serde_json::Value = serde_json::from_str(&render_sarif(diagnostics, sources, max)).expect("JSON");
        render_concise(diagnostics, sources, max);
        render_github(diagnostics, sources, max, None);
        render_full(diagnostics, sources, &RenderOptions::default());
    }
}

/// A project without a mistake is printed as one.
fn check_resolved(loaded: &Loaded, files: &dyn Files) {
    let Some(project) = loaded.project.as_ref().filter(|_| !loaded.diagnostics.has_errors()) else { return };
    let text = resolved_yaml(project);
    let texts = BTreeMap::from([(Path::new(FOLDER).join(NAMES[0]), text.clone().into_bytes())]);
    let again = load(request(&texts, Mode::Check), files);
    let told: Vec<&str> = again.diagnostics.iter().map(|found| found.message.as_str()).collect();
    assert!(!again.diagnostics.has_errors(), "{told:?} of the resolved file:\n{text}");
}

/// What was mended has nothing left to mend.
fn check_mending(mut texts: BTreeMap<PathBuf, Vec<u8>>, files: &dyn Files) {
    let mended = mend(request(&texts, Mode::Check), files);
    check_places(&mended.loaded);
    texts.extend(mended.texts.into_iter().filter_map(|text| Some((text.path?, text.after))));
    let again = mend(request(&texts, Mode::Check), files);
    assert!(again.fixed.is_empty(), "mended twice: {:?}", again.fixed);
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// Every file of the corpus below a folder, and what was found by a search before.
    fn corpus() -> Vec<PathBuf> {
        let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases")];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of cases") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        assert!(found.len() > 200, "the corpus is there");
        found
    }

    use super::*;

    #[test]
    fn the_corpus_holds() {
        for path in corpus() {
            let bytes = fs::read(&path).expect("a case");
            let checked = std::panic::catch_unwind(|| check_file(&bytes));
            assert!(checked.is_ok(), "{}", path.display());
        }
    }
}
