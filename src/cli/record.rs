//! The file that keeps the events of a run. Where it cannot be written the run goes on, and this is said at its end.
//!
//! Deliberately not here: what is written (`report`).

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The file, as a writer that remembers why it failed.
#[derive(Debug)]
pub(crate) struct Record {
    file: File,
    failure: Failure,
}

/// Why a record could not be written, once it could not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// The first reason.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Record {
    /// A writer to this file, and where its failure will be told.
    pub(crate) fn new(file: File) -> (Self, Failure) {
        let failure = Failure::default();
        (Self { file, failure: failure.clone() }, failure)
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let mut failure = self.failure.0.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.to_string());
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_on_a_full_disk_remembers_why() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (mut record, failure) = Record::new(full);
        assert_eq!(failure.get(), None);
        assert!(record.write_all(b"event").is_err());
        assert!(failure.get().unwrap().contains("No space left on device"));
    }
}
