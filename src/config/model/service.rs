//! What runs in a machine beside its steps, and what a machine waits for. Deliberately not here: the order that follows
//! (`checks`, `plan`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::project::Spanned;
use super::step::Command;
use crate::diag::Span;

/// What a machine with a `command` is told; without a `command` it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// What is started when the machine is up, and stopped at the end.
    pub command: Option<Spanned<Command>>,
    /// How to know that it is ready.
    pub healthcheck: Option<Healthcheck>,
    /// When it is started again; `None` is never.
    pub restart: Option<Spanned<Restart>>,
    /// What asks it to end; `None` is SIGTERM.
    pub stop_signal: Option<Spanned<Signal>>,
    /// Time between the polite end of the command, or of a step, and its killing; `None` is 10 s.
    pub stop_grace: Option<Spanned<Duration>>,
}

/// What of a machine's service could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceGaps {
    /// `command` was there and could not be read.
    pub command: bool,
    /// `healthcheck` was there and could not be read.
    pub healthcheck: bool,
    /// Entries are missing from [`Machine::depends_on`](super::Machine::depends_on).
    pub depends_on: bool,
}

impl ServiceGaps {
    /// Nothing could be read.
    pub const ALL: Self = Self { command: true, healthcheck: true, depends_on: true };
}

/// How to know that a service is ready: where both are given, the test passes and the line was printed.
#[derive(Debug, Clone)]
pub struct Healthcheck {
    /// Ends with 0 when the service is ready.
    pub test: Option<Spanned<Command>>,
    /// A text that a line of the command's output holds when the service is ready.
    pub log_line: Option<Spanned<String>>,
    /// Time between two tests.
    pub interval: Duration,
    /// Longest time one test may take.
    pub timeout: Duration,
    /// Failures in a row that make the service unhealthy.
    pub retries: u32,
    /// Time in which failures do not count.
    pub start_period: Duration,
    /// Time between two tests in the start period.
    pub start_interval: Duration,
    /// The key `healthcheck`.
    pub key_span: Span,
}

/// When a command that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Never: its end is the end of the service.
    No,
    /// Where it ended with another code than 0.
    OnFailure,
    /// Whenever it ended.
    Always,
}

impl Restart {
    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// A signal of Linux, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub u8);

/// What one machine waits for before it boots.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The other machine; the span is where its name stands.
    pub machine: Spanned<String>,
    /// The state that is waited for; `None` is the default, see [`Dependency::condition_of`].
    pub condition: Option<Spanned<Condition>>,
}

impl Dependency {
    /// The state that is waited for, where `service` is the other machine's.
    pub fn condition_of(&self, service: &Service) -> Condition {
        match &self.condition {
            Some(condition) => condition.value,
            None if service.healthcheck.is_some() => Condition::Healthy,
            None if service.command.is_some() => Condition::Started,
            None => Condition::Completed,
        }
    }
}

/// State of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its command runs.
    Started,
    /// Its healthcheck passed.
    Healthy,
    /// All its steps passed; without steps, its command ended with 0.
    Completed,
}

impl Condition {
    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }
}
