//! Which files a guest made or changed since the host began to ask: so many at most, told from all others by device,
//! inode and birth.
//!
//! Off, as it is by default, nothing is kept. No system call is made here.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::nodes::FileKey;

/// As many files are remembered; each takes some fifty bytes.
pub(super) const RECORDED_MAX: usize = 1_000_000;

/// A file as it is remembered. Numbers of inodes are given out again; that of a file which is gone must not mean the
/// one that came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    birth: i64,
}

impl Mark {
    pub(super) fn of(key: &FileKey) -> Self {
        // Nanoseconds of some hundred years fit.
        let birth = i64::try_from(key.birth).unwrap_or(i64::MAX);
        Self { device: key.device, inode: key.inode, birth }
    }
}

/// What was recorded.
#[derive(Debug, Default)]
pub(super) struct Marks {
    files: HashSet<Mark>,
    /// Whether there was more than fits.
    pub(super) is_over: bool,
}

impl Marks {
    pub(super) fn has(&self, mark: Mark) -> bool {
        self.files.contains(&mark)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn add(&mut self, mark: Mark, limit: usize) {
        if self.files.len() < limit {
            self.files.insert(mark);
        } else if !self.files.contains(&mark) {
            self.is_over = true;
        }
    }
}

/// Remembers what a guest changes.
#[derive(Debug)]
pub(super) struct Recorder {
    is_on: AtomicBool,
    marks: Mutex<Marks>,
    limit: usize,
}

impl Recorder {
    /// One that is off, and once on remembers this many files.
    pub(super) fn new(limit: usize) -> Self {
        Self { is_on: AtomicBool::new(false), marks: Mutex::default(), limit }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was recorded and records from now on.
    pub(super) fn begin(&self) {
        *self.marks() = Marks::default();
        self.is_on.store(true, Ordering::Release);
    }

    /// Ends the recording and gives what was recorded.
    pub(super) fn end(&self) -> Marks {
        self.is_on.store(false, Ordering::Release);
        std::mem::take(&mut *self.marks())
    }

    /// Whether it is worth to ask for a key.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Records a file.
    pub(super) fn note(&self, key: &FileKey) {
        if self.is_on() {
            self.marks().add(Mark::of(key), self.limit);
        }
    }

    /// Forgets a file that is no more.
    pub(super) fn forget(&self, key: &FileKey) {
        if self.is_on() {
            self.marks().files.remove(&Mark::of(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64, birth: i128) -> FileKey {
        FileKey { device: 1, inode, mount: 1, birth }
    }

    #[test]
    fn nothing_is_kept_unless_it_is_on_and_each_begin_starts_anew() {
        let recorder = Recorder::new(9);
        recorder.note(&key(1, 0));
        recorder.begin();
        assert!(recorder.marks().is_empty());
        recorder.note(&key(2, 0));
        recorder.begin();
        recorder.note(&key(3, 0));
        let marks = recorder.end();
        assert!(marks.has(Mark::of(&key(3, 0))) && !marks.has(Mark::of(&key(2, 0))) && !marks.is_over);
        recorder.note(&key(4, 0));
        assert!(recorder.end().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_known_and_a_known_file_always_fits() {
        let recorder = Recorder::new(2);
        recorder.begin();
        for inode in [1, 2, 1, 2] {
            recorder.note(&key(inode, 0));
        }
        assert!(!recorder.marks().is_over);
        recorder.forget(&key(1, 0));
        recorder.note(&key(3, 0));
        assert!(!recorder.marks().is_over);
        recorder.note(&key(4, 0));
        assert!(recorder.end().is_over);
    }

    #[test]
    fn inode_that_was_given_out_again_is_another_file() {
        let recorder = Recorder::new(2);
        recorder.begin();
        recorder.note(&key(1, 5));
        assert!(!recorder.end().has(Mark::of(&key(1, 6))));
    }
}
