//! The hands of a run, as far as steps go: a step's command is started, signalled and ended, and what it made looked at.
//! Nothing is decided here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attend::{Attend, attend};
use super::command::{Place, behind_entrypoint, complete, written};
use super::guest_work;
use super::input::{Attempt, RunInput, StartFailure, StepInput};
use super::provide::Shares;
use super::worker::{Workers, chain};
use crate::guest::{Exec, ExitStatus, Session};
use crate::plan::{ImageDefaults, MountPlan};

impl Workers {
    pub(super) fn exec(self: &Arc<Self>, machine: usize, attempt: Attempt) {
        let step = attempt.step;
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let Some((session, shares, defaults)) = workers.parts(machine) else { return };
            let ready = workers.ready_step(machine, attempt, &session, &shares, &defaults).await;
            let started = match (ready, workers.deps.attendant.clone()) {
                (Ok(exec), None) => session.exec(exec).await.map_err(|error| guest_work::start_failure(&error)),
                (Ok(exec), Some(attendant)) => match workers.exec_attended(step, exec, &session, &*attendant).await {
                    Ok(ended) => {
                        let Some((status, is_out_of_memory)) = ended else { return };
                        if let Some(lost) = guest_work::lost_source(&shares).await {
                            workers.send_step(step, StepInput::SourceLost(lost)).await;
                        }
                        return workers.send_step(step, StepInput::Exited(status, is_out_of_memory)).await;
                    }
                    Err(failure) => Err(failure),
                },
                (Err(failure), _) => Err(failure),
            };
            workers.send_step(step, StepInput::Started(started)).await;
        });
    }

    /// Runs a command that somebody sits at, to its end.
    async fn exec_attended(
        &self,
        step: usize,
        exec: Exec,
        session: &Session,
        attendant: &dyn Attend,
    ) -> Result<Option<(ExitStatus, bool)>, StartFailure> {
        let id = exec.id;
        let exec = Exec { streams: Some(attendant.streams()), ..exec };
        let command = session.exec_streamed(exec).await.map_err(|error| guest_work::start_failure(&error))?;
        self.send_step(step, StepInput::Started(Ok(()))).await;
        Ok(attend(session, id, command, attendant.begin()).await)
    }

    /// All that comes before a step's command, and the command.
    async fn ready_step(
        &self,
        machine: usize,
        attempt: Attempt,
        session: &Session,
        shares: &Arc<dyn Shares>,
        defaults: &ImageDefaults,
    ) -> Result<Exec, StartFailure> {
        let over = || StartFailure { exit_code: 125, cause: "its round is over".to_owned() };
        let plan = &self.step(attempt.step).ok_or_else(over)?;
        // Of the machines of a matrix each has one step of an id, so that no other has this name.
        let script = plan.id.replace('/', "-");
        let command = match plan.uses_entrypoint {
            true => behind_entrypoint(&plan.command, &script, defaults)?,
            false => written(&plan.command, &script),
        };
        let place = Place { env: &plan.env, working_dir: plan.working_dir.as_ref(), user: plan.user.as_deref() };
        let exec = complete(exec_id(attempt), command, place, defaults);
        guest_work::check_sources(shares).await?;
        // What an earlier attempt made belongs to the step too.
        if attempt.number == 1 {
            guest_work::record(&**shares, plan)?;
        }
        let follows = self.plan().machines[machine].mounts.iter().any(MountPlan::follows_steps);
        if follows && !self.slot(machine).lock().is_view_held {
            let slot = self.slot(machine);
            let _turn = slot.turn.lock().await;
            let view = slot.lock().view;
            let view = guest_work::show_owner(session, &**shares, &exec.user, view).await?;
            slot.lock().view = view;
        }
        Ok(exec)
    }

    pub(super) fn signal(self: &Arc<Self>, machine: usize, attempt: Attempt, signal: i32) {
        let Some(session) = self.session(machine) else { return };
        self.spawn(machine, async move {
            // An agent that cannot be told is found out by the deadline of the step's end.
            let _ = session.signal(exec_id(attempt), signal).await;
        });
    }

    pub(super) fn terminate(self: &Arc<Self>, machine: usize, attempt: Attempt, grace: Duration) {
        let Some(session) = self.session(machine) else { return };
        self.spawn(machine, async move {
            let _ = session.terminate(exec_id(attempt), grace).await;
        });
    }

    pub(super) fn check_outputs(self: &Arc<Self>, machine: usize, step: usize) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let Some(session) = workers.session(machine) else { return };
            let Some(plan) = workers.step(step) else { return };
            let outputs: Vec<String> = plan.outputs.iter().map(|output| output.as_str().to_owned()).collect();
            let result = session.missing_outputs(&outputs).await.map_err(|error| chain(&error));
            workers.send_step(step, StepInput::Outputs(result)).await;
        });
    }

    /// Not a task of the machine: it is told when the machine is let go of, and lets go of the file servers itself.
    pub(super) fn give_files(self: &Arc<Self>, machine: usize, step: usize) {
        let workers = Arc::clone(self);
        let (shares, is_released) = {
            let slot = self.slot(machine);
            let held = slot.lock();
            (held.shares.clone(), Arc::clone(&held.is_released))
        };
        tokio::task::spawn_blocking(move || {
            let goes_on = || !is_released.load(Ordering::Relaxed);
            let Some(plan) = workers.step(step) else { return };
            let result = guest_work::give_files(shares.as_deref(), &plan, &goes_on);
            drop(shares);
            // The run may be over.
            let _ = workers.inbox.blocking_send(RunInput::Step(step, StepInput::Given(result)));
        });
    }
}

/// Bits of a command's number that say the step; those above say the attempt.
const STEP_BITS: u32 = 32;

/// Number of an attempt's command in its session. Each has its own: what an earlier attempt left in the background
/// may still be there.
fn exec_id(attempt: Attempt) -> u64 {
    (u64::from(attempt.number) << STEP_BITS) | u64::try_from(attempt.step).unwrap_or(u64::MAX).saturating_add(1)
}

/// The bit of a command's number that says that it is none of the run's own. No attempt has so high a number.
pub(super) const OUTSIDE_BIT: u64 = 1 << 63;

/// The bits of the numbers of a service's command and of its tests.
pub(super) const SERVICE_BIT: u64 = 1 << 62;
pub(super) const TEST_BIT: u64 = 1 << 61;

/// The step of a command's number.
pub(super) fn step_of(exec: u64) -> Option<usize> {
    if exec & (OUTSIDE_BIT | SERVICE_BIT | TEST_BIT) != 0 {
        return None;
    }
    usize::try_from((exec & ((1 << STEP_BITS) - 1)).checked_sub(1)?).ok()
}
