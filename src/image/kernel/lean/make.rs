//! Runs `make` in a kernel's tree: nothing of the user's environment decides what comes out, all that is said goes to a
//! log, and what was compiled is counted from there.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::super::cache::Cache;
use super::super::super::tool::{Tool, ToolError};
use super::super::super::waiter::Waiter;
use super::LOG;
use super::error::LeanError;

/// Most lines of a failed build that are repeated.
const SAID_LINES: usize = 3;
/// Most bytes of each of them.
const SAID_BYTES: usize = 300;
/// Longest log that is searched for what went wrong.
const LOG_MAX: u64 = 16 << 20;

/// A tree and how `make` runs in it.
pub(super) struct Make<'a> {
    /// The kernel's tree.
    pub(super) tree: &'a Path,
    /// Folder that goes when all is over.
    pub(super) scratch: &'a Path,
    /// Where the log of a failure is kept.
    pub(super) cache: &'a Cache,
}

impl Make<'_> {
    /// The log.
    pub(super) fn log(&self) -> PathBuf {
        self.scratch.join("log")
    }

    /// Runs `make` to its end; meanwhile `look` is called again and again.
    pub(super) fn run(
        &self,
        what: &'static str,
        args: &[&str],
        waiter: &mut dyn Waiter,
        look: &mut dyn FnMut(&mut dyn Waiter),
    ) -> Result<(), LeanError> {
        let temporary = self.scratch.join("tmp");
        fs::create_dir_all(&temporary).map_err(|source| LeanError::io("make", &temporary, source))?;
        let when = source_time(self.tree);
        let env = [
            ("TMPDIR", temporary.as_os_str()),
            ("KBUILD_BUILD_TIMESTAMP", OsStr::new(&when)),
            ("KBUILD_BUILD_USER", OsStr::new("smolvm")),
            ("KBUILD_BUILD_HOST", OsStr::new("localhost")),
            ("KBUILD_BUILD_VERSION", OsStr::new("1")),
        ];
        let tool = Tool::new("make").args(["ARCH=x86_64"]).args(args).folder(self.tree);
        let tool = tool.clean_env(&env).alone(waiter).log(&self.log());
        match tool.run_watched(waiter, look) {
            Ok(()) => Ok(()),
            Err(ToolError::NotWanted { .. }) => Err(LeanError::NotWanted),
            Err(error) => Err(self.failed(what, &error)),
        }
    }

    fn failed(&self, what: &'static str, error: &ToolError) -> LeanError {
        let text = read_log(&self.log());
        let said = what_went_wrong(&text).unwrap_or_else(|| error.to_string());
        let kept = self.cache.publish_file::<(), std::io::Error>(LOG, |file| {
            std::io::copy(&mut File::open(self.log())?, file).map(drop)
        });
        LeanError::Failed { what, said, log: kept.ok().map(|(path, ())| path) }
    }
}

/// Counts what a log says was made.
pub(super) struct Counter {
    log: PathBuf,
    file: Option<File>,
    is_line_start: bool,
    /// How many are made.
    pub(super) count: u64,
}

impl Counter {
    /// Of a log that may not be there yet.
    pub(super) fn new(log: PathBuf) -> Self {
        Self { log, file: None, is_line_start: true, count: 0 }
    }

    /// Reads on; whether there is news.
    pub(super) fn look(&mut self) -> bool {
        if self.file.is_none() {
            self.file = File::open(&self.log).ok();
        }
        let Some(file) = &mut self.file else { return false };
        let before = self.count;
        let mut piece = [0; 64 << 10];
        while let Ok(length @ 1..) = file.read(&mut piece) {
            for byte in &piece[..length] {
                // Each file that is made has a line of its own, which is indented.
                self.count += u64::from(self.is_line_start && *byte == b' ');
                self.is_line_start = *byte == b'\n';
            }
        }
        self.count > before
    }
}

/// When the source was made, as text for the kernel's own version: the same source gives the same kernel.
fn source_time(tree: &Path) -> String {
    let time = fs::metadata(tree.join("Makefile")).and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a %b %e %H:%M:%S UTC %Y").to_string()
}

fn read_log(log: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(log) {
        // What cannot be read says nothing; the failure itself is told all the same.
        let _ = file.take(LOG_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines of a log that tell the cause: those of the compiler before those of `make`, which only repeats that there
/// was one.
fn what_went_wrong(log: &str) -> Option<String> {
    let lines_with = |signs: &[&str]| -> Vec<String> {
        let lines = log.lines().map(str::trim).filter(|line| signs.iter().any(|sign| line.contains(sign)));
        lines.take(SAID_LINES).map(|line| line.chars().take(SAID_BYTES).collect()).collect()
    };
    let kinds: [&[&str]; 2] = [&["error: ", "No space left", "not found", "Killed"], &["*** "]];
    let lines = kinds.into_iter().map(lines_with).find(|lines| !lines.is_empty())?;
    Some(lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn cause_is_what_the_compiler_said_and_not_that_make_gave_up() {
        let log = "  CC      a.o\na.c:1:2: error: expected `;`\nmake[1]: *** [Makefile:3: a.o] Error 1\n";
        assert_eq!(what_went_wrong(log).unwrap(), "a.c:1:2: error: expected `;`");
        let log = "make[1]: *** No rule to make target 'x'.  Stop.\n";
        assert_eq!(what_went_wrong(log).unwrap(), "make[1]: *** No rule to make target 'x'.  Stop.");
        assert_eq!(what_went_wrong("  CC      a.o\n"), None);
    }

    #[test]
    fn files_are_counted_while_the_log_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut counter = Counter::new(path.clone());
        assert!(!counter.look());
        let mut log = File::create(&path).unwrap();
        log.write_all(b"scripts\n  CC  a.o\n ").unwrap();
        assert!(counter.look());
        log.write_all(b" AS b.o\nwarning: x\n  LD c\n").unwrap();
        assert!(counter.look());
        assert_eq!(counter.count, 3);
        assert!(!counter.look());
    }

    #[test]
    fn time_of_a_source_is_that_of_its_makefile() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(source_time(folder.path()), "Thu Jan  1 00:00:00 UTC 1970");
    }
}
