//! What a terminal shows of images on their way: a bar for all, a line an image, a bar a layer.
//!
//! ```text
//! pulling 2 images  ━━━━━╸─────  12 of 30 MiB  4.1 MiB/s  4s left     3.2s
//! ⠹ alpine:3.20
//!     1e42bbe25081  fetching   ━━━━━╸─────  3.1 of 8.2 MiB
//!     10901ccd8d24  unpacking  ━━━━━━━━━━─  8.0 of 8.2 MiB
//!     … 3 more layers wait
//! · debian:12       asks the registry
//! ```
//!
//! An image that is here, or failed, leaves one line above the block. Deliberately not here: the forms for pipes and
//! programs (`report::pull`).

mod render;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::bar::Signs;
use super::canvas::{Canvas, Painted};
use super::painter::LEAVE;
use super::render::Size;
use super::reporter::Screen;
use crate::report::pull::{PullFact, PullOutcome, PullView, TimedFact, end_of_image};
use crate::report::readable::readable;
use crate::report::reporter::ReportOptions;

/// Shows pulls on a terminal.
#[derive(Debug)]
pub struct TerminalPull {
    options: ReportOptions,
    signs: Signs,
    size: Size,
    view: PullView,
    canvas: Canvas,
    /// How many images will be asked for.
    count: usize,
}

impl TerminalPull {
    /// A reporter of so many images.
    pub fn new(options: ReportOptions, count: usize, screen: Screen) -> Self {
        let Screen { signs, size, terminal } = screen;
        Self { options, signs, size, view: PullView::default(), canvas: Canvas::new(terminal), count }
    }

    /// Whether a block is on the screen, for whoever else must print something: see [`TerminalPull::LEAVE`].
    pub fn is_drawn(&self) -> Arc<AtomicBool> {
        self.canvas.is_drawn()
    }

    /// What takes the block off the screen.
    pub const LEAVE: &'static str = LEAVE;

    fn is_over(&self) -> bool {
        self.view.counts().0 >= self.count
    }
}

impl Painted for TerminalPull {
    type Fact = TimedFact;

    fn time_of(fact: &TimedFact) -> Duration {
        fact.at
    }

    fn take(&mut self, fact: &TimedFact) {
        let place = self.view.on(fact);
        let PullFact::Finished { outcome, .. } = &fact.fact else { return };
        let (style, view) = (self.options.stderr_style, &self.view.images[place]);
        let name = readable(view.name.as_bytes());
        let end = end_of_image(view, fact.at.saturating_sub(view.started));
        let line = match outcome {
            PullOutcome::Here { .. } => {
                format!("{} {name}: {end}", style.good(&self.signs.passed().to_string()))
            }
            PullOutcome::Failed { .. } => {
                format!("{} {name}: {}: {end}", style.bad(&self.signs.failed().to_string()), style.bad("failed"))
            }
        };
        self.canvas.say(&line);
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
        self.canvas.resize();
    }

    fn is_urgent(&self) -> bool {
        self.is_over() || self.canvas.is_full()
    }

    fn draw(&mut self, now: Duration, is_ours: bool) {
        let has_block = is_ours && !self.is_over();
        if self.canvas.has_news(has_block) {
            let block = has_block.then(|| render::render(&self.view, self.count, self.signs, self.size, now));
            self.canvas.paint(block, self.options.stderr_style);
        }
    }

    fn leave(&mut self) {
        self.canvas.leave();
    }
}
