//! One command in a fresh machine of another image, with the mounts of this one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::error::MachineError;
use super::execution::Kept;
use super::result::ExecResult;
use super::running::Ending;
use crate::event::{Event, StepStatus, Timed};
use crate::guest::{Output, Streams, TerminalSize};
use crate::plan::Plan;
use crate::run::{Attend, Attended, Options, RunDeps, Summary, run};

/// Events that wait until they are looked at.
const EVENTS_WAITING: usize = 64;

/// Pieces of output that wait.
const PIECES_WAITING: usize = 4;

/// Runs the plan of one command to its end. Dropped, the machine is ended at once.
pub(super) async fn run_once(
    plan: Plan,
    deps: RunDeps,
    options: Options,
    stdin: Option<Vec<u8>>,
) -> Result<ExecResult, MachineError> {
    let timeout = plan.steps.first().and_then(|step| step.timeout).unwrap_or_default();
    let (attendant, mut output) = Attendant::new(stdin);
    let attendant = Arc::new(attendant);
    let deps = RunDeps { attendant: Some(Arc::clone(&attendant) as Arc<dyn Attend>), ..deps };
    let (ending, mut heard) = Ending::new();
    let (events, told) = mpsc::channel::<Timed>(EVENTS_WAITING);
    let cause = tokio::spawn(cause_of_step(told));
    let mut task = tokio::spawn(async move { run(Arc::new(plan), deps, options, &mut heard, events).await });
    let mut kept = Kept::default();
    let summary = loop {
        tokio::select! {
            biased;
            Some(piece) = output.recv() => kept.take(piece)?,
            summary = &mut task => break summary,
        }
    };
    drop(ending);
    let lost = |error: tokio::task::JoinError| MachineError::Failed { cause: error.to_string() };
    let (summary, cause) = (summary.map_err(lost)?, cause.await.map_err(lost)?);
    while let Ok(piece) = output.try_recv() {
        kept.take(piece)?;
    }
    outcome(summary, cause, attendant.has_begun(), (kept, timeout))
}

fn outcome(
    summary: Summary,
    cause: Option<String>,
    has_begun: bool,
    (kept, timeout): (Kept, Duration),
) -> Result<ExecResult, MachineError> {
    let step = summary.steps.first();
    let cause = cause.or(summary.cause).unwrap_or_else(|| "its run ended".to_owned());
    match step.and_then(|step| step.exit_code) {
        _ if step.is_some_and(|step| step.status == StepStatus::TimedOut) => Err(kept.timed_out(timeout)),
        Some(exit_code) if has_begun => Ok(kept.result(exit_code)),
        Some(exit_code) => Err(MachineError::Command { exit_code, cause }),
        None => Err(MachineError::Failed { cause }),
    }
}

/// Why the step failed, where it did.
async fn cause_of_step(mut told: mpsc::Receiver<Timed>) -> Option<String> {
    let mut found = None;
    while let Some(Timed { event, .. }) = told.recv().await {
        if let Event::StepFinished { cause, .. } = event {
            found = cause;
        }
    }
    found
}

/// The streams of the command, once.
type Ends = (mpsc::Receiver<Vec<u8>>, mpsc::Sender<Output>);

/// Who sits at the command: bytes that are there, and a row of what it writes.
struct Attendant {
    once: Mutex<Option<Ends>>,
    size: watch::Receiver<TerminalSize>,
}

impl Attendant {
    fn new(stdin: Option<Vec<u8>>) -> (Self, mpsc::Receiver<Output>) {
        let (to_command, input) = mpsc::channel(1);
        if let Some(bytes) = stdin {
            // There is room for one.
            let _ = to_command.try_send(bytes);
        }
        let (output, from_command) = mpsc::channel(PIECES_WAITING);
        // It has no terminal.
        let (_, size) = watch::channel(TerminalSize { rows: 0, columns: 0 });
        (Self { once: Mutex::new(Some((input, output))), size }, from_command)
    }

    fn take(&self) -> Option<Ends> {
        self.once.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn has_begun(&self) -> bool {
        self.once.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Attend for Attendant {
    fn streams(&self) -> Streams {
        Streams::Pipes
    }

    fn begin(&self) -> Attended {
        // There is one command: a second one would find closed streams.
        let (input, output) = self.take().unwrap_or_else(|| (mpsc::channel(1).1, mpsc::channel(1).0));
        Attended { input, output, size: self.size.clone() }
    }
}
