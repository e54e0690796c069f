//! The two streams of the process: data on standard output, our own words on standard error.
//!
//! Deliberately not here: the output of a run (`report`).

use std::io::{self, IsTerminal, Write};

use super::exit::{Class, Failure};
use super::settings::{Settings, Volume};
use crate::report::Style;

/// Where verbs print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    stdout_style: Style,
    stderr_style: Style,
    volume: Volume,
}

impl Printer {
    /// A printer as the settings say.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            stdout_style: Style::new(settings.color.is_wanted(io::stdout().is_terminal())),
            stderr_style: Style::new(settings.color.is_wanted(io::stderr().is_terminal())),
            volume: settings.volume,
        }
    }

    /// A printer for a failure to know the settings.
    pub(crate) fn without_settings() -> Self {
        Self { stdout_style: Style::plain(), stderr_style: Style::plain(), volume: Volume::Normal }
    }

    /// Colours of standard output.
    pub(crate) fn stdout_style(&self) -> Style {
        self.stdout_style
    }

    /// Colours of standard error.
    pub(crate) fn stderr_style(&self) -> Style {
        self.stderr_style
    }

    /// Prints data. A reader that has gone is no failure: what it did not read, it did not want.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Prints data that may be no text.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Class::World, StdoutError(error)))
            }
            _ => Ok(()),
        }
    }

    /// Prints what cannot be kept back: remarks, failures.
    pub(crate) fn tell(&self, text: &str) {
        // Nobody is left to be told where standard error is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Prints what is nice to know, unless silence was asked for.
    pub(crate) fn note(&self, text: &str) {
        if self.volume > Volume::Quiet {
            self.tell(text);
        }
    }

    /// Prints a failure.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.tell(&failure.render(|word| self.stderr_style.bad(word)));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct StdoutError(#[source] io::Error);
