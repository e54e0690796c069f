//! `up -i`: where a step fails, a shell opens in its machine before `finally` runs and all goes down.
//!
//! ```text
//! events ─► record, reporter          until the steps are over
//!               └─ `paused` ─► summary, block off ─► shell on the terminal ─► `finally`, down ─► exit code of the step
//! ```
//!
//! The run waits where it failed; from then on the terminal is the shell's, and of the run a line now and then is told.
//! Deliberately not here: the streams of the shell (`attendant`), what waits (`run`), machines that others hold (`life`).

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
use super::printer::Printer;
use super::record::Record;
use super::report_run::{self, Mode, Report, Reporting};
use crate::event::{Event, RunStatus, StepStatus, Timed};
use crate::plan::{Plan, StepPlan};
use crate::report::{JsonReporter, Reporter, Sink, render_aside};
use crate::run::{
    self, Attend, ExecRequest, GuestError, GuestExec, Options, RunCommand, RunDeps, RunHandle, RunView, Signal,
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
    let options = Options { looks: true, ..options };
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
    /// Shows and records the run; when it waits, opens the shell and tells what is left to be told.
    async fn follow(
        mut self,
        mut told: Receiver<Timed>,
        (record, rule): (Option<Record>, ExitCodeRule),
        (shown, reporting): (Sender<Timed>, Reporting),
    ) {
        let printer = self.printer;
        let mut record = record.map(|record| JsonReporter::new(Sink::new(Box::new(record))));
        let mut last = None;
        while let Some(mut timed) = told.recv().await {
            note(&mut record, rule, &mut timed);
            if let Some((step, mut event)) = paused(&self.plan, &timed.event) {
                let step = step.clone();
                report_run::apply(rule, &mut event);
                // A reporter that is gone has told so.
                let _ = shown.send(Timed { event, at: timed.at }).await;
                drop(shown);
                reporting.end(false, &mut self.signals).await;
                let shell: JoinHandle<()> = tokio::spawn(self.open(step));
                while let Some(mut timed) = told.recv().await {
                    note(&mut record, rule, &mut timed);
                    tell_aside(&timed.event, &printer);
                }
                let _ = shell.await;
                return;
            }
            if let Event::RunFinished { status, .. } = timed.event {
                last = Some(status);
            }
            let _ = shown.send(timed).await;
        }
        drop(shown);
        reporting.end(last == Some(RunStatus::Interrupted), &mut self.signals).await;
        if matches!(last, Some(RunStatus::Failed | RunStatus::TimedOut)) {
            tell_no_step(&printer);
        }
    }

    /// Opens the shell, and has the run go on when it has ended.
    async fn open(mut self, step: StepPlan) {
        if let Err(error) = self.shell(&step).await {
            tell_no_shell(&step, &error, &self.printer);
        }
        if !self.handle.is_over() {
            self.printer.note("stopping the machines\n");
        }
        // Where it is over there is nothing to go on with.
        let _ = self.handle.ask(RunCommand::Resume).await;
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
            env: step.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            working_dir: step.working_dir.as_ref().map(|folder| folder.as_str().into()),
            user: step.user.clone(),
            streams: attendant.streams(),
        };
        let exec = guest.exec(request).await.map_err(LookError::NotStarted)?;
        tell_shell(&self.plan, step, "all goes down", &self.printer);
        attend(exec, &attendant, &mut self.signals).await;
        attendant.leave();
        // A terminal that is gone takes no more.
        let _ = written.wait().await;
        Ok(())
    }
}

/// The step at which a run waits, and the event as the end of what was shown; nothing where the event is not that.
pub(super) fn paused<'a>(plan: &'a Plan, event: &Event) -> Option<(&'a StepPlan, Event)> {
    let Event::Paused { step, status, exit_code, cause, seconds, passed, failed, skipped, .. } = event else {
        return None;
    };
    let step = plan.steps.iter().find(|known| known.id == *step)?;
    let end = Event::RunFinished {
        status: *status,
        exit_code: *exit_code,
        cause: cause.clone(),
        seconds: *seconds,
        passed: *passed,
        failed: *failed,
        skipped: *skipped,
        cached: 0,
    };
    Some((step, end))
}

/// Tells of an event where the terminal is, or was, a shell's. It may pass everything on as it is.
pub(super) fn tell_aside(event: &Event, printer: &Printer) {
    if let Some(line) = render_aside(event) {
        printer.note(&format!("{line}\r\n"));
    }
}

/// Tells that a shell opens, and what follows it.
pub(super) fn tell_shell(plan: &Plan, step: &StepPlan, then: &str, printer: &Printer) {
    let StepPlan { id, machine, .. } = step;
    let finally = if plan.steps.iter().any(|step| step.is_finally) { "`finally` runs and " } else { "" };
    let words = format!("with its folder, user and environment; when it ends, {finally}{then}");
    printer.note(&format!("\nshell in machine `{machine}` of step `{id}`, {words}\n"));
}

/// Tells that none opens in the machine of a step.
pub(super) fn tell_no_shell(step: &StepPlan, error: &(dyn std::error::Error + 'static), printer: &Printer) {
    let why = exit::chain(error).collect::<Vec<_>>().join(": ");
    let StepPlan { id, machine, .. } = step;
    printer.tell(&format!("\nno shell in machine `{machine}` of step `{id}`: {why}\n"));
}

/// Tells that there is no step to look at.
pub(super) fn tell_no_step(printer: &Printer) {
    printer.tell("\nno shell: no step failed by itself\n");
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
pub(super) fn failed_step<'a>(plan: &'a Plan, view: &RunView) -> Option<&'a StepPlan> {
    let has_failed = |step: &&StepPlan| {
        let status = view.steps.iter().find(|seen| seen.id == step.id).and_then(|seen| seen.status);
        !step.continue_on_error && matches!(status, Some(StepStatus::Failed | StepStatus::TimedOut))
    };
    plan.steps.iter().find(has_failed)
}
