//! How far fetching or building a kernel is: one line that is drawn again on a terminal, lines elsewhere.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::printer::Printer;
use crate::cli::report_run::Mode;
use crate::cli::terminal::Terminal;
use crate::image::Waiter;
use crate::report::Signs;

/// Shortest time between two pictures of the line.
const FRAME: Duration = Duration::from_millis(100);
/// Where there is no terminal a work that goes on is told at each of so many parts.
const PARTS: u64 = 10;
/// Columns of a bar.
const BAR_COLUMNS: u64 = 24;

/// Who waits at the command line.
pub(super) struct Shown {
    mode: Mode,
    printer: Printer,
    has_left: Arc<AtomicBool>,
    began: Instant,
    /// The words on the line.
    words: String,
    drawn: Option<Instant>,
    /// The part of the work that was told last.
    part: u64,
}

impl Shown {
    /// Shows it so; `has_left` says that nobody waits any more.
    pub(super) fn new(mode: Mode, printer: Printer, has_left: Arc<AtomicBool>) -> Self {
        Self { mode, printer, has_left, began: Instant::now(), words: String::new(), drawn: None, part: 0 }
    }

    fn advanced(&mut self, what: &str, done: u64, total: Option<u64>, amount: String) {
        match self.mode {
            Mode::Tty => {
                if self.drawn.is_none_or(|when| when.elapsed() >= FRAME) || total == Some(done) {
                    self.draw(&format!("{what}  {}{amount}", bar(done, total, Terminal::Stderr.screen().signs)));
                }
            }
            Mode::Plain | Mode::Json => {
                let part = total.map_or(0, |total| done.saturating_mul(PARTS) / total.max(1));
                if part > self.part {
                    self.part = part;
                    self.printer.note(&format!("{what}: {amount}\n"));
                }
            }
            Mode::Quiet => {}
        }
    }

    /// Draws the line in the place of the last one.
    fn draw(&mut self, text: &str) {
        let seconds = self.began.elapsed().as_secs();
        let text = format!("{text}  {}:{:02}", seconds / 60, seconds % 60);
        let columns = Terminal::Stderr.screen().size.columns.saturating_sub(1);
        let text: String = text.chars().take(columns).collect();
        let mut stderr = std::io::stderr().lock();
        // A terminal that has gone is told nothing.
        let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
        self.drawn = Some(Instant::now());
    }
}

impl Waiter for Shown {
    fn tell(&mut self, words: &str) {
        self.part = 0;
        words.clone_into(&mut self.words);
        match self.mode {
            Mode::Tty => self.draw(words),
            Mode::Plain | Mode::Json => self.printer.note(&format!("{words}\n")),
            Mode::Quiet => {}
        }
    }

    fn pulled(&mut self, _: &str, done: u64, total: Option<u64>) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let amount = match total {
            Some(total) => format!("{} of {} MiB", mib(done), mib(total)),
            None => format!("{} MiB", mib(done)),
        };
        self.advanced(&self.words.clone(), done, total, amount);
    }

    fn worked(&mut self, what: &str, done: u64, total: Option<u64>) {
        let amount = match total {
            Some(total) => format!("{done} of about {total} files"),
            None => format!("{done} files"),
        };
        self.advanced(what, done, total, amount);
    }

    fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }
}

/// A bar with a space behind it, nothing where the total is not known.
fn bar(done: u64, total: Option<u64>, signs: Signs) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return String::new() };
    let full = (done.min(total).saturating_mul(BAR_COLUMNS) / total).min(BAR_COLUMNS);
    let (full_sign, empty_sign) = match signs {
        Signs::Unicode => ("━", "─"),
        Signs::Ascii => ("#", "-"),
    };
    let times = |sign: &str, count: u64| sign.repeat(usize::try_from(count).unwrap_or(0));
    format!("{}{}  ", times(full_sign, full), times(empty_sign, BAR_COLUMNS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, Some(10), Signs::Ascii), "------------------------  ");
        assert_eq!(bar(5, Some(10), Signs::Ascii), "############------------  ");
        assert_eq!(bar(20, Some(10), Signs::Unicode), format!("{}  ", "━".repeat(24)));
        assert_eq!(bar(5, None, Signs::Ascii), "");
    }
}
