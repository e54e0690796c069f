//! What our process's exit code means, and how a failure of ours becomes one.
//!
//! The table is in the README. Deliberately not here: which step decides the code of a run (`run`).

use std::error::Error;
use std::fmt;

use crate::compose::PlacesError;
pub(crate) use crate::compose::chain;
use crate::event::RunStatus;
use crate::run::{LockError, Signal};

/// Exit code of this process; each number has one meaning, but for a step's own code, which can be any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: all passed.
    Passed,
    /// What the run came to: the code of the first step in file order that itself failed; 124 where a step ran out
    /// of time; 125 where a machine failed; 126 and 127 where a command cannot be run or is not there; 129, 130
    /// and 143 after SIGHUP, SIGINT and SIGTERM.
    Run(u8),
    /// 2: the command line is wrong.
    Usage,
    /// 4: the selection matched nothing.
    NothingSelected,
    /// 69: this host cannot run machines.
    HostUnfit,
    /// 78: the file is wrong, or none was found.
    InvalidFile,
    /// 125: smolvm failed, or another `up` holds the project.
    Failed,
}

impl ExitCode {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Run(code) => code,
            Self::Usage => 2,
            Self::NothingSelected => 4,
            Self::HostUnfit => 69,
            Self::InvalidFile => 78,
            Self::Failed => 125,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The command line.
    Usage,
    /// The selection.
    Selection,
    /// This host.
    Host,
    /// The project's file, or its absence, or the user's settings.
    File,
    /// Ours, or the world's.
    World,
    /// A command that cannot be run, with the code of a shell: 126 or 127.
    Command(u8),
    /// Nobody's: this signal came.
    Interrupted(Signal),
}

impl Class {
    /// The class that has this exit code; [`Class::World`] where none has.
    pub(crate) fn of_code(code: u8) -> Self {
        let all = [Self::Usage, Self::Selection, Self::Host, Self::File];
        all.into_iter().find(|class| class.exit_code().number() == code).unwrap_or(Self::World)
    }

    fn exit_code(self) -> ExitCode {
        match self {
            Self::Usage => ExitCode::Usage,
            Self::Selection => ExitCode::NothingSelected,
            Self::Host => ExitCode::HostUnfit,
            Self::File => ExitCode::InvalidFile,
            Self::World => ExitCode::Failed,
            Self::Command(code) => ExitCode::Run(code),
            Self::Interrupted(signal) => ExitCode::Run(signal.exit_code()),
        }
    }
}

/// Why a verb could not do its work: what is printed, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    source: Box<dyn Error + Send + Sync>,
    help: Vec<String>,
}

impl Failure {
    /// A failure of this class with a cause.
    pub(crate) fn new(class: Class, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, source: source.into(), help: Vec::new() }
    }

    /// Adds something to do about it.
    #[must_use]
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// What can be done about it.
    pub(crate) fn helps(&self) -> &[String] {
        &self.help
    }

    /// Who holds the project, where it is that.
    pub(crate) fn holder(&self) -> Option<String> {
        match self.source.downcast_ref::<LockError>() {
            Some(LockError::Held { holder, .. }) => Some(holder.to_string()),
            _ => None,
        }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.class.exit_code()
    }

    /// How a run that it keeps from starting ended.
    pub(crate) fn run_status(&self) -> RunStatus {
        match self.class {
            Class::File => RunStatus::Invalid,
            Class::Interrupted(_) => RunStatus::Interrupted,
            Class::Usage | Class::Selection | Class::Host | Class::World | Class::Command(_) => RunStatus::Failed,
        }
    }

    /// The one line that says all, for programs.
    pub(crate) fn cause(&self) -> String {
        chain(&*self.source).collect::<Vec<_>>().join(": ")
    }

    /// What a person reads: the error, its causes, what to do.
    pub(crate) fn render(&self, paint: impl Fn(&str) -> String) -> String {
        let mut lines = chain(&*self.source);
        let mut out = format!("{} {}\n", paint("error:"), lines.next().unwrap_or_default());
        for cause in lines {
            out.push_str(&format!("  caused by: {cause}\n"));
        }
        for help in &self.help {
            out.push_str(&format!("help: {help}\n"));
        }
        out
    }
}

impl From<PlacesError> for Failure {
    fn from(error: PlacesError) -> Self {
        Self::new(Class::World, error).help("set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `x`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_tells_its_causes_and_what_to_do() {
        let failure = Failure::new(Class::World, Outer(std::io::Error::other("disk on fire"))).help("buy another disk");
        assert_eq!(
            failure.render(str::to_owned),
            "error: cannot read `x`\n  caused by: disk on fire\nhelp: buy another disk\n"
        );
        assert_eq!(failure.cause(), "cannot read `x`: disk on fire");
        assert_eq!(failure.exit_code().number(), 125);
    }

    #[test]
    fn every_class_has_the_code_of_the_table() {
        let interrupted = Class::Interrupted(Signal::Hangup);
        let codes = [Class::Usage, Class::Selection, Class::Host, Class::File, Class::World, interrupted]
            .map(|class| class.exit_code().number());
        assert_eq!(codes, [2, 4, 69, 78, 125, 129]);
    }
}
