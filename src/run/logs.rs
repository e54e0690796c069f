//! The log files of a run: what each step, each service and each machine's console wrote, byte for byte, up to a limit.
//!
//! A guest can write for ever, the host's disk has an end. The log of a step that has reached its limit says so and is
//! closed: what follows is still told, it is only not kept. Of a machine, which may live for months, the newest is kept.
//! Beside them an index says in which order and when it came.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::log_index::{LogIndex, LogSource};
use super::segments::{Segments, Sizes};
use super::state::RunFolder;
use crate::event::{Event, OutputOf, Stream};

/// Most bytes that are kept of a step.
const STEP_MAX: u64 = 1 << 30;

/// Of a service 1 GiB is kept, or a little more.
const SERVICE: Sizes = Sizes { segment: 64 << 20, kept: 15 };

/// Of a console 16 MiB are: the kernel's words, and those of what steps left running.
const CONSOLE: Sizes = Sizes { segment: 1 << 20, kept: 15 };

/// Log files, opened when something is written. A file that cannot be written is given up and named once.
#[derive(Debug)]
pub(super) struct Logs {
    /// Where they are, if anything is kept.
    folder: Option<RunFolder>,
    /// By whose they are, and whether it is a console.
    files: HashMap<(OutputOf, bool), Option<Log>>,
    index: Index,
    step_max: u64,
    service: Sizes,
}

/// A log and how much may still be written to it, where it has an end.
#[derive(Debug)]
struct Log {
    segments: Segments,
    /// Whether the last line has no end yet.
    is_in_line: bool,
    /// Most bytes of it, where the first ones are kept.
    max: Option<u64>,
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
        Self { folder, files: HashMap::new(), index, step_max: STEP_MAX, service: SERVICE }
    }

    #[cfg(test)]
    pub(super) fn with_service_sizes(self, service: Sizes) -> Self {
        Self { service, ..self }
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
        let key = (source.of.clone(), is_console);
        if !self.files.contains_key(&key) {
            match self.create(&path, source) {
                Ok(log) => self.files.insert(key.clone(), Some(log)),
                Err(error) => {
                    self.files.insert(key, None);
                    return Some(format!("cannot write the log `{}`: {error}", path.display()));
                }
            };
        }
        let folder = self.folder.as_ref()?;
        let log = self.files.get_mut(&key)?;
        let open = log.as_mut()?;
        if let Err(error) = open.turn(folder) {
            *log = None;
            return Some(given_up(&path, &error));
        }
        if !bytes.is_empty() {
            self.index.note(folder, at, source, open.segments.length());
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
            Stop::Failed(error) => given_up(&path, &error),
        })
    }

    fn create(&self, path: &Path, source: &LogSource) -> io::Result<Log> {
        let folder = self.folder.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (sizes, max) = match (&source.of, source.stream) {
            (OutputOf::Step(_), _) => (Sizes { segment: u64::MAX, kept: 0 }, Some(self.step_max)),
            (OutputOf::Machine(_), Stream::Console) => (CONSOLE, None),
            (OutputOf::Machine(_), _) => (self.service, None),
        };
        Ok(Log { segments: Segments::create(folder, path, sizes)?, is_in_line: false, max })
    }
}

fn given_up(path: &Path, error: &io::Error) -> String {
    format!("cannot write the log `{}`: {error}; what follows is not in it", path.display())
}

impl Index {
    fn note(&mut self, folder: &RunFolder, at: Duration, source: &LogSource, offset: u64) {
        if let Self::None(start) = self {
            *self = LogIndex::create(folder, *start).map_or(Self::GivenUp, Self::Open);
        }
        if let Self::Open(index) = self
            && index.note(folder, at, source, offset).is_err()
        {
            *self = Self::GivenUp;
        }
    }
}

impl Log {
    /// Begins another file where one is due.
    fn turn(&mut self, folder: &RunFolder) -> io::Result<()> {
        if self.segments.is_full() { self.segments.turn(folder) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let left = self.max.map(|max| max.saturating_sub(self.segments.length()));
        let fits =
            left.map_or(bytes.len(), |left| usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len())));
        self.segments.write(&bytes[..fits]).map_err(Stop::Failed)?;
        self.is_in_line = bytes[..fits].last().map_or(self.is_in_line, |last| *last != b'\n');
        let Some(max) = self.max.filter(|_| fits < bytes.len()) else { return Ok(()) };
        let notice = format!("\n[smolvm: {} is the most that is kept of a log]\n", render_bytes(max));
        self.segments.write(notice.as_bytes()).map_err(Stop::Failed)?;
        Err(Stop::Full(max))
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
    fn the_log_of_a_step_ends_at_its_limit_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(Some(RunFolder::fake("1", folder.path())));
        logs.step_max = 10;
        let of = OutputOf::Step("box".to_owned());
        let output = |text: &str| Event::Output { of: of.clone(), stream: Stream::Stdout, bytes: text.into() };
        assert_eq!(logs.record(Duration::ZERO, &output("123456")), None);
        let warning = logs.record(Duration::ZERO, &output("789abc")).unwrap();
        assert!(warning.contains("box.log` has reached 10 bytes, the most that is kept"), "{warning}");
        assert_eq!(logs.record(Duration::ZERO, &output("more")), None);
        let text = std::fs::read_to_string(folder.path().join("box.log")).unwrap();
        assert_eq!(text, "123456789a\n[smolvm: 10 bytes is the most that is kept of a log]\n");
        assert_eq!((render_bytes(STEP_MAX), render_bytes(16 << 20)), ("1 GiB".to_owned(), "16 MiB".to_owned()));
    }

    #[test]
    fn of_a_service_the_newest_is_kept_whatever_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(Some(RunFolder::fake("1", folder.path())));
        logs.service = Sizes { segment: 1000, kept: 3 };
        let of = OutputOf::Machine("db".to_owned());
        for number in 0..1000 {
            let bytes = format!("line {number}\n").as_bytes().into();
            let event = Event::Output { of: of.clone(), stream: Stream::Stdout, bytes };
            assert_eq!(logs.record(Duration::ZERO, &event), None);
        }
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let service = files.filter(|entry| entry.file_name().to_string_lossy().starts_with("db.service"));
        let sizes: Vec<u64> = service.map(|entry| entry.metadata().unwrap().len()).collect();
        assert!(sizes.len() == 4 && sizes.iter().all(|size| *size < 1010), "{sizes:?}");
        assert!(std::fs::read_to_string(folder.path().join("db.service")).unwrap().ends_with("line 999\n"));
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
