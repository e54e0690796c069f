//! The part of a terminal that a block stands on: what was painted, and what waits for the next frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bar::Signs;
use super::line::Line;
use super::painter::{LEAVE, frame};
use super::render::Size;
use super::reporter::Screen;
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

    /// The block, `now` after the start; none where there is nothing more to be one.
    fn block(&self, now: Duration) -> Option<Vec<Line>>;

    /// What it is painted on.
    fn canvas(&mut self) -> &mut Canvas;

    /// Whether all was told, so that the last frame should not wait.
    fn is_over(&self) -> bool {
        false
    }

    /// The screen has this size now.
    fn resize(&mut self, size: Size) {
        self.canvas().resize(size);
    }

    /// Whether so much is to be shown that the next frame should not wait.
    fn is_urgent(&mut self) -> bool {
        self.is_over() || self.canvas().is_full()
    }

    /// Paints a frame, `now` after the start; one without a block where the terminal is not ours now.
    fn draw(&mut self, now: Duration, is_ours: bool) {
        let block = if is_ours { self.block(now) } else { None };
        self.canvas().paint(block);
    }

    /// Takes the block off the screen; the next frame brings it back.
    fn leave(&mut self) {
        self.canvas().leave();
    }

    /// Whether a block is on the screen, for whoever else must print something: [`LEAVE`] takes it off.
    fn is_drawn(&mut self) -> Arc<AtomicBool> {
        self.canvas().is_drawn()
    }
}

/// A terminal with a block on it.
#[derive(Debug)]
pub struct Canvas {
    terminal: Sink,
    /// The signs that it has.
    pub(super) signs: Signs,
    pub(super) size: Size,
    style: Style,
    /// Permanent text for the next frame.
    pub(super) pending: String,
    is_drawn: Arc<AtomicBool>,
    /// The block on the screen, where it is known.
    drawn: Vec<Line>,
    /// Rows that are there for one.
    drawn_rows: usize,
}

impl Canvas {
    pub(super) fn new(screen: Screen, style: Style) -> Self {
        let Screen { signs, size, terminal } = screen;
        Self {
            terminal,
            signs,
            size,
            style,
            pending: String::new(),
            is_drawn: Arc::default(),
            drawn: Vec::new(),
            drawn_rows: 0,
        }
    }

    /// Whether a block is on the screen.
    fn is_drawn(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_drawn)
    }

    /// The screen has another size.
    fn resize(&mut self, size: Size) {
        self.size = size;
        self.drawn.clear();
        self.drawn_rows = 0;
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_LIMIT
    }

    /// Adds a permanent line.
    pub(super) fn say(&mut self, line: &str) {
        self.pending.push_str(line);
        self.pending.push_str("\r\n");
    }

    /// Paints a frame; none is no block. Where it would change nothing the terminal is left alone.
    pub(super) fn paint(&mut self, block: Option<Vec<Line>>) {
        let has_block = block.is_some();
        let was_drawn = self.is_drawn.load(Ordering::Relaxed);
        let block = block.unwrap_or_default();
        if self.pending.is_empty() && was_drawn == has_block && self.drawn == block {
            return;
        }
        // Before the first byte, so that a panic in between takes the block off too.
        self.is_drawn.store(has_block || was_drawn, Ordering::Relaxed);
        if has_block || was_drawn {
            let has_rows = was_drawn && block.len() <= self.drawn_rows;
            self.terminal.write(frame(&self.pending, &block, has_rows, self.style).as_bytes());
            // Rows that a higher block had are still there, unless other lines took them.
            self.drawn_rows = if has_rows && self.pending.is_empty() { self.drawn_rows } else { block.len() };
        } else {
            self.terminal.write(self.pending.as_bytes());
        }
        self.is_drawn.store(has_block, Ordering::Relaxed);
        self.drawn = block;
        self.pending.clear();
    }

    /// Takes the block off the screen.
    fn leave(&mut self) {
        self.drawn.clear();
        if self.is_drawn.swap(false, Ordering::Relaxed) {
            self.terminal.write(LEAVE.as_bytes());
        }
    }
}
