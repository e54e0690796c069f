//! Why a machine cannot be used.

use std::io;
use std::time::Duration;

use crate::compose::{ChooseError, PlacesError};
use crate::diag::{Diagnostics, Sources, render_concise};
use crate::net::PublishError;
use crate::run::{CommandError, LockError};

/// Why a machine cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The config breaks rules of the language: all of them are told, with their codes. The places are in a text that says
    /// the same as the config.
    #[error("the machine cannot be made: {}", first(.diagnostics))]
    Invalid {
        /// What is wrong, and what to do.
        diagnostics: Box<Diagnostics>,
        /// The text that they are about.
        sources: Box<Sources>,
    },
    /// Nobody has said which program serves machines.
    #[error(
        "no program serves machines: call `smolvm::serve_child` at the start of `main`, or name one by `smolvm::use_program`"
    )]
    NoServer,
    /// This computer cannot run machines.
    #[error("this computer cannot run machines")]
    Host(#[from] ChooseError),
    /// There is no place for what machines keep.
    #[error("there is no place for what the machine keeps: set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME")]
    Places(#[from] PlacesError),
    /// Another process, or another value, uses a machine of this name.
    #[error("the machine is in use")]
    InUse(#[source] LockError),
    /// It is not started, or it was stopped.
    #[error("the machine is not started")]
    NotStarted,
    /// It is started.
    #[error("the machine is started already")]
    Started,
    /// It failed, on its way up or later.
    #[error("the machine failed: {cause}")]
    Failed {
        /// Why.
        cause: String,
    },
    /// The command could not be run: 126 where it cannot be, 127 where it is not there, else 125.
    #[error("the command cannot be run: {cause}")]
    Command {
        /// The code of a shell.
        exit_code: i32,
        /// Why.
        cause: String,
    },
    /// The command ran out of time, and was ended.
    #[error("the command took more than {timeout:?}, and was ended")]
    TimedOut {
        /// The time that it was given.
        timeout: Duration,
        /// What it had written on standard output, where that was collected.
        stdout: Vec<u8>,
        /// What it had written on standard error, where that was collected.
        stderr: Vec<u8>,
    },
    /// The command wrote more than is kept.
    #[error("the command wrote more than {limit} bytes, and was ended")]
    TooMuchOutput {
        /// Of each stream.
        limit: usize,
    },
    /// A port cannot be published.
    #[error("the machine's ports cannot be published; {}", .0.help())]
    Port(#[source] PublishError),
    /// No command was given.
    #[error("no command was given")]
    NoCommand,
    /// This process cannot do its part.
    #[error("the machine cannot be driven")]
    Process(#[from] io::Error),
}

impl MachineError {
    /// The mistakes of a config, a line each, as `smolvm check --format concise` prints them; empty for other errors.
    pub fn mistakes(&self) -> String {
        match self {
            Self::Invalid { diagnostics, sources } => render_concise(diagnostics, sources, 0),
            _ => String::new(),
        }
    }

    /// Codes of the rules that a config breaks, as `SMOL0109`, in the order of their places.
    pub fn codes(&self) -> Vec<String> {
        match self {
            Self::Invalid { diagnostics, .. } => {
                let errors = diagnostics.iter().filter(|one| one.severity == crate::diag::Severity::Error);
                errors.map(|one| one.code.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn first(diagnostics: &Diagnostics) -> String {
    let errors: Vec<_> = diagnostics.iter().filter(|one| one.severity == crate::diag::Severity::Error).collect();
    match errors.as_slice() {
        [] => "a mistake".to_owned(),
        [one] => one.message.clone(),
        [one, rest @ ..] => format!("{} (and {} more)", one.message, rest.len()),
    }
}

impl From<CommandError> for MachineError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Failed { cause, .. } => Self::Failed { cause },
            CommandError::Over => Self::NotStarted,
            other => Self::Failed { cause: other.to_string() },
        }
    }
}
