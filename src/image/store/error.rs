//! Why the store cannot do what it should. What is wrong with an image is told elsewhere.

use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or the user's part of it.
    #[error("there is no space left for `{path}`")]
    Full {
        /// What was written.
        path: PathBuf,
    },
    /// The folder belongs to somebody else.
    #[error("the folder `{path}` belongs to user {owner}, and this is user {own}")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// The folder, or its file system, takes no changes.
    #[error("`{path}` cannot be written: {cause}")]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Anything else that the system says.
    #[error("`{path}` cannot be {verb}")]
    System {
        /// Of what.
        path: PathBuf,
        /// What could not be done with it: `read`, `written`, `locked`.
        verb: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has the store for too long.
    #[error("another smolvm {what}")]
    Busy {
        /// What it does with it.
        what: &'static str,
    },
    /// Nobody waits for it any more.
    #[error("it was given up")]
    Left,
}

impl StoreError {
    /// An error of the system, told as what it is.
    pub(super) fn system(path: &Path, verb: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let path = path.to_path_buf();
        match source.kind() {
            StorageFull | QuotaExceeded => Self::Full { path },
            ReadOnlyFilesystem => Self::ReadOnly { path, cause: source },
            PermissionDenied if verb != "read" => Self::ReadOnly { path, cause: source },
            _ => Self::System { path, verb, source },
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Full { .. } => Some(
                "free some space, as with `smolvm system prune`, or have the cache elsewhere: XDG_CACHE_HOME names the folder",
            ),
            Self::Foreign { .. } => {
                Some("give it back with `chown -R`, or have the cache elsewhere: XDG_CACHE_HOME names the folder")
            }
            Self::ReadOnly { .. } => {
                Some("make it writable, or have the cache elsewhere: XDG_CACHE_HOME names the folder")
            }
            Self::Busy { .. } => Some("wait until it is done, and try again"),
            Self::System { .. } | Self::Left => None,
        }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Full { .. } => io::ErrorKind::StorageFull,
            StoreError::ReadOnly { cause, .. } => cause.kind(),
            StoreError::System { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
