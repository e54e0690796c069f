//! Following `include`: which file comes next, and what is told where it cannot (0010) or where there are too many (0007).
//!
//! A file counts once, at its first place, whatever the names and links are through which it is reached.

use std::path::{Path, PathBuf};

use super::read::Shelf;
use crate::config::files::FileError;
use crate::config::lower::{Included, Reader};
use crate::diag::{Code, Diagnostic, Severity};

/// Files of a project, those of `-f` and those that they include.
pub(super) const FILES_MAX: usize = 100;

/// A file that is being read, and the entry that brought it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// The file without links; none for standard input.
    pub(super) real: Option<PathBuf>,
    pub(super) name: String,
    /// None for a file of `-f`.
    pub(super) entry: Option<Included>,
}

/// The path of an included file, its folder without links and `..`: so that its name is short, and one folder is one.
pub(super) fn clean(path: &Path, shelf: &Shelf<'_>) -> PathBuf {
    let known = path.parent().zip(path.file_name());
    let clean = known.and_then(|(folder, name)| Some(shelf.files.canonicalize(folder).ok()?.join(name)));
    clean.unwrap_or_else(|| path.to_path_buf())
}

/// The file by which a path is known again.
pub(super) fn identity(path: &Path, shelf: &Shelf<'_>) -> PathBuf {
    shelf.files.canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// An included file that cannot be read, at its entry.
pub(super) fn unreadable(
    reader: &Reader<'_>,
    shelf: &Shelf<'_>,
    entry: &Included,
    path: &Path,
    error: &FileError,
) -> Diagnostic {
    let what = shelf.unreadable(&shelf.display(path), path, error);
    let label = match error {
        FileError::Missing if shelf.is_link(path) => "nothing is where it leads",
        FileError::Missing => "there is no such file",
        FileError::NotRegular => "this is no file",
        _ => "it was to be read here",
    };
    let diagnostic = reader.error(10, entry.value, what.message, label);
    match shelf.instead(path, error).and_then(|instead| written(entry, path, &instead)) {
        Some(instead) => {
            let diagnostic = diagnostic.help(format!("did you mean `{instead}`?"));
            reader.replace_part(diagnostic, false, entry.value, &entry.text, instead)
        }
        None => diagnostic.help(match error {
            FileError::Missing if shelf.is_link(path) => "make what it leads to, or take it out",
            FileError::Loop => "let one of the links lead to a file, or take it out",
            FileError::Missing => "paths of `include` start at the folder of the file that says them",
            FileError::NotRegular => "name a file; a folder is not searched",
            _ => "give the right to read it, or take it out",
        }),
    }
}

/// Another file, written as the entry writes its own.
fn written(entry: &Included, path: &Path, instead: &Path) -> Option<String> {
    let rest = instead.strip_prefix(path.parent()?).ok()?.to_str()?;
    let folder = entry.text.rfind('/').map_or("", |end| &entry.text[..=end]);
    Some(format!("{folder}{rest}"))
}

/// A file that includes itself, with every entry on the way; the one that closes the circle first.
pub(super) fn circle(reader: &Reader<'_>, chain: &[Link], closing: &Included) -> Diagnostic {
    let names: Vec<&str> = chain.iter().map(|link| link.name.as_str()).collect();
    let message = match names.as_slice() {
        [one] => format!("`{one}` includes itself"),
        [first, ways @ ..] => {
            let ways: Vec<String> = ways.iter().map(|name| format!("`{name}`")).collect();
            format!("`{first}` includes itself, through {}", ways.join(", "))
        }
        [] => "a file includes itself".to_owned(),
    };
    let first = names.first().copied().unwrap_or_default();
    let mut diagnostic = reader.error(10, closing.value, message, format!("`{first}` again"));
    for link in chain.iter().skip(1) {
        if let Some(entry) = &link.entry {
            diagnostic = diagnostic.label(entry.value.span(), format!("`{}` is included here", link.name));
        }
    }
    diagnostic.help("take one of these entries out; what several files share goes into a file of its own")
}

/// One file too many.
pub(super) fn too_many(reader: &Reader<'_>, entry: Option<&Included>) -> Diagnostic {
    let message = format!("the project has more than {FILES_MAX} files");
    let help = "join some of them; a file that is included in several places counts once";
    match entry {
        Some(entry) => reader.error(7, entry.value, message, "the limit is passed here").help(help),
        None => Diagnostic::new(Code(7), Severity::Error, message).help(help),
    }
}
