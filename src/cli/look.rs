//! `up -i`: where a step fails, a shell opens in its machine before all goes down.
//!
//! ```text
//! events ─► record, reporter          until the steps are over
//!               └─ `run-held` ─► summary, block off ─► shell on the terminal ─► down ─► exit code of the step
//! ```
//!
//! The run holds its machines where it failed; from then on the terminal is the shell's, and of the run only warnings
//! are told. Deliberately not here: the streams of the shell (`attendant`), what is held (`run`).

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver};
use tokio::task::JoinHandle;

use super::args::{ExitCodeRule, UpArgs};
use super::attendant::{Attendant, Wanted};
use super::exec::shell_words;
use super::exit::{self, Class, Failure};
use super::interrupts::Interrupts;
use super::life::finished;
use super::printer::Printer;
use super::record::Record;
use super::report_run::{self, Mode, Report, Reporting};
use crate::event::{Event, RunStatus, StepStatus, Timed};
use crate::plan::{Plan, StepPlan};
use crate::report::{JsonReporter, Reporter, Sink};
use crate::run::{
    self, Attend, ExecRequest, GuestError, GuestExec, Hold, Options, RunCommand, RunDeps, RunHandle, RunView, Signal,
    StartFailure, Summary, carry,
};

/// Events that wait to be shown before the guests are held back.
const EVENTS_WAITING: usize = 64;

/// How long a shell may take to end when the run was told to.
const SHELL_GRACE: Duration = Duration::from_secs(1);

/// Why a shell cannot be opened.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("`up -i` needs a terminal for its shell: standard input and output are not both one")]
    NoTerminal,
    #[error("`up -i` needs standard output for its shell: events cannot go there too")]
    Events,
    #[error("{0}")]
    NotUp(#[from] GuestError),
    #[error("{}", .0.cause)]
    NotStarted(StartFailure),
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
}

/// Refuses `-i` where nobody could sit at the shell.
pub(super) fn check(args: &UpArgs, mode: Mode) -> Result<(), Failure> {
    if !args.interactive || args.dry_run {
        return Ok(());
    }
    if mode == Mode::Json {
        return Err(Failure::new(Class::Usage, LookError::Events).help("leave `--progress json` out"));
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    let help = "`smolvm up --keep` leaves the machines up where a step failed, and `smolvm exec` runs commands in them";
    Err(Failure::new(Class::Usage, LookError::NoTerminal).help(help))
}

/// Runs the plan, and opens the shell where a step failed.
pub(super) fn run(
    plan: Arc<Plan>,
    (deps, handle): (RunDeps, RunHandle),
    options: Options,
    mut report: Report<'_>,
    interrupts: Interrupts,
) -> Result<Summary, Failure> {
    let Interrupts { runtime, mut signals } = interrupts;
    let (record, rule, printer) = (report.record.take(), report.rule, *report.printer);
    let (shown, reporting) = report_run::spawn(report, runtime.handle())?;
    let options = Options { hold: Hold::AfterFailure, ..options };
    let summary = runtime.block_on(async {
        let (to_run, mut heard) = mpsc::unbounded_channel();
        let (to_look, heard_too) = mpsc::unbounded_channel();
        let hearing = tokio::spawn(async move {
            while let Some(signal) = signals.recv().await {
                // Each is gone when it has nothing more to do.
                let _ = (to_run.send(signal), to_look.send(signal));
            }
        });
        let (events, told) = mpsc::channel(EVENTS_WAITING);
        let look = Look { plan: Arc::clone(&plan), handle, printer, signals: heard_too };
        let telling = tokio::spawn(look.follow(told, (record, rule), (shown, reporting)));
        let summary = run::run(plan, deps, options, &mut heard, events).await;
        // One that panicked has told so by the panic itself.
        let _ = telling.await;
        hearing.abort();
        summary
    });
    // What reads standard input is left to the end of the process.
    runtime.shutdown_background();
    Ok(summary)
}

/// Who looks on.
struct Look {
    plan: Arc<Plan>,
    handle: RunHandle,
    printer: Printer,
    signals: UnboundedReceiver<Signal>,
}

impl Look {
    /// Shows and records the run; when its machines are held, opens the shell and tells what is left to be told.
    async fn follow(
        mut self,
        mut told: Receiver<Timed>,
        (record, rule): (Option<Record>, ExitCodeRule),
        (shown, reporting): (Sender<Timed>, Reporting),
    ) {
        let printer = self.printer;
        let mut record = record.map(|record| JsonReporter::new(Sink::new(Box::new(record))));
        let mut was_interrupted = false;
        while let Some(mut timed) = told.recv().await {
            note(&mut record, rule, &mut timed);
            if let Some(mut event) = finished(&timed.event) {
                report_run::apply(rule, &mut event);
                // A reporter that is gone has told so.
                let _ = shown.send(Timed { event, at: timed.at }).await;
                drop(shown);
                reporting.end(false, &mut self.signals).await;
                let shell: JoinHandle<()> = tokio::spawn(self.open());
                while let Some(mut timed) = told.recv().await {
                    note(&mut record, rule, &mut timed);
                    if let Event::Warning { text } = &timed.event {
                        printer.note(&format!("warning: {text}\r\n"));
                    }
                }
                let _ = shell.await;
                return;
            }
            was_interrupted |= matches!(timed.event, Event::RunFinished { status: RunStatus::Interrupted, .. });
            let _ = shown.send(timed).await;
        }
        drop(shown);
        reporting.end(was_interrupted, &mut self.signals).await;
    }

    /// Opens the shell, and has all go down when it has ended.
    async fn open(mut self) {
        match failed_step(&self.plan, &self.handle.view()) {
            Some(step) => {
                let step = step.clone();
                if let Err(error) = self.shell(&step).await {
                    let why = exit::chain(&error).collect::<Vec<_>>().join(": ");
                    let StepPlan { id, machine, .. } = step;
                    self.printer.tell(&format!("\nno shell in machine `{machine}` of step `{id}`: {why}\n"));
                }
            }
            None => self.printer.tell("\nno shell: no step failed by itself\n"),
        }
        if !self.handle.is_over() {
            self.printer.note("stopping the machines\n");
        }
        // Its end is what is asked for, however it comes.
        let _ = self.handle.ask(RunCommand::Down).await;
    }

    async fn shell(&mut self, step: &StepPlan) -> Result<(), LookError> {
        let guest = self.handle.guest(&step.machine)?;
        let (clear, is_clear) = std_mpsc::channel();
        // Nothing of ours is on the terminal.
        drop(clear);
        let wanted = Wanted { has_terminal: true, has_input: true };
        let (attendant, written) = Attendant::new(wanted, is_clear).map_err(LookError::Terminal)?;
        let request = ExecRequest {
            command: shell_words(),
            env: step.env.clone(),
            working_dir: step.working_dir.clone(),
            user: step.user.clone(),
            streams: attendant.streams(),
        };
        let exec = guest.exec(request).await.map_err(LookError::NotStarted)?;
        let StepPlan { id, machine, .. } = step;
        let words = "with its folder, user and environment; when it ends, all goes down";
        self.printer.note(&format!("\nshell in machine `{machine}` of step `{id}`, {words}\n"));
        attend(exec, &attendant, &mut self.signals).await;
        attendant.leave();
        // A terminal that is gone takes no more.
        let _ = written.wait().await;
        Ok(())
    }
}

/// Records an event.
fn note(record: &mut Option<JsonReporter>, rule: ExitCodeRule, timed: &mut Timed) {
    report_run::apply(rule, &mut timed.event);
    if let Some(record) = record.as_mut().filter(|_| !matches!(timed.event, Event::Output { .. })) {
        record.on(timed);
    }
}

/// Carries everything between the terminal and the shell, to the end of either, of the machine, or of the run.
async fn attend(exec: GuestExec, attendant: &Attendant, signals: &mut UnboundedReceiver<Signal>) {
    let GuestExec { input, output, end, control } = exec;
    let resize = |size| {
        let control = control.clone();
        // A terminal that cannot be told keeps its size.
        async move { drop(control.resize(size).await) }
    };
    let carrying = carry(input, output, attendant.begin(), resize);
    let ending = async {
        if signals.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        // The run ends by the signal, and waits for nobody who sits at a shell.
        let _ = control.terminate(SHELL_GRACE).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async { carrying.await; end.wait().await } => {}
        () = ending => {}
    }
}

/// The first step in file order that failed by itself, and that the run failed by.
fn failed_step<'a>(plan: &'a Plan, view: &RunView) -> Option<&'a StepPlan> {
    let has_failed = |step: &&StepPlan| {
        let status = view.steps.iter().find(|seen| seen.id == step.id).and_then(|seen| seen.status);
        !step.continue_on_error && matches!(status, Some(StepStatus::Failed | StepStatus::TimedOut))
    };
    plan.steps.iter().find(has_failed)
}
