//! The log files of a run: what each step and each machine's console wrote, byte for byte, up to a limit.
//!
//! A guest can write for ever, the host's disk has an end: a log that has reached its limit says so and is closed.
//! What follows is still told, it is only not kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};

use super::state::RunFolder;
use crate::event::{Event, OutputOf};

/// Most bytes that are kept of a step.
const STEP_MAX: u64 = 1 << 30;
/// Most bytes that are kept of a console: the kernel's words, and those of what steps left running.
const CONSOLE_MAX: u64 = 16 << 20;

/// Log files, opened when something is written. A file that cannot be written is given up and named once.
#[derive(Debug)]
pub(super) struct Logs {
    /// Where they are, if anything is kept.
    folder: Option<RunFolder>,
    files: HashMap<OutputOf, Option<Log>>,
    step_max: u64,
    console_max: u64,
}

/// A file and how much may still be written to it.
#[derive(Debug)]
struct Log {
    file: File,
    left: u64,
    /// Whether the last line has no end yet.
    is_in_line: bool,
    max: u64,
}

/// Why nothing more is written.
enum Stop {
    Full(u64),
    Failed(io::Error),
}

impl Logs {
    pub(super) fn new(folder: Option<RunFolder>) -> Self {
        Self { folder, files: HashMap::new(), step_max: STEP_MAX, console_max: CONSOLE_MAX }
    }

    /// Records what an event says, and returns a warning where that failed.
    pub(super) fn record(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::StepStarted { step, attempt, .. } => {
                let of = OutputOf::Step(step.clone());
                let line = if *attempt > 1 { self.attempt_line(&of, *attempt) } else { String::new() };
                self.write(&of, line.as_bytes())
            }
            Event::Output { of, bytes, .. } => self.write(of, bytes),
            Event::StepFinished { step, .. } => {
                self.files.insert(OutputOf::Step(step.clone()), None);
                None
            }
            _ => None,
        }
    }

    /// What stands between two attempts, on a line of its own.
    fn attempt_line(&self, of: &OutputOf, attempt: u32) -> String {
        let log = self.files.get(of).and_then(Option::as_ref);
        let start = if log.is_some_and(|log| log.is_in_line) { "\n" } else { "" };
        format!("{start}[smolvm: attempt {attempt}]\n")
    }

    fn write(&mut self, of: &OutputOf, bytes: &[u8]) -> Option<String> {
        let folder = self.folder.as_ref()?;
        let (path, max) = match of {
            OutputOf::Step(step) => (folder.step_log(step), self.step_max),
            OutputOf::Machine(machine) => (folder.console(machine), self.console_max),
        };
        if !self.files.contains_key(of) {
            match folder.create(&path) {
                Ok(file) => self.files.insert(of.clone(), Some(Log { file, left: max, is_in_line: false, max })),
                Err(error) => {
                    self.files.insert(of.clone(), None);
                    return Some(format!("cannot write the log `{}`: {error}", path.display()));
                }
            };
        }
        let log = self.files.get_mut(of)?;
        let stop = log.as_mut()?.write(bytes).err()?;
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

impl Log {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let fits = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.file.write_all(&bytes[..fits]).map_err(Stop::Failed)?;
        self.left -= fits as u64;
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
    use crate::event::Stream;

    #[test]
    fn a_log_ends_at_its_limit_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(Some(RunFolder::fake("1", folder.path())));
        logs.console_max = 10;
        let of = OutputOf::Machine("box".to_owned());
        let output = |text: &str| Event::Output { of: of.clone(), stream: Stream::Console, bytes: text.into() };
        assert_eq!(logs.record(&output("123456")), None);
        let warning = logs.record(&output("789abc")).unwrap();
        assert!(warning.contains("box.console` has reached 10 bytes, the most that is kept"), "{warning}");
        assert_eq!(logs.record(&output("more")), None);
        let text = std::fs::read_to_string(folder.path().join("box.console")).unwrap();
        assert_eq!(text, "123456789a\n[smolvm: 10 bytes is the most that is kept of a log]\n");
        assert_eq!((render_bytes(STEP_MAX), render_bytes(CONSOLE_MAX)), ("1 GiB".to_owned(), "16 MiB".to_owned()));
    }
}
