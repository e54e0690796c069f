//! The block of pulls as a reporter: facts in, what is painted out. Not here: what the block looks like.

use std::time::Duration;

use super::super::canvas::{Canvas, Painted};
use super::super::line::Line;
use super::super::reporter::Screen;
use super::render;
use crate::report::pull::{PullFact, PullOutcome, PullView, TimedFact, end_of_image};
use crate::report::readable::readable;
use crate::report::reporter::ReportOptions;

/// Shows pulls on a terminal.
#[derive(Debug)]
pub struct TerminalPull {
    options: ReportOptions,
    view: PullView,
    canvas: Canvas,
    /// How many images will be asked for.
    count: usize,
}

impl TerminalPull {
    /// A reporter of so many images.
    pub fn new(options: ReportOptions, count: usize, screen: Screen) -> Self {
        let canvas = Canvas::new(screen, options.stderr_style);
        Self { options, view: PullView::default(), canvas, count }
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
                format!("{} {name}: {end}", style.good(&self.canvas.signs.passed().to_string()))
            }
            PullOutcome::Failed { .. } => {
                format!("{} {name}: {}: {end}", style.bad(&self.canvas.signs.failed().to_string()), style.bad("failed"))
            }
        };
        self.canvas.say(&line);
    }

    fn block(&self, now: Duration) -> Option<Vec<Line>> {
        let Canvas { signs, size, .. } = &self.canvas;
        (!self.is_over()).then(|| render::render(&self.view, self.count, *signs, *size, now))
    }

    fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    fn is_over(&self) -> bool {
        self.view.counts().0 >= self.count
    }
}
