//! Why a run cannot be reached, or did not answer.

use std::io;
use std::path::PathBuf;

use super::message::Refusal;

/// Why a run cannot be reached, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket or its note cannot be made or used.
    #[error("cannot {what} `{path}`")]
    Place {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder or socket that should be ours belongs to somebody else, or is open to others.
    #[error("`{path}` is not only ours: {why}")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The process at the other end is of another version.
    #[error("the machines are held by smolvm {theirs}, process {pid}, and this is smolvm {ours}")]
    OtherVersion {
        /// Its version.
        theirs: String,
        /// This one.
        ours: &'static str,
        /// Its process.
        pid: u32,
    },
    /// The process at the other end does not even greet: it is stopped, or the computer has no time for it.
    #[error("process {pid}, which holds the machines, does not answer")]
    Silent {
        /// Its process.
        pid: u32,
    },
    /// The connection failed or ended before the answer.
    #[error("the process that holds the machines went away before it answered")]
    Gone {
        /// Why, where it is known.
        #[source]
        source: Option<io::Error>,
    },
    /// What came is no message of this version.
    #[error("the process that holds the machines gave an answer that does not fit the question")]
    WrongAnswer,
    /// It was answered: it cannot be.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl ControlError {
    /// What can be done about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::OtherVersion { .. } => {
                Some("`smolvm down` with the version that started them, or with this one, stops them".to_owned())
            }
            Self::Silent { pid } => Some(format!(
                "where it was stopped (Ctrl-Z, SIGSTOP), `fg` or `kill -CONT {pid}` lets it go on; `kill -KILL {pid}` ends it \
                and its machines"
            )),
            Self::Refused(refusal) => refusal.help.clone(),
            _ => None,
        }
    }
}

impl From<io::Error> for ControlError {
    fn from(source: io::Error) -> Self {
        Self::Gone { source: Some(source) }
    }
}
