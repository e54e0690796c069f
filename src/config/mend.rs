//! Applies the safe fixes to the files of a project, in rounds: what a fix uncovers or overlaps is mended in the next one.
//!
//! Text in, text out: writing it is not done here. Every file of `-f` and of `include` is mended; env files never are.

use std::path::PathBuf;

use super::files::Files;
use super::load::{FileRequest, LoadRequest, Loaded, load};
use crate::diag::{Diagnostic, FileId, apply_safe};

/// So many rounds are made; each one mends something, and hardly a file needs a third.
const ROUNDS_MAX: usize = 20;

/// What came of mending a project.
#[derive(Debug)]
pub struct Mended {
    /// What is left to say of the mended texts.
    pub loaded: Loaded,
    /// The texts that changed, in the order in which they were read.
    pub texts: Vec<MendedText>,
    /// What was mended, round by round; places are those of the texts of its round.
    pub fixed: Vec<Fixed>,
}

/// A text that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MendedText {
    /// Absolute path of the file; none for standard input.
    pub path: Option<PathBuf>,
    /// As it was read.
    pub before: Vec<u8>,
    /// As it is right.
    pub after: Vec<u8>,
}

/// One mistake that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// What was told.
    pub diagnostic: Diagnostic,
    /// Name of the file, as people are shown it.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 1.
    pub column: usize,
}

/// Loads a project and applies every safe fix, until there is none.
pub fn mend(mut request: LoadRequest, files: &dyn Files) -> Mended {
    let mut loaded = load(request.clone(), files);
    let mut fixed = Vec::new();
    let mut texts: Vec<MendedText> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let mended = mend_round(&loaded);
        if mended.is_empty() {
            break;
        }
        let mut next_request = request.clone();
        for round in &mended {
            set_text(&mut next_request, &round.text);
        }
        let next_loaded = load(next_request.clone(), files);
        // A text that cannot be read any more is worse than one with mistakes.
        let is_worse = next_loaded.project.is_none() && loaded.project.is_some();
        if is_worse || next_loaded.read < loaded.read {
            break;
        }
        for Round { file, text, applied } in mended {
            fixed.extend(applied.into_iter().map(|diagnostic| as_fixed(&loaded, file, diagnostic)));
            // The number of a file may change when a mended `include` brings others; its path does not.
            match texts.iter_mut().find(|known| known.path == text.path) {
                Some(known) => known.after = text.after,
                None => texts.push(text),
            }
        }
        (request, loaded) = (next_request, next_loaded);
    }
    Mended { loaded, texts, fixed }
}

/// What one round makes of a file.
struct Round<'d> {
    file: FileId,
    text: MendedText,
    applied: Vec<&'d Diagnostic>,
}

fn mend_round(loaded: &Loaded) -> Vec<Round<'_>> {
    let mut mended = Vec::new();
    for (file, source) in loaded.sources.iter() {
        let (after, applied) = apply_safe(&loaded.diagnostics, file, &source.bytes);
        if !applied.is_empty() {
            let text = MendedText { path: source.path.clone(), before: source.bytes.clone(), after };
            mended.push(Round { file, text, applied });
        }
    }
    mended
}

fn set_text(request: &mut LoadRequest, text: &MendedText) {
    if let Some(path) = &text.path {
        request.texts.insert(path.clone(), text.after.clone());
        return;
    }
    for file in &mut request.files {
        if let FileRequest::Stdin { bytes, .. } = file {
            bytes.clone_from(&text.after);
        }
    }
}

fn as_fixed(loaded: &Loaded, file: FileId, diagnostic: &Diagnostic) -> Fixed {
    let start = diagnostic.labels.first().filter(|label| label.span.file == file).map_or(0, |label| label.span.start);
    let position = loaded.sources.position(file, start);
    let file = loaded.sources.get(file).name.clone();
    Fixed { diagnostic: diagnostic.clone(), file, line: position.line, column: position.column }
}
