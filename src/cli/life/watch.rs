//! Shows the steps that run in held machines as any `up` does, and passes signals on to them.

use std::sync::Arc;
use std::time::Duration;

use super::Asked;
use crate::cli::exit::{Class, ExitCode, Failure};
use crate::cli::interrupts::Interrupts;
use crate::cli::report_run::{self, Mode};
use crate::cli::up;
use crate::control::{Rows, Tell, Teller};
use crate::event::{Event, MachinePhase, OutputOf, Timed};
use crate::plan::Plan;
use crate::run::Signal;

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
    plan: &Arc<Plan>,
    ready: &[String],
    going: Going,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, Failure> {
    let report = report_run::Report {
        mode: asked.mode,
        settings: asked.settings,
        printer: asked.printer,
        again: up::again(asked.settings),
        record: None,
        rule: asked.args.exit_code,
        plan: Arc::clone(plan),
        places: asked.places(plan),
    };
    let (events, reporting) = report_run::spawn(report, interrupts.runtime.handle())?;
    let signals = &mut interrupts.signals;
    let (mut rows, teller) = going;
    interrupts.runtime.block_on(async {
        let mut end = None;
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
            if let Event::RunFinished { status, exit_code, .. } = &timed.event {
                end = Some((*status, *exit_code));
            }
            // A reporter that is gone has told so.
            let _ = match &timed.event {
                Event::Output { of: OutputOf::Machine(name), .. } if !has(plan, name) => Ok(()),
                Event::RunStarted { .. } if asked.mode == Mode::Tty => {
                    let at = timed.at;
                    let told = events.send(timed).await;
                    for machine in ready {
                        // It draws what it was told.
                        let _ = events.send(is_ready(machine, at)).await;
                    }
                    told
                }
                _ => events.send(timed).await,
            };
        }
        drop(events);
        reporting.end(signaled.is_some(), signals).await;
        match (end, signaled) {
            (Some((status, code)), _) => Ok(exit_code(report_run::ruled(code, status, asked.args.exit_code))),
            (None, Some(signal)) => Ok(ExitCode::Run(signal.exit_code())),
            (None, None) => Err(Failure::new(Class::World, WatchError::Gone)),
        }
    })
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
