//! Why no lean kernel could be made, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::super::KernelError;
use super::tools::Missing;

/// Why there is no lean kernel.
#[derive(Debug, thiserror::Error)]
pub enum LeanError {
    /// Something of the host cannot be read or written.
    #[error("cannot {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path of the cache holds what the kernel's makefiles cannot bear.
    #[error("a kernel cannot be built below `{path}`: its makefiles stumble over `{sign}` in a path")]
    Place {
        /// The cache.
        path: PathBuf,
        /// The sign.
        sign: char,
    },
    /// Tools are not installed.
    #[error("building a kernel needs what is not installed here: {}", missing.names())]
    Tools {
        /// All that is missing.
        missing: Missing,
    },
    /// The disk is too full.
    #[error("`{path}` has room for {here_mib} MiB, and building a kernel takes {needed_mib} MiB")]
    Room {
        /// The cache.
        path: PathBuf,
        /// What is free, in MiB.
        here_mib: u64,
        /// What is needed, in MiB.
        needed_mib: u64,
    },
    /// There is no source.
    #[error("no source of a kernel is to be had: {why}")]
    NoSource {
        /// Why not.
        why: String,
    },
    /// The file or package holds something else.
    #[error("`{name}` holds no source of a kernel: no folder in it has both `Kconfig` and `Makefile`")]
    NotSource {
        /// Its name.
        name: String,
    },
    /// The source lacks what a machine needs.
    #[error("this source cannot make a kernel for machines: it has no {}", symbols.join(", "))]
    Symbols {
        /// Symbols of the configuration.
        symbols: Vec<String>,
    },
    /// A tool failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// What was going on.
        what: &'static str,
        /// The words that matter of what it said.
        said: String,
        /// Where all that it said is kept.
        log: Option<PathBuf>,
    },
    /// What was built cannot be booted.
    #[error("what was built is no kernel that a machine can boot")]
    Unusable(#[source] KernelError),
    /// Whoever asked for it has left.
    #[error("nobody waits for the kernel any more")]
    NotWanted,
}

impl LeanError {
    pub(super) fn io(what: &'static str, path: impl AsRef<Path>, source: io::Error) -> LeanError {
        LeanError::Io { what, path: path.as_ref().to_owned(), source }
    }

    /// What the user can do, where there is something to say.
    pub fn help(&self) -> Option<String> {
        match self {
            LeanError::Place { .. } => {
                Some("set `XDG_CACHE_HOME` to a folder whose path holds letters, digits, `-`, `_` and `.` only".into())
            }
            LeanError::Tools { missing } => missing.command().map(|command| format!("install it: `{command}`")),
            LeanError::Room { .. } => Some(
                "make room, or set `XDG_CACHE_HOME` to a folder on a larger disk; the kernel itself is small".into(),
            ),
            LeanError::NoSource { .. } => Some(
                "name one with `--source FILE`: a tar of a kernel's source, such as those of https://www.kernel.org"
                    .into(),
            ),
            LeanError::Symbols { .. } => Some("take the source of a newer kernel with `--source FILE`".into()),
            LeanError::Failed { log: Some(log), .. } => Some(format!("all that was said is in `{}`", log.display())),
            _ => None,
        }
    }
}
