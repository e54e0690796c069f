//! The logs of a run read as one, in the order in which they came; also while they are written.
//!
//! The index says what came when; how long the files are is asked before the index is read, so that all that is read
//! has its line there. Of what went meanwhile nothing is given. Deliberately not here: lines of text, waiting for more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::log_index::{INSTEAD, IndexEntry, LogSource};
use super::segments::{self, Found};
use super::state::RunFolder;

/// Most bytes of one piece.
const PIECE_BYTES: u64 = 64 << 10;

/// Bytes of a source, in the order of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// When the first of them came, to 50 ms.
    pub at: SystemTime,
    /// Where from.
    pub source: LogSource,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A run whose logs are read.
#[derive(Debug)]
pub struct LogReader {
    folder: RunFolder,
    index: Option<IndexFile>,
    /// The start of a line whose end is not there yet.
    partial: Vec<u8>,
    /// Lines that were read and whose bytes may not all be.
    entries: VecDeque<IndexEntry>,
    files: HashMap<PathBuf, LogFile>,
}

/// A file of the index.
#[derive(Debug)]
struct IndexFile {
    file: File,
    /// Its first byte in the index, and the next one that is read.
    start: u64,
    read: u64,
    /// Whether nothing of the index was read before it.
    is_first: bool,
}

/// A log, with the one of its files that is read.
#[derive(Debug)]
struct LogFile {
    file: File,
    /// Its first byte in the log.
    start: u64,
    /// Bytes of the log that were given, or have gone.
    given: u64,
    /// Bytes that the log had when it was asked last.
    length: u64,
}

/// The file of a log that begins at this byte, or the first one behind it where that has gone.
fn from(folder: &RunFolder, path: &Path, mut start: u64) -> io::Result<Option<(File, u64)>> {
    loop {
        match segments::open(folder, path, start)? {
            Found::File(file) => return Ok(Some((file, start))),
            Found::Gone(first) => start = first,
            Found::NotYet => return Ok(None),
        }
    }
}

impl LogReader {
    /// A reader at the start of a run's logs. The run may have none yet.
    pub fn new(folder: RunFolder) -> Self {
        Self { folder, index: None, partial: Vec::new(), entries: VecDeque::new(), files: HashMap::new() }
    }

    /// Gives what has come since the last time to `take`, piece by piece; whether there was something, or may be.
    ///
    /// # Errors
    /// Where a file cannot be read, or `take` fails; what was not given then is lost.
    pub fn read<E: From<io::Error>>(&mut self, take: &mut impl FnMut(LogPiece) -> Result<(), E>) -> Result<bool, E> {
        let has_news = self.look()?;
        if self.open_new()? {
            return Ok(true);
        }
        Ok(self.give_all(take)? || has_news)
    }

    /// Gives what has come by now, and no more, however much comes meanwhile.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn read_present<E: From<io::Error>>(
        &mut self,
        take: &mut impl FnMut(LogPiece) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            self.look()?;
            if !self.open_new()? {
                return self.give_all(take).map(drop);
            }
        }
    }

    /// Asks how long the logs are, and then reads the lines of the index that are new; whether there were some.
    fn look(&mut self) -> io::Result<bool> {
        for (path, file) in &mut self.files {
            file.length = segments::length(&self.folder, path)?;
        }
        self.read_index()
    }

    /// Gives what is there of all that the index names, as far as was asked; whether there was something.
    fn give_all<E: From<io::Error>>(&mut self, take: &mut impl FnMut(LogPiece) -> Result<(), E>) -> Result<bool, E> {
        let mut has_more = false;
        let bounds = self.bounds();
        let entries = std::mem::take(&mut self.entries);
        for (entry, (path, end)) in entries.into_iter().zip(bounds) {
            has_more |= self.give(&entry, &path, end, take)?;
            let given = self.files.get(&path).map_or(0, |file| file.given);
            if end.is_none_or(|end| given < end) {
                self.entries.push_back(entry);
            }
        }
        Ok(has_more)
    }

    /// Opens the files that were only named now; whether there were some. How long they are is asked the next time, before
    /// the index is read.
    fn open_new(&mut self) -> io::Result<bool> {
        let paths: HashSet<PathBuf> = self.entries.iter().map(|entry| self.folder.log(&entry.source)).collect();
        let mut has_opened = false;
        for path in paths.into_iter().filter(|path| !self.files.contains_key(path)).collect::<Vec<_>>() {
            if let Some((file, start)) = from(&self.folder, &path, 0)? {
                self.files.insert(path, LogFile { file, start, given: start, length: start });
                has_opened = true;
            }
        }
        Ok(has_opened)
    }

    /// The file of each entry, and where its bytes end there: where the next entry of the file begins.
    fn bounds(&self) -> Vec<(PathBuf, Option<u64>)> {
        let mut next: HashMap<PathBuf, u64> = HashMap::new();
        let bound = |entry: &IndexEntry| {
            let path = self.folder.log(&entry.source);
            let end = next.insert(path.clone(), entry.offset);
            (path, end)
        };
        let mut bounds: Vec<_> = self.entries.iter().rev().map(bound).collect();
        bounds.reverse();
        bounds
    }

    /// Reads the lines that are new.
    fn read_index(&mut self) -> io::Result<bool> {
        let path = self.folder.log_index();
        let mut has_news = false;
        loop {
            let Some(index) = &mut self.index else {
                // Nothing was written yet.
                let Some((file, start)) = from(&self.folder, &path, 0)? else { return Ok(false) };
                self.index = Some(IndexFile { file, start, read: start, is_first: true });
                continue;
            };
            // Asked first: a file that is closed grows no more.
            let is_closed = segments::is_closed(&self.folder, &path, index.start)?;
            let mut text = std::mem::take(&mut self.partial);
            let count = index.file.read_to_end(&mut text)?;
            index.read += count as u64;
            has_news |= count > 0;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.partial = text.split_off(whole);
            let is_first = index.is_first && index.start > 0;
            let lines = text.split(|byte| *byte == b'\n');
            self.entries.extend(lines.filter_map(|line| entry(std::str::from_utf8(line).ok()?, is_first)));
            let next = if is_closed { from(&self.folder, &path, index.read)? } else { None };
            let Some((file, start)) = next else { return Ok(has_news) };
            self.partial.clear();
            self.index = Some(IndexFile { file, start, read: start, is_first: false });
        }
    }

    /// Gives what is there of one entry; whether there was something.
    fn give<E: From<io::Error>>(
        &mut self,
        entry: &IndexEntry,
        path: &Path,
        end: Option<u64>,
        take: &mut impl FnMut(LogPiece) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(file) = self.files.get_mut(path) else { return Ok(false) };
        let end = end.unwrap_or(u64::MAX).min(file.length);
        let mut has_more = false;
        while file.given < end {
            let wanted = (end - file.given).min(PIECE_BYTES);
            let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
            let count = file.file.read_at(&mut bytes, file.given - file.start)?;
            if count == 0 {
                // The next one of its files, or what is left of them.
                let next = from(&self.folder, path, file.given)?.filter(|(_, start)| *start > file.start);
                let Some((next, start)) = next else { break };
                (file.file, file.start, file.given) = (next, start, start);
                continue;
            }
            bytes.truncate(count);
            file.given += count as u64;
            has_more = true;
            take(LogPiece { at: entry.at, source: entry.source.clone(), bytes })?;
        }
        Ok(has_more)
    }
}

/// Reads a line of the index. One that stands for others is taken only where these were not read.
fn entry(line: &str, is_first: bool) -> Option<IndexEntry> {
    match line.strip_prefix(INSTEAD) {
        Some(line) if is_first => IndexEntry::parse(line.trim_start()),
        Some(_) => None,
        None => IndexEntry::parse(line),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Event, OutputOf, Stream};
    use crate::run::logs::Logs;
    use crate::run::segments::Sizes;

    fn output(name: &str, stream: Stream, text: &str) -> Event {
        Event::Output { of: OutputOf::Machine(name.to_owned()), stream, bytes: text.into() }
    }

    fn read(reader: &mut LogReader) -> Vec<String> {
        let mut pieces = Vec::new();
        let mut take = |piece: LogPiece| -> io::Result<()> {
            let OutputOf::Machine(name) = piece.source.of else { panic!("no step writes here") };
            pieces.push(format!("{name} {}", String::from_utf8(piece.bytes).unwrap()));
            Ok(())
        };
        while reader.read(&mut take).unwrap() {}
        pieces
    }

    #[test]
    fn what_came_is_read_in_its_order_and_then_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        let mut reader = LogReader::new(run.clone());
        assert_eq!(read(&mut reader), Vec::<String>::new());
        let mut logs = Logs::new(Some(run));
        let mut write = |millis, name: &str, stream, text: &str| {
            assert_eq!(logs.record(Duration::from_millis(millis), &output(name, stream, text)), None);
        };
        write(0, "a", Stream::Stdout, "1");
        write(1, "a", Stream::Stdout, "2");
        write(2, "b", Stream::Stderr, "3");
        write(3, "a", Stream::Stdout, "4");
        write(4, "a", Stream::Console, "k");
        assert_eq!(read(&mut reader), ["a 12", "b 3", "a 4", "a k"]);
        write(5, "b", Stream::Stderr, "5");
        write(6, "b", Stream::Stdout, "6");
        write(7, "a", Stream::Stdout, "7");
        assert_eq!(read(&mut reader), ["b 5", "b 6", "a 7"]);
        write(8, "a", Stream::Stdout, "8");
        assert_eq!(read(&mut reader), ["a 8"]);
        assert_eq!(read(&mut reader), Vec::<String>::new());
    }

    #[test]
    fn a_log_of_many_files_is_read_as_one_from_the_oldest_that_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        let mut logs = Logs::new(Some(run.clone())).with_service_sizes(Sizes { segment: 30, kept: 3 });
        let mut along = LogReader::new(run.clone());
        let mut seen = String::new();
        for number in 10..40 {
            for name in ["a", "b"] {
                let text = format!("line {number}\n");
                assert_eq!(logs.record(Duration::from_secs(number), &output(name, Stream::Stdout, &text)), None);
            }
            if number % 7 == 0 {
                seen += &read(&mut along).concat();
            }
        }
        seen += &read(&mut along).concat();
        let lines =
            |from: u64| (from..40).map(|number| format!("a line {number}\nb line {number}\n")).collect::<String>();
        assert_eq!(seen, lines(10), "who reads along misses nothing");
        let late = read(&mut LogReader::new(run)).concat();
        let first: u64 = late["a line ".len()..][..2].parse().unwrap();
        assert!((20..30).contains(&first), "{late}");
        assert_eq!(late, lines(first));
    }

    #[test]
    fn what_is_there_is_read_to_its_end_however_much_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        let mut logs = Logs::new(Some(run.clone())).with_service_sizes(Sizes { segment: 30, kept: 99 });
        let mut number = 0;
        let mut write = || {
            for name in ["a", "b"] {
                let text = format!("{number} ");
                assert_eq!(logs.record(Duration::from_secs(number), &output(name, Stream::Stdout, &text)), None);
            }
            number += 1;
        };
        (0..20).for_each(|_| write());
        let mut reader = LogReader::new(run);
        let mut read = || {
            let mut seen = String::new();
            let mut take = |piece: LogPiece| -> io::Result<()> {
                seen += &String::from_utf8(piece.bytes).unwrap();
                write();
                assert!(seen.len() < 1000, "it goes on for ever");
                Ok(())
            };
            reader.read_present(&mut take).unwrap();
            seen
        };
        let both =
            |numbers: std::ops::Range<u64>| numbers.map(|number| format!("{number} {number} ")).collect::<String>();
        assert_eq!(read(), both(0..20));
        // What came meanwhile comes the next time.
        assert!(read().starts_with(&both(20..40)));
    }

    #[test]
    fn lines_that_stand_for_an_index_that_is_gone_are_taken_by_who_did_not_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        std::fs::write(run.service_log("a"), "123456").unwrap();
        let index = run.log_index();
        let old = "0 0 o machine \"a\"\n1 2 e machine \"a\"\n";
        let new = "= 0 0 o machine \"a\"\n2 4 o machine \"a\"\n";
        std::fs::write(folder.path().join("output.index.0"), old).unwrap();
        std::fs::write(&index, new).unwrap();
        assert_eq!(read(&mut LogReader::new(run.clone())), ["a 12", "a 34", "a 56"]);
        std::fs::rename(folder.path().join("output.index.0"), folder.path().join("output.index.7")).unwrap();
        std::fs::write(folder.path().join("output.index.7"), new).unwrap();
        std::fs::write(&index, "").unwrap();
        assert_eq!(read(&mut LogReader::new(run)), ["a 1234", "a 56"]);
    }

    #[test]
    fn a_log_that_is_gone_and_a_line_that_is_none_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::fake("1", folder.path());
        let text = "0 0 o machine \"gone\"\nwhat is this\n1 0 o machine \"a\"\n2 0 o mach";
        std::fs::write(run.log_index(), text).unwrap();
        std::fs::write(run.service_log("a"), "text").unwrap();
        assert_eq!(read(&mut LogReader::new(run)), ["a text"]);
    }
}
