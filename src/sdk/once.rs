//! One command in a fresh machine of another image, with the mounts of this one.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::error::MachineError;
use super::result::ExecResult;
use super::running::{Ending, OUTPUT_MAX};
use crate::event::{Event, OutputOf, RunStatus, Stream, Timed};
use crate::plan::Plan;
use crate::run::{Options, RunDeps, run};

/// Events that wait until they are looked at.
const EVENTS_WAITING: usize = 64;

/// Runs the plan of one command to its end. Canceled, the machine is ended at once.
pub(super) async fn run_once(plan: Plan, deps: RunDeps, options: Options) -> Result<ExecResult, MachineError> {
    let (ending, mut heard) = Ending::new();
    let (events, mut told) = mpsc::channel::<Timed>(EVENTS_WAITING);
    let task = tokio::spawn(async move { run(Arc::new(plan), deps, options, &mut heard, events).await });
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(Timed { event, .. }) = told.recv().await {
        let Event::Output { of: OutputOf::Step(_), stream, bytes } = event else { continue };
        let to = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
        if to.len() + bytes.len() > OUTPUT_MAX {
            return Err(MachineError::TooMuchOutput { limit: OUTPUT_MAX });
        }
        to.extend(bytes);
    }
    let summary = task.await.map_err(|error| MachineError::Failed { cause: error.to_string() })?;
    drop(ending);
    let exit_code = summary.steps.first().and_then(|step| step.exit_code);
    match exit_code {
        Some(exit_code) => Ok(ExecResult { stdout, stderr, exit_code }),
        None if summary.status == RunStatus::Passed => Ok(ExecResult { stdout, stderr, exit_code: 0 }),
        None => Err(MachineError::Failed { cause: summary.cause.unwrap_or_else(|| "its run ended".to_owned()) }),
    }
}
