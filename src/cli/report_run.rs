//! The thread that reports a run: it takes the events, shows them, and records them.
//!
//! A thread of its own, so that a terminal or a pipe that is slow holds the guests back and nothing else. The record
//! holds every event but output, whose bytes are in the logs beside it. Deliberately not here: any text (`report`).

use std::future::pending;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::args::ExitCodeRule;
use super::exit::{Class, ExitCode, Failure};
use super::printer::Printer;
use super::record::Record;
use super::remarks;
use super::settings::Settings;
use super::terminal::{self, Terminal, TerminalSignals};
use crate::diag::{Diagnostics, Severity, Sources};
use crate::event::{Event, RunStatus, Timed};
use crate::plan::Plan;
use crate::report::{
    Grouping, JsonReporter, Names, PlainReporter, QuietReporter, ReportOptions, Reporter, Sink, Style,
    TerminalReporter, Verbosity, render_line,
};
use crate::run::{Signal, Summary};

/// Events that may wait for the reporter before guests are held back.
const EVENTS_WAITING: usize = 256;

/// How long the end of a run waits after a signal for a reader that does not read.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// The reporter that a person or program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For a terminal.
    Tty,
    /// Plain lines.
    Plain,
    /// JSON lines.
    Json,
    /// Failures only.
    Quiet,
}

/// What the thread is told.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// Which reporter.
    pub(crate) mode: Mode,
    /// The settings.
    pub(crate) settings: &'a Settings,
    /// Colours.
    pub(crate) printer: &'a Printer,
    /// Command that runs the same again.
    pub(crate) again: String,
    /// Whether the words on a failed step say how to look at it from a shell.
    pub(crate) offers_shell: bool,
    /// Where the events are recorded, where they are not elsewhere.
    pub(crate) record: Option<Record>,
    /// What the exit code is made of.
    pub(crate) rule: ExitCodeRule,
    /// What is to be done.
    pub(crate) plan: Arc<Plan>,
    /// How many steps may run at the same time.
    pub(crate) places: usize,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Reporting {
    done: oneshot::Receiver<()>,
}

impl Reporting {
    /// Waits until all is shown; after a signal not for ever. The run is over, so that one that comes only now changes
    /// nothing of what it came to.
    pub(crate) async fn finish(self, summary: &Summary, signals: &mut UnboundedReceiver<Signal>) {
        self.end(summary.status == RunStatus::Interrupted, signals).await;
    }

    /// The same, where it is known only whether a signal came.
    pub(crate) async fn end(self, was_interrupted: bool, signals: &mut UnboundedReceiver<Signal>) {
        let patience = async {
            if !was_interrupted && signals.recv().await.is_none() {
                pending::<()>().await;
            }
            sleep(READER_PATIENCE).await;
        };
        tokio::select! {
            biased;
            // A reporter that panicked has told so by the panic itself.
            _ = self.done => {}
            () = patience => {}
        }
    }
}

/// Why a run cannot be reported.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the reporter's thread cannot be started")]
    Thread(#[source] std::io::Error),
    #[error("the signals of the terminal cannot be handled")]
    Signals(#[source] std::io::Error),
}

/// Starts the thread; it ends when the sender is dropped.
pub(crate) fn spawn(report: Report<'_>, runtime: &Handle) -> Result<(Sender<Timed>, Reporting), Failure> {
    let shown = shown(&report, runtime).map_err(|error| Failure::new(Class::World, error))?;
    let mut record = report.record.map(|record| JsonReporter::new(Sink::new(Box::new(record))));
    let rule = report.rule;
    let (sender, receiver): (_, Receiver<Timed>) = channel(EVENTS_WAITING);
    let (done_sender, done) = oneshot::channel();
    let runtime = runtime.clone();
    let note = move |timed: &mut Timed| {
        apply(rule, &mut timed.event);
        if let Some(record) = record.as_mut().filter(|_| !matches!(timed.event, Event::Output { .. })) {
            record.on(timed);
        }
    };
    let work = move || {
        shown.follow(receiver, note, &runtime);
        // Nobody waits for the word where the run has given the reader up.
        let _ = done_sender.send(());
    };
    thread::Builder::new()
        .name("report".to_owned())
        .spawn(work)
        .map_err(|error| Failure::new(Class::World, ReportError::Thread(error)))?;
    Ok((sender, Reporting { done }))
}

/// How a run is shown.
enum Shown {
    /// Event by event.
    Told(Box<dyn Reporter>),
    /// As a block that is drawn again and again.
    Drawn(Box<(Terminal, TerminalReporter, TerminalSignals)>),
}

impl Shown {
    /// Shows the events to their end; each is given to `note` first.
    fn follow(self, mut events: Receiver<Timed>, mut note: impl FnMut(&mut Timed), runtime: &Handle) {
        match self {
            Self::Told(mut reporter) => {
                while let Some(mut timed) = events.blocking_recv() {
                    note(&mut timed);
                    reporter.on(&timed);
                }
            }
            Self::Drawn(drawn) => {
                let (terminal, reporter, signals) = *drawn;
                runtime.block_on(terminal::follow(terminal, reporter, events, signals, note));
            }
        }
    }
}

fn shown(report: &Report<'_>, runtime: &Handle) -> Result<Shown, ReportError> {
    let is_tty = report.mode == Mode::Tty;
    let colored = |style: Style| if is_tty && report.settings.color.is_wanted(true) { Style::new(true) } else { style };
    let options = ReportOptions {
        start: jiff::Zoned::now(),
        verbosity: report.settings.volume,
        stdout_style: colored(report.printer.stdout_style()),
        stderr_style: colored(report.printer.stderr_style()),
        again: report.again.clone(),
        offers_shell: report.offers_shell,
    };
    Ok(Shown::Told(match report.mode {
        Mode::Json => Box::new(JsonReporter::new(Sink::stdout())),
        Mode::Quiet => Box::new(QuietReporter::new(options, Sink::stderr())),
        Mode::Plain | Mode::Tty if options.verbosity == Verbosity::Quiet => {
            Box::new(QuietReporter::new(options, Sink::stderr()))
        }
        Mode::Plain => {
            let reporter = PlainReporter::new(options, grouping(), Sink::stdout(), Sink::stderr());
            Box::new(reporter.with_names(names(&report.plan)))
        }
        Mode::Tty => {
            let _entered = runtime.enter();
            let signals = TerminalSignals::listen().map_err(ReportError::Signals)?;
            let terminal = Terminal::find();
            let plan = Arc::clone(&report.plan);
            let mut reporter = TerminalReporter::new(options, plan, report.places, terminal.screen());
            terminal.clear_on_panic(&mut reporter);
            return Ok(Shown::Drawn(Box::new((terminal, reporter, signals))));
        }
    }))
}

/// Where there are only services, what they print stands under one another.
fn names(plan: &Plan) -> Names {
    let machines = plan.machines.iter().map(|machine| machine.name.as_str());
    if plan.steps.is_empty() { Names::padded(machines) } else { Names::loose(machines) }
}

fn grouping() -> Grouping {
    let is_true = |name| std::env::var_os(name).is_some_and(|value| value == "true");
    if is_true("GITHUB_ACTIONS") {
        Grouping::GitHub
    } else if is_true("GITLAB_CI") {
        Grouping::GitLab
    } else {
        Grouping::None
    }
}

/// The exit code under the rule: `fixed` makes the code of a step 1, and leaves alone what no step's own code is.
pub(crate) fn ruled(code: u8, status: RunStatus, rule: ExitCodeRule) -> u8 {
    let is_own = status == RunStatus::Failed && code != ExitCode::Failed.number();
    if rule == ExitCodeRule::Fixed && is_own { 1 } else { code }
}

pub(crate) fn apply(rule: ExitCodeRule, event: &mut Event) {
    if let Event::RunFinished { status, exit_code, .. } = event {
        *exit_code = ruled(*exit_code, *status, rule);
    }
}

/// The remarks on the file as events, and the end of the run where they keep it from starting.
pub(crate) fn remark_events(diagnostics: &Diagnostics, sources: &Sources, max: usize) -> String {
    let mut lines: String = remarks::json_entries(diagnostics, sources, max).into_iter().map(diagnostic_line).collect();
    let errors = diagnostics.count(Severity::Error);
    if errors > 0 {
        let cause = format!("the file has {errors} error{}", if errors == 1 { "" } else { "s" });
        lines.push_str(&end(RunStatus::Invalid, ExitCode::InvalidFile.number(), cause));
    }
    lines
}

fn diagnostic_line(entry: serde_json::Value) -> String {
    let mut line = serde_json::json!({ "v": 1, "t": 0.0, "event": "diagnostic" });
    if let (Some(line), serde_json::Value::Object(entry)) = (line.as_object_mut(), entry) {
        line.extend(entry);
    }
    format!("{line}\n")
}

/// The only event of a run that could not start for another reason.
pub(crate) fn failed_early(failure: &Failure) -> String {
    end(failure.run_status(), failure.exit_code().number(), failure.cause())
}

fn end(status: RunStatus, exit_code: u8, cause: String) -> String {
    let event = Event::RunFinished {
        status,
        exit_code,
        cause: Some(cause),
        seconds: 0.0,
        passed: 0,
        failed: 0,
        skipped: 0,
        cached: 0,
    };
    render_line(&Timed { at: Duration::ZERO, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_rule_touches_only_the_code_of_a_step() {
        let fixed = |code, status| ruled(code, status, ExitCodeRule::Fixed);
        assert_eq!(fixed(3, RunStatus::Failed), 1);
        assert_eq!(fixed(125, RunStatus::Failed), 125);
        assert_eq!(fixed(124, RunStatus::TimedOut), 124);
        assert_eq!(fixed(130, RunStatus::Interrupted), 130);
        assert_eq!(ruled(3, RunStatus::Failed, ExitCodeRule::First), 3);
    }
}
