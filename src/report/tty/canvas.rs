//! The part of a terminal that a block stands on: what was painted, and what waits for the next frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::line::Line;
use super::painter::{LEAVE, frame};
use super::render::Size;
use crate::report::reporter::Sink;
use crate::report::style::Style;

/// Permanent text that is not held back for the next frame.
const PENDING_LIMIT: usize = 64 * 1024;

/// Something that is shown as a block with permanent lines above it. Time is told from outside.
pub trait Painted: Send {
    /// What it is told.
    type Fact: Send;

    /// When a fact was known, since the start.
    fn time_of(fact: &Self::Fact) -> Duration;

    /// Takes the next fact.
    fn take(&mut self, fact: &Self::Fact);

    /// The screen has this size now.
    fn resize(&mut self, size: Size);

    /// Whether so much is to be shown that the next frame should not wait.
    fn is_urgent(&self) -> bool;

    /// Paints a frame, `now` after the start; one without a block where the terminal is not ours now.
    fn draw(&mut self, now: Duration, is_ours: bool);

    /// Takes the block off the screen; the next frame brings it back.
    fn leave(&mut self);
}

/// A terminal with a block on it.
#[derive(Debug)]
pub(super) struct Canvas {
    terminal: Sink,
    /// Permanent text for the next frame.
    pub(super) pending: String,
    is_drawn: Arc<AtomicBool>,
    /// Rows of the block on the screen, where it is known.
    drawn_rows: usize,
}

impl Canvas {
    pub(super) fn new(terminal: Sink) -> Self {
        Self { terminal, pending: String::new(), is_drawn: Arc::default(), drawn_rows: 0 }
    }

    /// Whether a block is on the screen.
    pub(super) fn is_drawn(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_drawn)
    }

    /// The screen has another size.
    pub(super) fn resize(&mut self) {
        self.drawn_rows = 0;
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_LIMIT
    }

    /// Adds a permanent line.
    pub(super) fn say(&mut self, line: &str) {
        self.pending.push_str(line);
        self.pending.push_str("\r\n");
    }

    /// Whether a frame would change anything.
    pub(super) fn has_news(&self, has_block: bool) -> bool {
        has_block || self.is_drawn.load(Ordering::Relaxed) || !self.pending.is_empty()
    }

    /// Paints a frame; none is no block.
    pub(super) fn paint(&mut self, block: Option<Vec<Line>>, style: Style) {
        let has_block = block.is_some();
        let was_drawn = self.is_drawn.load(Ordering::Relaxed);
        let block = block.unwrap_or_default();
        // Before the first byte, so that a panic in between takes the block off too.
        self.is_drawn.store(has_block || was_drawn, Ordering::Relaxed);
        if has_block || was_drawn {
            let has_rows = was_drawn && block.len() <= self.drawn_rows;
            self.terminal.write(frame(&self.pending, &block, has_rows, style).as_bytes());
            // Rows that a higher block had are still there, unless other lines took them.
            self.drawn_rows = if has_rows && self.pending.is_empty() { self.drawn_rows } else { block.len() };
        } else {
            self.terminal.write(self.pending.as_bytes());
        }
        self.is_drawn.store(has_block, Ordering::Relaxed);
        self.pending.clear();
    }

    /// Takes the block off the screen.
    pub(super) fn leave(&mut self) {
        if self.is_drawn.swap(false, Ordering::Relaxed) {
            self.terminal.write(LEAVE.as_bytes());
        }
    }
}
