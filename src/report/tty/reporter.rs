//! What a terminal shows of a run: a block that is drawn again and again, above it a line for all that has ended.
//!
//! Time is told from outside: [`Painted::draw`] is called when events came and now and then. Deliberately not
//! here: clocks, signals, the size of the screen (`cli` knows the terminal).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::bar::Signs;
use super::canvas::{Canvas, Painted};
use super::critical::render_critical_path;
use super::painter::LEAVE;
use super::render::{Size, render};
use super::spoken::Spoken;
use super::state::RunView;
use crate::event::{Event, MachinePhase, StepStatus, Timed};
use crate::plan::Plan;
use crate::report::plain::render_summary;
use crate::report::readable::readable;
use crate::report::reporter::{ReportOptions, Reporter, Sink, Verbosity};
use crate::report::words;

/// Shows a run on a terminal.
#[derive(Debug)]
pub struct TerminalReporter {
    options: ReportOptions,
    signs: Signs,
    size: Size,
    pub(super) view: RunView,
    canvas: Canvas,
    spoken: Spoken,
    is_finished: bool,
}

impl TerminalReporter {
    /// A reporter of a run of this plan, of which so many steps may run at the same time.
    pub fn new(options: ReportOptions, plan: Arc<Plan>, places: usize, screen: Screen) -> Self {
        let Screen { signs, size, terminal } = screen;
        Self {
            options,
            signs,
            size,
            view: RunView::new(plan, places),
            canvas: Canvas::new(terminal),
            spoken: Spoken::default(),
            is_finished: false,
        }
    }

    /// Whether a block is on the screen, for whoever else must print something: see [`TerminalReporter::LEAVE`].
    pub fn is_drawn(&self) -> Arc<AtomicBool> {
        self.canvas.is_drawn()
    }

    /// What takes the block off the screen.
    pub const LEAVE: &'static str = LEAVE;

    fn say(&mut self, line: &str) {
        self.canvas.say(line);
    }

    fn machine(&mut self, timed: &Timed) {
        let Event::Machine { machine, phase, seconds, engine, cause } = &timed.event else { return };
        let style = self.options.stderr_style;
        if *phase == MachinePhase::Failed {
            let cause = readable(words::first_line(cause.as_deref()).as_bytes());
            let sign = style.bad(&self.signs.failed().to_string());
            self.say(&format!("{sign} machine {machine}: {}: {cause}", style.bad("failed")));
        } else if self.options.verbosity == Verbosity::Verbose {
            let engine = engine.as_ref().map(|engine| format!(", {engine}")).unwrap_or_default();
            let (phase, took) = (words::machine_phase(*phase), words::render_seconds(*seconds));
            self.say(&style.dim(&format!("{} machine {machine}: {phase}{engine} after {took}", self.signs.waiting())));
        }
    }

    fn step_finished(&mut self, event: &Event) {
        let Event::StepFinished { step, status, exit_code, seconds, cause, is_allowed, .. } = event else { return };
        self.spoken.end(step, &mut self.canvas.pending);
        let style = self.options.stderr_style;
        let end = readable(words::step_end(*status, *exit_code, cause.as_deref()).as_bytes());
        let (sign, end) = match status {
            StepStatus::Passed => (style.good(&self.signs.passed().to_string()), end),
            StepStatus::Failed | StepStatus::TimedOut if *is_allowed => {
                (style.warn("!"), style.warn(&format!("{end} (allowed)")))
            }
            StepStatus::Failed | StepStatus::TimedOut => (style.bad(&self.signs.failed().to_string()), style.bad(&end)),
            StepStatus::Canceled | StepStatus::Skipped => (style.dim("-"), style.dim(&end)),
        };
        let took = match status {
            StepStatus::Skipped => String::new(),
            _ => format!(" in {}", words::render_seconds(*seconds)),
        };
        self.say(&format!("{sign} {step}: {end}{took}"));
    }

    fn run_finished(&mut self, event: &Event) {
        self.spoken.end_all(&mut self.canvas.pending);
        let style = self.options.stderr_style;
        let mut text = self.view.failures.render(style, &self.options.again);
        if !text.is_empty() {
            text.push('\n');
        }
        let summary = render_summary(event, style);
        let mut summary = summary.trim_end();
        // What the block above it says needs no saying again.
        if let Event::RunFinished { cause: Some(cause), .. } = event
            && self.view.failures.tell(cause)
        {
            summary =
                summary.strip_suffix(words::first_line(Some(cause))).unwrap_or(summary).trim_end_matches([':', ' ']);
        }
        text.push_str(summary);
        if let Some(path) = render_critical_path(&self.view) {
            let _ = write!(text, "; {}", style.dim(&path));
        }
        text.push('\n');
        self.canvas.pending.push_str(&text.replace('\n', "\r\n"));
        self.is_finished = true;
    }
}

/// Where and with which signs a run is shown.
#[derive(Debug)]
pub struct Screen {
    /// The signs that it has.
    pub signs: Signs,
    /// Its size.
    pub size: Size,
    /// The terminal.
    pub terminal: Sink,
}

impl Painted for TerminalReporter {
    type Fact = Timed;

    fn time_of(fact: &Timed) -> Duration {
        fact.at
    }

    fn take(&mut self, fact: &Timed) {
        self.on(fact);
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
        self.canvas.resize();
    }

    fn is_urgent(&self) -> bool {
        self.is_finished || self.canvas.is_full()
    }

    fn draw(&mut self, now: Duration, is_ours: bool) {
        let has_block = is_ours && !self.is_finished;
        if self.canvas.has_news(has_block) {
            let block = has_block.then(|| render(&self.view, self.signs, self.size, now));
            self.canvas.paint(block, self.options.stderr_style);
        }
    }

    fn leave(&mut self) {
        self.canvas.leave();
    }
}

impl Reporter for TerminalReporter {
    fn on(&mut self, timed: &Timed) {
        self.view.on(timed);
        let is_verbose = self.options.verbosity == Verbosity::Verbose;
        let style = self.options.stderr_style;
        match &timed.event {
            Event::RunStarted { run, project } if is_verbose => {
                self.say(&style.dim(&format!("project {project}: run {run}")));
            }
            Event::Machine { .. } => self.machine(timed),
            Event::Progress { machine, text } if is_verbose => {
                let text = readable(text.as_bytes());
                self.say(&style.dim(&format!("{} machine {machine}: {text}", self.signs.waiting())));
            }
            Event::Output { of, stream, bytes } if is_verbose => {
                let margin = style.dim(&self.signs.margin().to_string());
                let prefix = |name: &str| format!("{} {margin} ", style.bold(name));
                self.spoken.take(of, *stream, bytes, &mut self.canvas.pending, prefix);
            }
            Event::Service { machine, .. } => {
                let words = readable(words::service(&timed.event).as_bytes());
                self.say(&style.dim(&format!("service {machine}: {words}")));
            }
            Event::StepFinished { .. } => self.step_finished(&timed.event),
            Event::Ownership { step, changed, linked } => {
                self.say(&style.dim(&format!("step {step}: {}", words::ownership(*changed, *linked))));
            }
            Event::Warning { text } => {
                let text = readable(text.as_bytes());
                self.say(&format!("{} {text}", style.warn("warning:")));
            }
            Event::RunFinished { .. } => self.run_finished(&timed.event),
            Event::RunStarted { .. }
            | Event::Progress { .. }
            | Event::Pull { .. }
            | Event::Waiting { .. }
            | Event::StepStarted { .. }
            | Event::Output { .. } => {}
        }
    }
}
