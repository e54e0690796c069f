//! The block of pulls as a reporter: facts in, what is painted out. Not here: what the block looks like.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::super::bar::Signs;
use super::super::canvas::{Canvas, Painted};
use super::super::painter::LEAVE;
use super::super::render::Size;
use super::super::reporter::Screen;
use super::render;
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
