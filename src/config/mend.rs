//! Applies the safe fixes to a file, in rounds: what a fix uncovers or overlaps is mended in the next one.
//!
//! Text in, text out: writing it is not done here. Only the first file of the request is changed; `.env` and others
//! never are.

use super::files::Files;
use super::load::{FileRequest, LoadRequest, Loaded, load};
use crate::diag::{Diagnostic, FileId, apply_safe};

/// So many rounds are made; each one mends something, and hardly a file needs a third.
const ROUNDS_MAX: usize = 20;

/// What came of mending a file.
#[derive(Debug)]
pub struct Mended {
    /// What is left to say of the mended text.
    pub loaded: Loaded,
    /// The text before and after, where anything was mended.
    pub texts: Option<(Vec<u8>, Vec<u8>)>,
    /// What was mended, round by round; places are those of the text of its round.
    pub fixed: Vec<Fixed>,
}

/// One mistake that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// What was told.
    pub diagnostic: Diagnostic,
    /// Line from 1.
    pub line: usize,
    /// Column from 1.
    pub column: usize,
}

/// Loads a file and applies every safe fix, until there is none.
pub fn mend(mut request: LoadRequest, files: &dyn Files) -> Mended {
    let mut loaded = load(request.clone(), files);
    let mut fixed = Vec::new();
    let mut before = None;
    for _ in 0..ROUNDS_MAX {
        let Some((file, bytes)) = first_file(&request, &loaded) else { break };
        let (after, applied) = apply_safe(&loaded.diagnostics, file, &bytes);
        if applied.is_empty() {
            break;
        }
        let Some(next) = with_text(request.files.first(), after.clone()) else { break };
        let mut next_request = request.clone();
        next_request.files[0] = next;
        let next_loaded = load(next_request.clone(), files);
        // A text that cannot be read any more is worse than one with mistakes.
        if next_loaded.project.is_none() && loaded.project.is_some() {
            break;
        }
        fixed.extend(applied.into_iter().map(|diagnostic| {
            let start = diagnostic.labels.first().map_or(0, |label| label.span.start);
            let position = loaded.sources.position(file, start);
            Fixed { diagnostic: diagnostic.clone(), line: position.line, column: position.column }
        }));
        before.get_or_insert(bytes);
        (request, loaded) = (next_request, next_loaded);
    }
    let texts = before.and_then(|before| Some((before, first_file(&request, &loaded)?.1)));
    Mended { loaded, texts, fixed }
}

/// The first file as it was read: its number and its bytes.
fn first_file(request: &LoadRequest, loaded: &Loaded) -> Option<(FileId, Vec<u8>)> {
    let wanted = match request.files.first()? {
        FileRequest::Path(path) | FileRequest::Text { path, .. } => Some(path),
        FileRequest::Stdin { .. } => None,
    };
    let found = loaded.sources.iter().next().filter(|(_, source)| source.path.as_ref() == wanted);
    found.map(|(file, source)| (file, source.bytes.clone()))
}

fn with_text(request: Option<&FileRequest>, bytes: Vec<u8>) -> Option<FileRequest> {
    Some(match request?.clone() {
        FileRequest::Path(path) | FileRequest::Text { path, .. } => FileRequest::Text { path, bytes },
        FileRequest::Stdin { folder, .. } => FileRequest::Stdin { bytes, folder },
    })
}
