//! Whether the images of a project are those of its lock file (0404), which only `--locked` asks.

use std::collections::{HashMap, HashSet};

use super::read::Shelf;
use crate::config::files::FileError;
use crate::config::lock::Lock;
use crate::config::model::{Image, KernelSource, Project, Reference};
use crate::diag::{Code, Diagnostic, Diagnostics, Label, Severity, Span};

/// The lock file, beside the first file of the project.
const NAME: &str = "smolvm.lock";
/// What machines are made of.
const PLATFORM: &str = "linux/amd64";
/// So many places of one image are labelled.
const PLACES_MAX: usize = 10;

/// A reference of the project, and where it stands.
type Used<'p> = (&'p Reference, Span);

/// Compares the project with its lock file.
pub(super) fn check_locked(project: &Project, shelf: &mut Shelf<'_>, out: &mut Diagnostics) {
    let used = references(project);
    let Some(first) = used.iter().find(|(reference, _)| reference.digest().is_none()).or(used.first()) else { return };
    let path = project.folder.join(NAME);
    let shown = shelf.display(&path);
    let bytes = match shelf.bytes(&path) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => {
            let open = used.iter().filter(|(reference, _)| reference.digest().is_none()).count();
            if open > 0 {
                out.push(no_file(&shown, *first, open));
            }
            return;
        }
        Err(error) => {
            let message = format!("the lock file `{shown}` cannot be read: {error}");
            let diagnostic = Diagnostic::new(Code(404), Severity::Error, message);
            out.push(diagnostic.label(first.1, "this image is to be in it").help("give the right to read it"));
            return;
        }
    };
    let file = shelf.add(&path, bytes);
    let lock = Lock::read(file, &shelf.sources.get(file).bytes, out);
    let mut told: HashMap<String, Diagnostic> = HashMap::new();
    for (reference, span) in used {
        let Some(diagnostic) = check(reference, span, &lock, &shown) else { continue };
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

/// Each reference once a place, in file order: kernels too.
fn references(project: &Project) -> Vec<Used<'_>> {
    let mut known: HashSet<(&Reference, Span)> = HashSet::new();
    let mut used = Vec::new();
    for machine in &project.machines {
        let image = match &machine.image.value {
            Image::Reference(reference) => Some((reference, machine.image.span)),
            _ => None,
        };
        let kernel = match &machine.kernel.value {
            KernelSource::Reference(reference) => Some((reference, machine.kernel.span)),
            _ => None,
        };
        used.extend([image, kernel].into_iter().flatten().filter(|one| known.insert(*one)));
    }
    used
}

fn no_file(shown: &str, (reference, span): Used<'_>, open: usize) -> Diagnostic {
    let message = match open {
        1 => format!("there is no `{shown}`, and image `{}` is to be taken from it", reference.written()),
        _ => format!("there is no `{shown}`, and {open} images are to be taken from it"),
    };
    let label = if open == 1 { "not locked" } else { "not locked, as the others" };
    let line = line_of(reference);
    let help = format!("make it, with `version 1` on its first line and a line for each image:\n`{line}`");
    Diagnostic::new(Code(404), Severity::Error, message).label(span, label).help(help)
}

/// The line of an image, all but the digest, which only its registry knows.
fn line_of(reference: &Reference) -> String {
    format!("{} {PLATFORM} sha256:…", reference.name())
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
                "pin `{}@{}`, or put the other digest into the lock file",
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
            Some(
                diagnostic
                    .help(format!("add its line, with the digest that its registry has:\n`{}`", line_of(reference))),
            )
        }
    }
}

fn without_digest(written: &str) -> &str {
    written.split('@').next().unwrap_or(written)
}
