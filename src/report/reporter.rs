//! The trait of all reporters, what they are told at the start, and where they write.
//!
//! Deliberately not here: any text.

use std::io::{self, Write};

use crate::event::Timed;

use super::style::Style;

/// A fold over the events of one run.
pub trait Reporter: Send {
    /// Takes the next event; the last one is `RunFinished`.
    fn on(&mut self, timed: &Timed);
}

/// How many of our own words a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures and the summary.
    Quiet,
    /// Phases of machines and steps.
    Normal,
    /// The guests' consoles too.
    Verbose,
}

/// What every reporter for people is told.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// When the run started, with the time zone in which times are shown.
    pub start: jiff::Zoned,
    /// How many of our own words are shown.
    pub verbosity: Verbosity,
    /// Colours of standard output.
    pub stdout_style: Style,
    /// Colours of standard error.
    pub stderr_style: Style,
    /// Command that runs the same again, without the steps: `smolvm up`.
    pub again: String,
    /// Whether the words on a failed step say how to look at it from a shell.
    pub offers_shell: bool,
}

/// A stream to write to. When a write fails (the reader of a pipe has gone) the rest is dropped in silence:
/// a run is not ended by who watches it.
pub struct Sink {
    writer: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("is_open", &self.writer.is_some()).finish()
    }
}

impl Sink {
    /// Standard output of this process.
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()))
    }

    /// Standard error of this process.
    pub fn stderr() -> Self {
        Self::new(Box::new(io::stderr()))
    }

    /// Any writer.
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { writer: Some(writer) }
    }

    /// Writes and flushes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(writer) = &mut self.writer
            && writer.write_all(bytes).and_then(|()| writer.flush()).is_err()
        {
            self.writer = None;
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! A sink that a test can read, and options with a fixed clock.

    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{ReportOptions, Sink, Style, Verbosity};

    #[derive(Clone, Default)]
    pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(crate) fn sink(&self) -> Sink {
            Sink::new(Box::new(self.clone()))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn options(verbosity: Verbosity) -> ReportOptions {
        let start = jiff::civil::date(2026, 3, 1).at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        ReportOptions {
            start,
            verbosity,
            stdout_style: Style::plain(),
            stderr_style: Style::plain(),
            again: "smolvm up".to_owned(),
            offers_shell: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_drops_the_rest_in_silence() {
        let mut sink = Sink::new(Box::new(Closed));
        sink.write(b"one\n");
        assert!(sink.writer.is_none());
        sink.write(b"two\n");
    }
}
