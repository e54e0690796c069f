//! The index of a run's logs: in which order and when the bytes of its files came, so that they can be read as one.
//!
//! ```text
//! 1764358500123 0 o machine "db"        milliseconds since 1970, offset in its file, stream, whose
//! 1764358500456 0 e step "unit[debian:12]"
//! ```
//!
//! A line says that from this offset of a file on, up to where the next line of the same file says otherwise, bytes of
//! this stream came from this time on. It is written before them, whenever who speaks changes and now and then. Without
//! it (the disk has an end) nothing of the logs is lost but their order. Of its own files the oldest go; a line that begins
//! with `=`, at the start of a file, stands for what the files before it said of a log. Deliberately not here: which file it
//! is (`state`), reading the files (`log_reader`).

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::segments::{Segments, Sizes};
use super::state::RunFolder;
use crate::event::{OutputOf, Stream};

/// One that speaks on and on has a line this often.
const EVERY: Duration = Duration::from_millis(50);

/// At most 64 MiB together.
const SIZES: Sizes = Sizes { segment: 8 << 20, kept: 7 };

/// Before a line that stands for those that went.
pub(super) const INSTEAD: &str = "=";

/// Where output came from: whose it is and on which stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogSource {
    /// Whose.
    pub of: OutputOf,
    /// Which stream.
    pub stream: Stream,
}

impl LogSource {
    /// Whether both are kept in one log.
    fn is_same_log(&self, other: &Self) -> bool {
        self.of == other.of && (self.stream == Stream::Console) == (other.stream == Stream::Console)
    }
}

/// A line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// When.
    pub(super) at: SystemTime,
    /// First byte in the file.
    pub(super) offset: u64,
    /// Whose bytes follow.
    pub(super) source: LogSource,
}

impl IndexEntry {
    /// The line, with its end.
    fn render(&self) -> String {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let stream = match self.source.stream {
            Stream::Stdout => 'o',
            Stream::Stderr => 'e',
            Stream::Console => 'c',
        };
        let (kind, name) = match &self.source.of {
            OutputOf::Step(name) => ("step", name),
            OutputOf::Machine(name) => ("machine", name),
        };
        // A name of a matrix may hold whatever a text of the file may.
        let name = serde_json::Value::from(name.as_str());
        format!("{} {} {stream} {kind} {name}\n", since.as_millis(), self.offset)
    }

    /// Reads a line without its end; none where it is not one.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(words.next()?.parse().ok()?))?;
        let offset = words.next()?.parse().ok()?;
        let stream = match words.next()? {
            "o" => Stream::Stdout,
            "e" => Stream::Stderr,
            "c" => Stream::Console,
            _ => return None,
        };
        let kind = words.next()?;
        let name: String = serde_json::from_str(words.next()?).ok()?;
        let of = match kind {
            "step" => OutputOf::Step(name),
            "machine" => OutputOf::Machine(name),
            _ => return None,
        };
        Some(Self { at, offset, source: LogSource { of, stream } })
    }
}

/// The index that is written.
#[derive(Debug)]
pub(super) struct LogIndex {
    segments: Segments,
    start: SystemTime,
    last: Option<(Duration, LogSource)>,
    /// Where each log began, and who spoke first there.
    firsts: Vec<IndexEntry>,
}

impl LogIndex {
    /// A new index; `start` is when the run began.
    ///
    /// # Errors
    /// Where its file cannot be made.
    pub(super) fn create(folder: &RunFolder, start: SystemTime) -> io::Result<Self> {
        let segments = Segments::create(folder, &folder.log_index(), SIZES)?;
        Ok(Self { segments, start, last: None, firsts: Vec::new() })
    }

    /// Notes that bytes of a source will follow at this offset of its log, `at` after the start.
    ///
    /// # Errors
    /// Where it cannot be written; nothing more is then to be noted.
    pub(super) fn note(&mut self, folder: &RunFolder, at: Duration, source: &LogSource, offset: u64) -> io::Result<()> {
        let goes_on = |(last, before): &(Duration, LogSource)| before == source && at.saturating_sub(*last) < EVERY;
        if self.last.as_ref().is_some_and(goes_on) {
            return Ok(());
        }
        if self.segments.is_full() {
            self.segments.turn(folder)?;
            let instead = |first: &IndexEntry| format!("{INSTEAD} {}", first.render());
            let lines: String = self.firsts.iter().map(instead).collect();
            self.segments.write(lines.as_bytes())?;
        }
        let entry = IndexEntry { at: self.start + at, offset, source: source.clone() };
        // In one piece: who reads along sees no half of it that stays one.
        self.segments.write(entry.render().as_bytes())?;
        if !self.firsts.iter().any(|first| first.source.is_same_log(source)) {
            self.firsts.push(entry);
        }
        self.last = Some((at, source.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for (of, stream) in [
            (OutputOf::Step("unit[a b\n\"c]".to_owned()), Stream::Stderr),
            (OutputOf::Machine("db".to_owned()), Stream::Console),
        ] {
            let at = UNIX_EPOCH + Duration::from_millis(1_764_358_500_123);
            let entry = IndexEntry { at, offset: 7, source: LogSource { of, stream } };
            let line = entry.render();
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert_eq!(IndexEntry::parse(line.trim_end_matches('\n')), Some(entry));
        }
        for wrong in
            ["", "1", "1 2 x step \"a\"", "1 2 o thing \"a\"", "1 2 o step a", "99999999999999999999 0 o step \"a\""]
        {
            assert_eq!(IndexEntry::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn who_speaks_on_has_a_line_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        let mut index = LogIndex::create(&run, UNIX_EPOCH).unwrap();
        let source = |name: &str| LogSource { of: OutputOf::Step(name.to_owned()), stream: Stream::Stdout };
        for (millis, name, offset) in [(0, "a", 0), (10, "a", 5), (20, "b", 0), (30, "a", 9), (90, "a", 12)] {
            index.note(&run, Duration::from_millis(millis), &source(name), offset).unwrap();
        }
        let text = std::fs::read_to_string(run.log_index()).unwrap();
        assert_eq!(text, "0 0 o step \"a\"\n20 0 o step \"b\"\n30 9 o step \"a\"\n90 12 o step \"a\"\n");
    }
}
