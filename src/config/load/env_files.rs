//! The files of `env_file`: read once however often they are named, and their bad lines told once (0304).
//!
//! Deliberately not here: the keys that name them (`lower`), `.env` and `--env-file` (`variables`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::read::Shelf;
use crate::config::dotenv::parse_dotenv;
use crate::config::files::FileError;
use crate::config::text::FILE_MAX_BYTES;
use crate::diag::{Diagnostics, FileId};

/// What an env file sets.
pub(in crate::config) type Set = Rc<BTreeMap<String, String>>;

/// Env files that were read while the project was lowered.
pub(in crate::config) struct EnvFiles<'a> {
    shelf: &'a Shelf<'a>,
    /// How many sources there were before.
    sources: usize,
    read: RefCell<Read>,
}

/// What lowering leaves for the loader.
#[derive(Default)]
pub(super) struct Read {
    known: HashMap<PathBuf, Result<Set, FileError>>,
    /// Texts of the next sources, in order.
    pub(super) texts: Vec<(PathBuf, Vec<u8>)>,
    /// Bad lines in them.
    pub(super) out: Diagnostics,
}

impl<'a> EnvFiles<'a> {
    pub(super) fn new(shelf: &'a Shelf<'a>) -> Self {
        let known = shelf.env_files.iter().map(|(path, set)| (path.clone(), Ok(Rc::clone(set)))).collect();
        let read = RefCell::new(Read { known, ..Read::default() });
        Self { shelf, sources: shelf.sources.iter().count(), read }
    }

    /// What a file sets; what cannot be read of it was told.
    ///
    /// # Errors
    /// Why it cannot be read at all: that is told where it is named.
    pub(in crate::config) fn get(&self, path: &Path) -> Result<Set, FileError> {
        let mut read = self.read.borrow_mut();
        if let Some(known) = read.known.get(path) {
            return known.clone();
        }
        let bytes = match self.shelf.bytes(path) {
            Err(FileError::TooLong) => Ok(vec![0; FILE_MAX_BYTES + 1]),
            bytes => bytes,
        };
        let set = bytes.map(|bytes| {
            let number = self.sources + read.texts.len();
            let file = FileId(u32::try_from(number).unwrap_or(u32::MAX));
            let set = parse_dotenv(file, &bytes, &mut read.out).variables;
            read.texts.push((path.to_path_buf(), bytes));
            Rc::new(set)
        });
        read.known.insert(path.to_path_buf(), set.clone());
        set
    }

    /// A path for people.
    pub(in crate::config) fn display(&self, path: &Path) -> String {
        self.shelf.display(path)
    }

    /// What stands in the folder of a missing file and has nearly its name.
    pub(in crate::config) fn nearest(&self, path: &Path) -> Option<PathBuf> {
        self.shelf.nearest(path)
    }

    pub(super) fn into_read(self) -> Read {
        self.read.into_inner()
    }
}
