//! What a terminal shows of a run: a block that is drawn again and again, above it a line for all that has ended.
//!
//! Time is told from outside: [`Painted::draw`] is called when events came and now and then. Deliberately not
//! here: clocks, signals, the size of the screen (`cli` knows the terminal).

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::bar::Signs;
use super::canvas::{Canvas, Painted};
use super::critical::render_critical_path;
use super::line::Line;
use super::render::{Size, render};
use super::state::RunView;
use crate::event::{Event, MachinePhase, OutputOf, ServicePhase, StepStatus, Stream, Timed};
use crate::plan::{MachinePlan, Plan};
use crate::report::lines::{OutputLines, last_state};
use crate::report::names::Names;
use crate::report::plain::render_summary;
use crate::report::readable::readable;
use crate::report::reporter::{ReportOptions, Reporter, Sink, Verbosity};
use crate::report::service_news::ServiceNews;
use crate::report::style::Style;
use crate::report::words;

/// Shows a run on a terminal.
#[derive(Debug)]
pub struct TerminalReporter {
    options: ReportOptions,
    pub(super) view: RunView,
    canvas: Canvas,
    names: Names,
    news: ServiceNews,
    open: OutputLines,
    is_finished: bool,
}

impl TerminalReporter {
    /// A reporter of a run of this plan, of which so many steps may run at the same time.
    pub fn new(options: ReportOptions, plan: Arc<Plan>, places: usize, screen: Screen) -> Self {
        let canvas = Canvas::new(screen, options.stderr_style);
        let machines = plan.machines.iter().map(|machine| machine.name.as_str());
        let names = if plan.steps.is_empty() { Names::padded(machines) } else { Names::loose(machines) };
        let view = RunView::new(plan, places);
        let (news, open) = (ServiceNews::default(), OutputLines::default());
        Self { options, view, canvas, names, news, open, is_finished: false }
    }

    /// Whether what comes on this stream is what the run is for.
    fn speaks(&self, stream: Stream) -> bool {
        stream != Stream::Console && self.view.is_services_only()
    }

    fn say(&mut self, line: &str) {
        self.canvas.say(line);
    }

    fn machine(&mut self, timed: &Timed) {
        let Event::Machine { machine, phase, seconds, engine, cause } = &timed.event else { return };
        let style = self.options.stderr_style;
        if *phase == MachinePhase::Failed {
            let cause = readable(words::first_line(cause.as_deref()).as_bytes());
            let sign = style.bad(&self.canvas.signs.failed().to_string());
            self.say(&format!("{sign} machine {machine}: {}: {cause}", style.bad("failed")));
        } else if self.options.verbosity == Verbosity::Verbose {
            let engine = engine.as_ref().map(|engine| format!(", {engine}")).unwrap_or_default();
            let (phase, took) = (phase.name(), words::render_seconds(*seconds));
            self.say(
                &style.dim(&format!("{} machine {machine}: {phase}{engine} after {took}", self.canvas.signs.waiting())),
            );
        }
    }

    /// What a step, a console or a service prints, line by line above the block.
    fn output(&mut self, of: &OutputOf, stream: Stream, bytes: &[u8]) {
        let Self { canvas, names, open, options, .. } = self;
        open.push(of, stream, bytes, |line| print(canvas, names, options.stderr_style, of, line));
    }

    /// What was held back of their lines.
    fn flush(&mut self, of: &OutputOf) {
        let Self { canvas, names, open, options, .. } = self;
        for stream in [Stream::Stdout, Stream::Stderr] {
            open.end(of, stream, |line| print(canvas, names, options.stderr_style, of, line));
        }
    }

    /// What stays on the screen of a service: that it is there, or is not.
    fn service(&mut self, timed: &Timed) {
        let Event::Service { machine, phase, exit_code, .. } = &timed.event else { return };
        let style = self.options.stderr_style;
        let is_verbose = self.options.verbosity == Verbosity::Verbose;
        let told = self.news.words(&timed.event, is_verbose);
        let signs = self.canvas.signs;
        let is_checked = |plan: &MachinePlan| plan.service.as_ref().is_some_and(|service| service.health.is_some());
        let place = self.view.machine(machine);
        let is_checked = place.and_then(|place| self.view.plan.machines.get(place)).is_some_and(is_checked);
        if matches!(phase, ServicePhase::Exited | ServicePhase::Stopped) {
            self.flush(&OutputOf::Machine(machine.clone()));
        }
        let Some(words) = told.map(|words| readable(words.as_bytes())) else { return };
        let (sign, words) = match phase {
            ServicePhase::Started if !is_checked => (style.good(&signs.passed().to_string()), words),
            ServicePhase::Healthy => (style.good(&signs.passed().to_string()), words),
            ServicePhase::Unhealthy => (style.bad(&signs.failed().to_string()), style.bad(&words)),
            ServicePhase::Exited if *exit_code == Some(0) => (style.dim("-"), words),
            ServicePhase::Exited => (style.warn("!"), style.warn(&words)),
            _ if is_verbose => (style.dim(&signs.waiting().to_string()), style.dim(&words)),
            _ => return,
        };
        self.say(&format!("{sign} service {machine}: {words}"));
    }

    fn step_finished(&mut self, event: &Event) {
        let Event::StepFinished { step, status, exit_code, seconds, cause, is_allowed, .. } = event else { return };
        let of = OutputOf::Step(step.clone());
        self.flush(&of);
        let style = self.options.stderr_style;
        let end = readable(words::step_end(*status, *exit_code, cause.as_deref()).as_bytes());
        let (sign, end) = match status {
            StepStatus::Passed => (style.good(&self.canvas.signs.passed().to_string()), end),
            StepStatus::Failed | StepStatus::TimedOut if *is_allowed => {
                (style.warn("!"), style.warn(&format!("{end} (allowed)")))
            }
            StepStatus::Failed | StepStatus::TimedOut => {
                (style.bad(&self.canvas.signs.failed().to_string()), style.bad(&end))
            }
            StepStatus::Canceled | StepStatus::Skipped => (style.dim("-"), style.dim(&end)),
        };
        let took = match status {
            StepStatus::Skipped => String::new(),
            _ => format!(" in {}", words::render_seconds(*seconds)),
        };
        self.say(&format!("{sign} {step}: {end}{took}"));
    }

    fn run_finished(&mut self, event: &Event) {
        let mut rest = Vec::new();
        self.open.end_all(|of, _, line| rest.push((of.clone(), line.to_vec())));
        rest.iter().for_each(|(of, line)| print(&mut self.canvas, &self.names, self.options.stderr_style, of, line));
        let style = self.options.stderr_style;
        let mut text = self.view.failures.render(style, &self.options.again, self.options.offers_shell);
        if !text.is_empty() {
            text.push('\n');
        }
        let summary = render_summary(event, &self.view.failures.beside(), style);
        let mut summary = summary.trim_end();
        // What the block above it says needs no saying again.
        if let Event::RunFinished { cause: Some(cause), .. } = event
            && self.view.failures.tell(cause)
        {
            summary =
                summary.strip_suffix(words::first_line(Some(cause))).unwrap_or(summary).trim_end_matches([':', ' ']);
        }
        text.push_str(summary);
        let path = render_critical_path(&self.view).filter(|_| !self.view.is_services_only());
        if let Some(path) = path {
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

    fn block(&self, now: Duration) -> Option<Vec<Line>> {
        (!self.is_finished).then(|| render(&self.view, self.canvas.signs, self.canvas.size, now))
    }

    fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    fn is_over(&self) -> bool {
        self.is_finished
    }
}

/// Adds a line of output above the block.
fn print(canvas: &mut Canvas, names: &Names, style: Style, of: &OutputOf, line: &[u8]) {
    let (OutputOf::Step(name) | OutputOf::Machine(name)) = of;
    let prefix = names.prefix(name, canvas.signs.margin(), style);
    canvas.say(&format!("{prefix}{}", readable(last_state(line))));
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
                self.say(&style.dim(&format!("{} machine {machine}: {text}", self.canvas.signs.waiting())));
            }
            Event::Output { of, stream, bytes } if is_verbose || self.speaks(*stream) => {
                self.output(of, *stream, bytes);
            }
            Event::Service { .. } => self.service(timed),
            Event::NotStarted { machine, cause, .. } => {
                let sign = style.bad(&self.canvas.signs.failed().to_string());
                let (word, cause) = (style.bad("not started"), readable(cause.as_bytes()));
                self.say(&format!("{sign} machine {machine}: {word}: {cause}"));
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
            | Event::Paused { .. }
            | Event::RunHeld { .. }
            | Event::StepStarted { .. }
            | Event::Output { .. } => {}
        }
    }
}
