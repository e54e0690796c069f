//! How far a download is, seen from outside: by the bytes in the folder where a tool puts it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::waiter::Waiter;

/// How often the waiter is told, at most.
const PERIOD: Duration = Duration::from_millis(200);

/// A download that goes on.
#[derive(Debug)]
pub(crate) struct Pull<'a> {
    what: &'a str,
    folder: &'a Path,
    total: u64,
    /// When the waiter was told last, and how many bytes.
    told: Option<(Instant, u64)>,
}

impl<'a> Pull<'a> {
    /// A download of this name into this folder; `total` is 0 where the size is not known.
    pub(crate) fn new(what: &'a str, folder: &'a Path, total: u64) -> Self {
        Self { what, folder, total, told: None }
    }

    /// Looks, and tells the waiter where there is news.
    pub(crate) fn look(&mut self, waiter: &mut dyn Waiter) {
        if self.told.is_some_and(|(when, _)| when.elapsed() < PERIOD) {
            return;
        }
        self.tell(waiter);
    }

    /// Tells the waiter what is here in the end.
    pub(crate) fn end(&mut self, waiter: &mut dyn Waiter) {
        self.tell(waiter);
    }

    fn tell(&mut self, waiter: &mut dyn Waiter) {
        let done = bytes_below(self.folder);
        if self.told.is_some_and(|(_, told)| told == done) {
            return;
        }
        let total = (self.total > 0).then_some(self.total.max(done));
        waiter.pulled(self.what, done, total);
        self.told = Some((Instant::now(), done));
    }
}

/// Bytes of all files below a folder. What vanishes while it is looked at (a partial file that gets its name) counts
/// as nothing.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => bytes_below(&entry.path()),
        Ok(facts) => facts.len(),
        Err(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Vec<(String, u64, Option<u64>)>);

    impl Waiter for Told {
        fn tell(&mut self, _: &str) {}

        fn pulled(&mut self, what: &str, done: u64, total: Option<u64>) {
            self.0.push((what.to_owned(), done, total));
        }
    }

    #[test]
    fn bytes_of_partial_files_count_and_the_same_is_not_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("partial")).unwrap();
        fs::write(folder.path().join("partial/a"), [0; 30]).unwrap();
        fs::write(folder.path().join("b"), [0; 12]).unwrap();
        let mut told = Told::default();
        let mut pull = Pull::new("kernel", folder.path(), 100);
        pull.look(&mut told);
        pull.end(&mut told);
        fs::write(folder.path().join("b"), [0; 112]).unwrap();
        pull.end(&mut told);
        let kernel = "kernel".to_owned();
        assert_eq!(told.0, [(kernel.clone(), 42, Some(100)), (kernel, 142, Some(142))]);
    }

    #[test]
    fn a_size_that_nobody_knows_is_none() {
        let mut told = Told::default();
        Pull::new("kernel", Path::new("/nonexistent"), 0).end(&mut told);
        assert_eq!(told.0, [("kernel".to_owned(), 0, None)]);
    }
}
