//! What the lock file of a project says, and whether its images are those of it (0404), which only `--locked` asks.

use std::collections::HashMap;

use super::read::Shelf;
use crate::config::files::FileError;
use crate::config::lock::{LOCK_NAME, Lock, PLATFORM};
use crate::config::model::{Project, Reference};
use crate::diag::{Code, Diagnostic, Diagnostics, Label, Severity, Span};

/// So many places of one image are labelled.
const PLACES_MAX: usize = 10;

/// A reference of the project, and where it stands.
type Used<'p> = (&'p Reference, Span);

/// The lock file of a project.
pub(super) struct Found {
    /// Its name for people.
    shown: String,
    /// What it says; nothing where there is none.
    lock: Option<Lock>,
}

/// Reads the lock file, where the project has an image that could be in it. One that cannot be read is an error whether
/// it is asked for or not: else a project would silently run with other images than those that it was locked to.
pub(super) fn read_lock(project: &Project, shelf: &mut Shelf<'_>, out: &mut Diagnostics) -> Option<Found> {
    let first = first(&project.references())?.1;
    let path = project.folder.join(LOCK_NAME);
    let shown = shelf.display(&path);
    match shelf.bytes(&path) {
        Ok(bytes) => {
            let file = shelf.add(&path, bytes);
            let lock = Lock::read(file, &shelf.sources.get(file).bytes, out);
            Some(Found { shown, lock: Some(lock) })
        }
        Err(FileError::Missing) => Some(Found { shown, lock: None }),
        Err(error) => {
            let message = format!("the lock file `{shown}` cannot be read: {error}");
            let diagnostic = Diagnostic::new(Code(404), Severity::Error, message);
            out.push(diagnostic.label(first, "this image is looked for in it").help("give the right to read it"));
            None
        }
    }
}

impl Found {
    /// What it says.
    pub(super) fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }
}

/// The reference that stands for all where the lock file itself is spoken of.
fn first<'p>(used: &[Used<'p>]) -> Option<Used<'p>> {
    used.iter().find(|(reference, _)| reference.digest().is_none()).or(used.first()).copied()
}

/// Compares the project with its lock file.
pub(super) fn check_locked(project: &Project, found: &Found, out: &mut Diagnostics) {
    let (used, shown) = (project.references(), &found.shown);
    let Some(lock) = &found.lock else {
        let open = used.iter().filter(|(reference, _)| reference.digest().is_none()).count();
        if let Some(first) = first(&used).filter(|_| open > 0) {
            out.push(no_file(shown, first, open));
        }
        return;
    };
    let mut told: HashMap<String, Diagnostic> = HashMap::new();
    for (reference, span) in used {
        let Some(diagnostic) = check(reference, span, lock, shown) else { continue };
        // An image that is named in several places is written into the lock file once.
        told.entry(reference.to_string())
            .and_modify(|told| {
                if told.labels.len() < PLACES_MAX {
                    told.labels.push(Label { span, text: "and here".to_owned() });
                }
            })
            .or_insert(diagnostic);
    }
    out.extend(told.into_values());
}

fn no_file(shown: &str, (reference, span): Used<'_>, open: usize) -> Diagnostic {
    let message = match open {
        1 => format!("there is no `{shown}`, and image `{}` is to be taken from it", reference.written()),
        _ => format!("there is no `{shown}`, and {open} images are to be taken from it"),
    };
    let label = if open == 1 { "not locked" } else { "not locked, as the others" };
    Diagnostic::new(Code(404), Severity::Error, message).label(span, label).help("run `smolvm lock`, which writes it")
}

fn check(reference: &Reference, span: Span, lock: &Lock, shown: &str) -> Option<Diagnostic> {
    let written = reference.written();
    match (lock.find(&reference.name(), PLATFORM), reference.digest()) {
        (Some(entry), Some(digest)) if entry.digest != digest => {
            let message = format!("image `{written}` is pinned to another digest than the lock file has");
            let diagnostic = Diagnostic::new(Code(404), Severity::Error, message)
                .label(span, "pinned here")
                .label(entry.digest_span, "locked here");
            Some(diagnostic.help(format!(
                "pin `{}@{}`, or run `smolvm lock`, which takes the other digest into the lock file",
                without_digest(written),
                entry.digest
            )))
        }
        // A digest is the image, locked or not.
        (Some(_), _) | (None, Some(_)) => None,
        (None, None) if lock.is_partial => None,
        (None, None) => {
            let message = format!("`{shown}` has no image `{written}` for {PLATFORM}");
            let diagnostic = Diagnostic::new(Code(404), Severity::Error, message).label(span, "not locked");
            let diagnostic = match lock.find_similar(reference) {
                Some((entry, what)) => diagnostic.label(entry.span, format!("locked is `{what}`")),
                None => diagnostic,
            };
            Some(diagnostic.help("run `smolvm lock`, which adds it with the digest that its registry has"))
        }
    }
}

fn without_digest(written: &str) -> &str {
    written.split('@').next().unwrap_or(written)
}
