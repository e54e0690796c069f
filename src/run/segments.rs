//! A log that goes on for as long as a machine lives: a row of files, of which the oldest go.
//!
//! ```text
//! db.service.0  db.service.67108870  db.service      the last one is written, the others are called by their first byte
//! ```
//!
//! So where a byte is in the log never changes, and who reads along finds the next file by where the last one ends.
//! Deliberately not here: what is in the files (`logs`, `log_index`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::state::RunFolder;

/// How long the files are, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// One that has so many bytes is followed by another.
    pub(super) segment: u64,
    /// How many are kept beside the one that is written.
    pub(super) kept: usize,
}

/// The log that is written.
#[derive(Debug)]
pub(super) struct Segments {
    path: PathBuf,
    sizes: Sizes,
    file: File,
    /// First byte of the file that is written.
    start: u64,
    /// Bytes that the log has had.
    length: u64,
}

impl Segments {
    /// A new log.
    pub(super) fn create(folder: &RunFolder, path: &Path, sizes: Sizes) -> io::Result<Self> {
        let file = folder.create(path)?;
        Ok(Self { path: path.to_owned(), sizes, file, start: 0, length: 0 })
    }

    /// Bytes that it has had.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether another file is due before something is written.
    pub(super) fn is_full(&self) -> bool {
        self.length - self.start >= self.sizes.segment
    }

    /// Begins another file, and takes the oldest away where there are too many.
    pub(super) fn turn(&mut self, folder: &RunFolder) -> io::Result<()> {
        folder.acting(|| fs::rename(&self.path, closed_path(&self.path, self.start)))?;
        self.file = folder.create(&self.path)?;
        self.start = self.length;
        let closed = closed(folder, &self.path)?;
        let too_many = closed.len().saturating_sub(self.sizes.kept);
        closed[..too_many]
            .iter()
            .try_for_each(|start| folder.acting(|| fs::remove_file(closed_path(&self.path, *start))))
    }

    /// Adds bytes, all in the same file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// A file of a log that is read.
#[derive(Debug)]
pub(super) enum Found {
    /// This one.
    File(File),
    /// It has gone; the log now begins at this byte.
    Gone(u64),
    /// There is none yet.
    NotYet,
}

/// Opens the file of a log whose first byte is `start`.
pub(super) fn open(folder: &RunFolder, path: &Path, start: u64) -> io::Result<Found> {
    let found = |opened: io::Result<File>| match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    loop {
        let all = closed(folder, path)?;
        if all.contains(&start) {
            match found(folder.open(&closed_path(path, start)))? {
                Some(file) => return Ok(Found::File(file)),
                // It went meanwhile.
                None => continue,
            }
        }
        let written = match all.last() {
            None => 0,
            Some(last) => match found(folder.open(&closed_path(path, *last)))? {
                Some(file) => last.saturating_add(file.metadata()?.len()),
                None => continue,
            },
        };
        if start < written {
            return Ok(Found::Gone(all.into_iter().find(|first| *first > start).unwrap_or(written)));
        }
        let opened = if start == written { found(folder.open(path))? } else { None };
        // What was opened is the one that is written, if none was closed meanwhile.
        if closed(folder, path)? == all {
            return Ok(opened.map_or(Found::NotYet, Found::File));
        }
    }
}

/// Bytes that a log has had, or a few less where it grows meanwhile.
pub(super) fn length(folder: &RunFolder, path: &Path) -> io::Result<u64> {
    let size = |path: &Path| match folder.open(path) {
        Ok(file) => file.metadata().map(|found| found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    loop {
        let all = closed(folder, path)?;
        let before = match all.last() {
            None => 0,
            Some(last) => last.saturating_add(size(&closed_path(path, *last))?),
        };
        let length = before.saturating_add(size(path)?);
        // One that was closed meanwhile would be missing.
        if closed(folder, path)?.last() == all.last() {
            return Ok(length);
        }
    }
}

/// Whether the file of a log whose first byte is `start` has all its bytes.
pub(super) fn is_closed(folder: &RunFolder, path: &Path, start: u64) -> io::Result<bool> {
    Ok(closed(folder, path)?.contains(&start))
}

/// First bytes of the files of a log that are not written any more, in order.
fn closed(folder: &RunFolder, path: &Path) -> io::Result<Vec<u64>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let names: Vec<OsString> = folder.acting(|| {
        let entries = fs::read_dir(folder.path())?;
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect()
    })?;
    let start = |other: &OsString| other.to_str()?.strip_prefix(name)?.strip_prefix('.')?.parse::<u64>().ok();
    let mut starts: Vec<u64> = names.iter().filter_map(start).collect();
    starts.sort_unstable();
    Ok(starts)
}

fn closed_path(path: &Path, start: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{start}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_newest_files_are_kept_and_found_by_their_first_byte() {
        let place = tempfile::tempdir().unwrap();
        let folder = RunFolder::fake("1", place.path());
        let path = place.path().join("db.service");
        let read = |start| match open(&folder, &path, start).unwrap() {
            Found::File(mut file) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            }
            Found::Gone(first) => format!("gone, {first}"),
            Found::NotYet => "not yet".to_owned(),
        };
        assert_eq!(read(0), "not yet");
        let mut log = Segments::create(&folder, &path, Sizes { segment: 4, kept: 2 }).unwrap();
        std::fs::write(place.path().join("db.service.x"), "").unwrap();
        for text in ["abc", "de", "fghi", "jklm", "no"] {
            if log.is_full() {
                log.turn(&folder).unwrap();
            }
            log.write(text.as_bytes()).unwrap();
        }
        assert_eq!(log.length(), 15);
        assert_eq!([0, 5, 9, 13, 15].map(read), ["gone, 5", "fghi", "jklm", "no", "not yet"]);
        assert!(is_closed(&folder, &path, 9).unwrap() && !is_closed(&folder, &path, 13).unwrap());
    }
}
