//! The variables of a project: the process environment, then its env files.

use std::path::Path;
use std::rc::Rc;

use super::read::Shelf;
use crate::config::dotenv::{Dotenv, parse_dotenv};
use crate::config::files::{FileError, Files};
use crate::config::interpolate::{Lookup, Variables};
use crate::config::text::FILE_MAX_BYTES;
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// The process environment, then the env files.
pub(super) struct ProjectVariables<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) dotenv: Dotenv,
    /// Whether `MATRIX_…` may be set per machine, so that it is not known here.
    pub(super) has_matrix: bool,
}

impl Variables for ProjectVariables<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match self.files.variable(name).or_else(|| self.dotenv.variables.get(name).cloned()) {
            Some(value) => Lookup::Set(value),
            None if self.has_matrix && name.starts_with("MATRIX_") => Lookup::Unknown,
            None if self.dotenv.may_say(name) => Lookup::Unknown,
            None => Lookup::Unset,
        }
    }

    fn names(&self) -> Vec<String> {
        self.files.variable_names().into_iter().chain(self.dotenv.variables.keys().cloned()).collect()
    }
}

/// Whether an env file was named, or is taken where it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `--env-file`.
    Named,
    /// `.env` beside the first file.
    Found,
}

/// The variables of an env file.
pub(super) fn read_dotenv(shelf: &mut Shelf<'_>, path: &Path, naming: Naming, out: &mut Diagnostics) -> Dotenv {
    let bytes = match shelf.bytes(path) {
        Ok(bytes) => bytes,
        Err(FileError::TooLong) => vec![0; FILE_MAX_BYTES + 1],
        // A folder of that name, as some virtual environments are, is no env file.
        Err(FileError::Missing | FileError::NotRegular) if naming == Naming::Found => return Dotenv::default(),
        Err(error) => {
            out.push(unreadable(shelf, path, naming, &error));
            return Dotenv { is_unreadable: true, ..Dotenv::default() };
        }
    };
    let file = shelf.add(path, bytes);
    let dotenv = parse_dotenv(file, &shelf.sources.get(file).bytes, out);
    shelf.env_files.insert(path.to_path_buf(), Rc::new(dotenv.variables.clone()));
    dotenv
}

fn unreadable(shelf: &Shelf<'_>, path: &Path, naming: Naming, error: &FileError) -> Diagnostic {
    let name = shelf.display(path);
    let message = match error {
        FileError::Missing => format!("the env file `{name}` does not exist"),
        FileError::NotRegular => format!("the env file `{name}` is not a regular file"),
        error if naming == Naming::Named => format!("the env file `{name}` cannot be read: {error}"),
        error => format!("the file `{name}` cannot be read: {error}"),
    };
    let near = (*error == FileError::Missing).then(|| shelf.nearest(path)).flatten();
    let help = match (near, error) {
        (Some(near), _) => format!("did you mean `{}`?", shelf.display(&near)),
        (None, FileError::Missing | FileError::NotRegular) => {
            "name a file of `NAME=value` lines, as `--env-file ci.env`".to_owned()
        }
        _ if naming == Naming::Named => "give the right to read it, or name another".to_owned(),
        _ => "give the right to read it, or move it away".to_owned(),
    };
    Diagnostic::new(Code(304), Severity::Error, message).help(help)
}
