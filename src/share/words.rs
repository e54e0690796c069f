//! The server's words: errors of the libraries that it uses, and panics, as lines on its standard error.
//!
//! Its parent keeps the last of them, to say why a server died.

use std::io::{self, Write};
use std::panic;

use log::{LevelFilter, Log, Metadata, Record};

use crate::sys::exit::exit_now;

/// The exit code of a server that panicked.
const PANIC_CODE: i32 = 70;

struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Error
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Writes one line. A parent that does not listen is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Sends errors of the libraries to standard error, and makes a panic in any thread the end of the process: a server
/// that has lost a thread would leave its guest waiting.
pub(crate) fn speak_on_stderr() {
    if log::set_logger(&ToStderr).is_ok() {
        log::set_max_level(LevelFilter::Error);
    }
    panic::set_hook(Box::new(|panic| {
        say(&panic.to_string().replace('\n', " "));
        exit_now(PANIC_CODE);
    }));
}
