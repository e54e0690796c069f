//! Shows the steps that run in held machines as any `up` does, and passes signals on to them. Where they wait for somebody
//! who looks (`up -i`), the terminal is that of a shell meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, UnboundedReceiver};

use super::{Asked, glance};
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::look;
use crate::cli::report_run::{self, Mode, Reporting};
use crate::cli::up;
use crate::control::{Client, Rows, Tell, Teller};
use crate::event::{Event, MachinePhase, OutputOf, RunStatus, Timed};
use crate::plan::{Plan, StepPlan};
use crate::run::{RunCommand, Signal};

/// Why the end of the steps is not known.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("the process that holds the machines went away before the steps were over")]
    Gone,
}

/// The events of the steps, and who is told of signals.
type Going = (Rows, Teller);

/// Shows what comes to its end; `ready` are the machines that are up already.
pub(super) fn follow(
    asked: &Asked<'_>,
    (client, plan): (&Client, &Arc<Plan>),
    ready: &[String],
    going: Going,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, Failure> {
    let report = report_run::Report {
        mode: asked.mode,
        settings: asked.settings,
        printer: asked.printer,
        again: up::again(asked.settings),
        // The machines stay: `smolvm shell` opens one.
        offers_shell: false,
        record: None,
        rule: asked.args.exit_code,
        plan: Arc::clone(plan),
        places: asked.places(plan),
    };
    let shown = report_run::spawn(report, interrupts.runtime.handle())?;
    let signals = &mut interrupts.signals;
    let (mut rows, teller) = going;
    let mut watcher = Watcher { asked, plan, ready, shown: Some(shown), end: None };
    interrupts.runtime.block_on(async {
        let mut signaled: Option<Signal> = None;
        loop {
            let event = tokio::select! {
                event = rows.event() => event,
                Some(signal) = signals.recv() => {
                    signaled.get_or_insert(signal);
                    teller.tell(Tell::Signal(signal.number())).await;
                    continue;
                }
            };
            let Some(timed) = event else { break };
            match look::paused(plan, &timed.event) {
                Some((step, end)) => {
                    watcher.see(Timed { event: end, at: timed.at }).await;
                    watcher.leave(false, signals).await;
                    watcher.end = None;
                    watcher.look(client, step, &mut rows, signals).await;
                }
                None => watcher.see(timed).await,
            }
        }
        watcher.leave(signaled.is_some(), signals).await;
        match (watcher.end, signaled) {
            (Some((status, code)), _) => Ok(exit_code(report_run::ruled(code, status, asked.args.exit_code))),
            (None, Some(signal)) => Ok(ExitCode::Run(signal.exit_code())),
            (None, None) => Err(Failure::new(Class::World, WatchError::Gone)),
        }
    })
}

/// Who shows what comes.
struct Watcher<'a> {
    asked: &'a Asked<'a>,
    plan: &'a Plan,
    ready: &'a [String],
    /// The reporter, until the terminal is somebody else's.
    shown: Option<(Sender<Timed>, Reporting)>,
    /// How all ended.
    end: Option<(RunStatus, u8)>,
}

impl Watcher<'_> {
    async fn see(&mut self, timed: Timed) {
        if let Event::RunFinished { status, exit_code, .. } = &timed.event {
            self.end = Some((*status, *exit_code));
        }
        let Some((events, _)) = &self.shown else { return look::tell_aside(&timed.event, self.asked.printer) };
        // A reporter that is gone has told so.
        let _ = match &timed.event {
            Event::Output { of: OutputOf::Machine(name), .. } if !has(self.plan, name) => Ok(()),
            Event::RunStarted { .. } if self.asked.mode == Mode::Tty => {
                let at = timed.at;
                let told = events.send(timed).await;
                for machine in self.ready {
                    // It draws what it was told.
                    let _ = events.send(is_ready(machine, at)).await;
                }
                told
            }
            _ => events.send(timed).await,
        };
    }

    /// Nothing of ours is on the terminal any more.
    async fn leave(&mut self, was_interrupted: bool, signals: &mut UnboundedReceiver<Signal>) {
        if let Some((events, reporting)) = self.shown.take() {
            drop(events);
            reporting.end(was_interrupted, signals).await;
        }
    }

    /// Has a shell in the machine of a step, to its end or that of the steps; then they go on.
    async fn look(
        &mut self,
        client: &Client,
        step: &StepPlan,
        rows: &mut Rows,
        signals: &mut UnboundedReceiver<Signal>,
    ) {
        let mut shell = pin!(glance::shell(client, (self.plan, step), self.asked.printer, signals));
        let mut is_there = true;
        loop {
            tokio::select! {
                () = &mut shell => break,
                // They are to be taken: the guests are held back meanwhile.
                event = rows.event(), if is_there => match event {
                    Some(timed) => self.see(timed).await,
                    None => is_there = false,
                },
            }
        }
        // Where they went on or are over, there is nothing to go on with.
        let _ = client.command(RunCommand::Resume).await;
    }
}

fn exit_code(code: u8) -> ExitCode {
    if code == 0 { ExitCode::Passed } else { ExitCode::Run(code) }
}

fn has(plan: &Plan, machine: &str) -> bool {
    plan.machines.iter().any(|known| known.name == machine)
}

fn is_ready(machine: &str, at: Duration) -> Timed {
    let event = Event::Machine {
        machine: machine.to_owned(),
        phase: MachinePhase::Ready,
        seconds: 0.0,
        engine: None,
        cause: None,
    };
    Timed { at, event }
}
