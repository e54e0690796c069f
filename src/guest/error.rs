//! Why something asked of the agent did not happen. Texts that come from the guest are cleaned before they are kept.

use std::time::Duration;

use smolvm_agent::{Failure, FailureKind, FrameError, GreetingError, SetupPhase};

/// Longest text that is kept of what a guest says.
const TEXT_MAX: usize = 2000;

/// Why a session could not be opened, or a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody answered in time.
    #[error("the agent did not answer within {limit:?}")]
    Connect {
        /// The limit.
        limit: Duration,
    },
    /// The channel to the guest itself failed.
    #[error("cannot open the channel to the guest")]
    Dial {
        /// Why.
        source: std::io::Error,
    },
    /// The other end is not an agent of this version.
    #[error("the program that answers in the guest is not this version's agent")]
    Greeting {
        /// Why.
        source: GreetingError,
    },
    /// The connection ended.
    #[error("the connection to the agent is closed: {reason}")]
    Closed {
        /// Why, in words.
        reason: String,
    },
    /// The request is too large.
    #[error("the request does not fit the agent's channel; shorten the script or the environment")]
    TooLong {
        /// Sizes.
        source: FrameError,
    },
    /// The agent could not do it.
    #[error("{message}")]
    Failed {
        /// What the agent said.
        message: String,
    },
    /// The agent's answer has the wrong form.
    #[error("the agent gave an answer that does not fit the question")]
    WrongAnswer,
}

/// Why a machine could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A phase failed.
    #[error("{}: {message}", render_phase(*.phase, .target.as_deref()))]
    Failed {
        /// Which phase.
        phase: SetupPhase,
        /// Target of the mount, where it is about one.
        target: Option<String>,
        /// What the agent said.
        message: String,
    },
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why a user could not be found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The image does not know the user or the group.
    #[error("{message}")]
    Unknown {
        /// What the agent said.
        message: String,
    },
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program is not there (exit code 127).
    #[error("{message}")]
    NotFound {
        /// What the agent said.
        message: String,
    },
    /// The program cannot be run (exit code 126).
    #[error("{message}")]
    CannotRun {
        /// What the agent said.
        message: String,
    },
    /// The working folder is not there, or not open to the user.
    #[error("{message}")]
    WorkingDir {
        /// What the agent said.
        message: String,
    },
    /// The image does not know the user or the group.
    #[error("{message}")]
    User {
        /// What the agent said.
        message: String,
    },
    /// The session failed, or the agent could not start anything.
    #[error(transparent)]
    Session(#[from] SessionError),
}

fn render_phase(phase: SetupPhase, target: Option<&str>) -> String {
    let phase = match phase {
        SetupPhase::System => "cannot prepare the guest",
        SetupPhase::Root => "cannot make the root file system",
        SetupPhase::Mount => "cannot mount",
        SetupPhase::Verify => "wrong mount",
    };
    target.map_or_else(|| phase.to_owned(), |target| format!("{phase} `{target}`"))
}

/// A guest's text without control characters and of bounded length.
fn clean(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|each| if each.is_control() { '\u{fffd}' } else { each }).collect()
}

impl From<Failure> for SessionError {
    fn from(failure: Failure) -> Self {
        Self::Failed { message: clean(&failure.message) }
    }
}

impl From<Failure> for SetupError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Setup { phase, target } => {
                Self::Failed { phase, target: target.map(|target| clean(&target)), message: clean(&failure.message) }
            }
            _ => Self::Session(failure.into()),
        }
    }
}

impl From<Failure> for UserError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::User => Self::Unknown { message: clean(&failure.message) },
            _ => Self::Session(failure.into()),
        }
    }
}

impl From<Failure> for ExecError {
    fn from(failure: Failure) -> Self {
        let message = clean(&failure.message);
        match failure.kind {
            FailureKind::NotFound => Self::NotFound { message },
            FailureKind::CannotRun => Self::CannotRun { message },
            FailureKind::WorkingDir => Self::WorkingDir { message },
            FailureKind::User => Self::User { message },
            FailureKind::Setup { .. } | FailureKind::Other => Self::Session(SessionError::Failed { message }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_error_names_phase_and_mount() {
        let failure = Failure {
            kind: FailureKind::Setup { phase: SetupPhase::Verify, target: Some("/code".into()) },
            message: "it is writable".into(),
        };
        assert_eq!(SetupError::from(failure).to_string(), "wrong mount `/code`: it is writable");
    }

    #[test]
    fn guest_text_cannot_steer_a_terminal() {
        let failure = Failure { kind: FailureKind::NotFound, message: "\u{1b}[2Jgone\n".into() };
        assert_eq!(ExecError::from(failure).to_string(), "\u{fffd}[2Jgone\u{fffd}");
    }

    #[test]
    fn guest_text_is_bounded() {
        let failure = Failure { kind: FailureKind::Other, message: "x".repeat(100_000) };
        assert_eq!(SessionError::from(failure).to_string().len(), TEXT_MAX);
    }
}
