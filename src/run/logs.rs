//! The log files of a run: what each step, each service and each machine's console wrote, byte for byte, up to a limit.
//!
//! A guest can write for ever, the host's disk has an end: a log that has reached its limit says so and is closed.
//! What follows is still told, it is only not kept. Beside them an index says in which order and when it came.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::log_index::{LogIndex, LogSource};
use super::state::RunFolder;
use crate::event::{Event, OutputOf, Stream};

/// Most bytes that are kept of a step or a service.
const STEP_MAX: u64 = 1 << 30;
/// Most bytes that are kept of a console: the kernel's words, and those of what steps left running.
const CONSOLE_MAX: u64 = 16 << 20;

/// Log files, opened when something is written. A file that cannot be written is given up and named once.
#[derive(Debug)]
pub(super) struct Logs {
    /// Where they are, if anything is kept.
    folder: Option<RunFolder>,
    /// By whose they are, and whether it is a console.
    files: HashMap<(OutputOf, bool), Option<Log>>,
    index: Index,
    step_max: u64,
    console_max: u64,
}

/// A file and how much may still be written to it.
#[derive(Debug)]
struct Log {
    file: File,
    /// Bytes that it has.
    length: u64,
    left: u64,
    /// Whether the last line has no end yet.
    is_in_line: bool,
    max: u64,
}

/// The order of what is written.
#[derive(Debug)]
enum Index {
    /// Nothing was written yet, in a run that began then.
    None(SystemTime),
    Open(LogIndex),
    /// It cannot be written; the logs are there all the same.
    GivenUp,
}

/// Why nothing more is written.
enum Stop {
    Full(u64),
    Failed(io::Error),
}

impl Logs {
    pub(super) fn new(folder: Option<RunFolder>) -> Self {
        let index = Index::None(SystemTime::now());
        Self { folder, files: HashMap::new(), index, step_max: STEP_MAX, console_max: CONSOLE_MAX }
    }

    /// Records what an event says, `at` after the start, and returns a warning where that failed.
    pub(super) fn record(&mut self, at: Duration, event: &Event) -> Option<String> {
        match event {
            Event::StepStarted { step, attempt, .. } => {
                let of = OutputOf::Step(step.clone());
                let line = if *attempt > 1 { self.attempt_line(&of, *attempt) } else { String::new() };
                self.write(at, &LogSource { of, stream: Stream::Stdout }, line.as_bytes())
            }
            Event::Output { of, stream, bytes } => {
                self.write(at, &LogSource { of: of.clone(), stream: *stream }, bytes)
            }
            Event::StepFinished { step, .. } => {
                self.files.insert((OutputOf::Step(step.clone()), false), None);
                None
            }
            _ => None,
        }
    }

    /// What stands between two attempts, on a line of its own.
    fn attempt_line(&self, of: &OutputOf, attempt: u32) -> String {
        let log = self.files.get(&(of.clone(), false)).and_then(Option::as_ref);
        let start = if log.is_some_and(|log| log.is_in_line) { "\n" } else { "" };
        format!("{start}[smolvm: attempt {attempt}]\n")
    }

    fn write(&mut self, at: Duration, source: &LogSource, bytes: &[u8]) -> Option<String> {
        let folder = self.folder.as_ref()?;
        let path = folder.log(source);
        let is_console = source.stream == Stream::Console;
        let max = if is_console { self.console_max } else { self.step_max };
        let key = (source.of.clone(), is_console);
        if !self.files.contains_key(&key) {
            match folder.create(&path) {
                Ok(file) => self.files.insert(key.clone(), Some(Log::new(file, max))),
                Err(error) => {
                    self.files.insert(key, None);
                    return Some(format!("cannot write the log `{}`: {error}", path.display()));
                }
            };
        }
        let log = self.files.get_mut(&key)?;
        let open = log.as_mut()?;
        if !bytes.is_empty() {
            self.index.note(folder, at, source, open.length);
        }
        let stop = open.write(bytes).err()?;
        *log = None;
        Some(match stop {
            Stop::Full(max) => {
                let size = render_bytes(max);
                format!(
                    "the log `{}` has reached {size}, the most that is kept; what follows is not in it",
                    path.display()
                )
            }
            Stop::Failed(error) => {
                format!("cannot write the log `{}`: {error}; what follows is not in it", path.display())
            }
        })
    }
}

impl Index {
    fn note(&mut self, folder: &RunFolder, at: Duration, source: &LogSource, offset: u64) {
        if let Self::None(start) = self {
            let made = folder.create(&folder.log_index());
            *self = made.map_or(Self::GivenUp, |file| Self::Open(LogIndex::new(file, *start)));
        }
        if let Self::Open(index) = self
            && index.note(at, source, offset).is_err()
        {
            *self = Self::GivenUp;
        }
    }
}

impl Log {
    fn new(file: File, max: u64) -> Self {
        Self { file, length: 0, left: max, is_in_line: false, max }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let fits = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.file.write_all(&bytes[..fits]).map_err(Stop::Failed)?;
        self.left -= fits as u64;
        self.length += fits as u64;
        self.is_in_line = bytes[..fits].last().map_or(self.is_in_line, |last| *last != b'\n');
        if fits == bytes.len() {
            return Ok(());
        }
        let notice = format!("\n[smolvm: {} is the most that is kept of a log]\n", render_bytes(self.max));
        self.file.write_all(notice.as_bytes()).map_err(Stop::Failed)?;
        Err(Stop::Full(self.max))
    }
}

fn render_bytes(count: u64) -> String {
    match count {
        _ if count >= 1 << 30 && count.is_multiple_of(1 << 30) => format!("{} GiB", count >> 30),
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ => format!("{count} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_at_its_limit_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(Some(RunFolder::fake("1", folder.path())));
        logs.console_max = 10;
        let of = OutputOf::Machine("box".to_owned());
        let output = |text: &str| Event::Output { of: of.clone(), stream: Stream::Console, bytes: text.into() };
        assert_eq!(logs.record(Duration::ZERO, &output("123456")), None);
        let warning = logs.record(Duration::ZERO, &output("789abc")).unwrap();
        assert!(warning.contains("box.console` has reached 10 bytes, the most that is kept"), "{warning}");
        assert_eq!(logs.record(Duration::ZERO, &output("more")), None);
        let text = std::fs::read_to_string(folder.path().join("box.console")).unwrap();
        assert_eq!(text, "123456789a\n[smolvm: 10 bytes is the most that is kept of a log]\n");
        assert_eq!((render_bytes(STEP_MAX), render_bytes(CONSOLE_MAX)), ("1 GiB".to_owned(), "16 MiB".to_owned()));
    }

    #[test]
    fn a_service_and_the_console_of_its_machine_are_two_logs() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(Some(RunFolder::fake("1", folder.path())));
        for (stream, text) in [(Stream::Console, "kernel\n"), (Stream::Stderr, "ready\n"), (Stream::Stdout, "served\n")]
        {
            let of = OutputOf::Machine("db".to_owned());
            assert_eq!(logs.record(Duration::ZERO, &Event::Output { of, stream, bytes: text.into() }), None);
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("db.console"), read("db.service")), ("kernel\n".to_owned(), "ready\nserved\n".to_owned()));
        assert_eq!(read("output.index").lines().count(), 3);
    }
}
