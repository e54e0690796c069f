//! Commands in a machine that is up, from outside: beside its steps, past the loop, with streams of their own.
//!
//! Deliberately not here: whose streams these are (`cli`, `control`, `sdk`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::command::{Place, complete};
use super::guest_work;
use super::handle::RunHandle;
use super::input::StartFailure;
use super::step_work::OUTSIDE_BIT;
use super::worker::Workers;
use crate::event::MachinePhase;
use crate::guest::{
    Command, CommandEnd, CommandInput, CommandOutput, CommandStream, Exec, Session, SessionError, Streams,
    TerminalSize, Traffic,
};
use crate::plan::{ImageDefaults, MachinePlan, MountPlan, Plan, nearest};

/// A machine that was up when it was asked for. Keeps neither the machine nor the run alive.
#[derive(Clone)]
pub struct Guest {
    handle: RunHandle,
    workers: Arc<Workers>,
    /// As it was then: a machine that is another one by now has a session of its own.
    plan: Arc<Plan>,
    machine: usize,
}

/// What is to be run. What it leaves open is the file's, then the image's, as for a step.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// Program and arguments: bytes, which need not be text; no shell and no entrypoint is put before them.
    pub command: Vec<OsString>,
    /// Environment above that of the machine.
    pub env: BTreeMap<OsString, OsString>,
    /// Working folder instead of the machine's: an absolute path.
    pub working_dir: Option<OsString>,
    /// User instead of the machine's: `name`, `uid`, `uid:gid`, `name:group`.
    pub user: Option<String>,
    /// Three pipes or a terminal.
    pub streams: Streams,
}

/// A command that runs. Dropped, it loses its streams, which hangs its terminal up; it is not ended by that.
#[derive(Debug)]
pub struct GuestExec {
    /// Where its input goes; dropped, it is at its end.
    pub input: CommandInput,
    /// Where its output comes from.
    pub output: CommandOutput,
    /// How it will end.
    pub end: CommandEnd,
    /// What else can be done with it.
    pub control: ExecControl,
}

/// What can be done with a command that runs, beside its streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ExecControl {
    session: Session,
    exec: u64,
}

/// Why a machine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// No machine of the run has this name.
    #[error("there is no machine `{name}` in this run")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest name that there is.
        near: Option<String>,
    },
    /// It is not up.
    #[error("machine `{name}` is not up: it {}", state_words(*.phase))]
    NotUp {
        /// The name.
        name: String,
        /// The phase that it has reached.
        phase: Option<MachinePhase>,
    },
    /// The run is over.
    #[error("the run is over")]
    Over,
}

/// Where a machine that is not up is, in words that go behind "it".
fn state_words(phase: Option<MachinePhase>) -> &'static str {
    match phase {
        None => "was not started",
        Some(MachinePhase::Prepared | MachinePhase::Booting | MachinePhase::Agent | MachinePhase::Mounted) => "boots",
        Some(MachinePhase::Ready) => "is about to go",
        Some(MachinePhase::Stopping) => "stops",
        Some(MachinePhase::Stopped) => "is stopped",
        Some(MachinePhase::Failed) => "has failed",
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guest").field("machine", &self.plan().name).finish_non_exhaustive()
    }
}

impl Guest {
    pub(super) fn find(workers: Arc<Workers>, handle: RunHandle, name: &str) -> Result<Self, GuestError> {
        let plan = workers.plan();
        let view = handle.view();
        // One that the file no longer has still has its place.
        let is_meant = |machine: &MachinePlan| machine.name == name && view.machine(name).is_some();
        let Some(machine) = plan.machines.iter().position(is_meant) else {
            let known = view.machines.iter().map(|machine| machine.name.as_str());
            let near = nearest(name, known).map(str::to_owned);
            return Err(GuestError::Unknown { name: name.to_owned(), near });
        };
        let phase = view.machine(name).and_then(|machine| machine.phase);
        if phase != Some(MachinePhase::Ready) || workers.parts(machine).is_none() {
            return Err(GuestError::NotUp { name: name.to_owned(), phase });
        }
        Ok(Self { handle, workers, plan, machine })
    }

    /// What the file says of the machine.
    pub fn plan(&self) -> &MachinePlan {
        &self.plan.machines[self.machine]
    }

    /// The session with its agent.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub fn session(&self) -> Result<Session, GuestError> {
        self.workers.session(self.machine).ok_or_else(|| self.gone())
    }

    /// What its image says.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub fn defaults(&self) -> Result<Arc<ImageDefaults>, GuestError> {
        self.workers.parts(self.machine).map(|(_, _, defaults)| defaults).ok_or_else(|| self.gone())
    }

    /// The hands of its run, and its place there.
    pub(super) fn home(&self) -> (Arc<Workers>, usize) {
        (Arc::clone(&self.workers), self.machine)
    }

    /// What went through its published ports and links; `None` where it is gone.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        let slot = self.workers.slot(self.machine);
        let dial = slot.lock().dial.clone()?;
        Some(dial.traffic())
    }

    fn gone(&self) -> GuestError {
        let name = self.plan().name.clone();
        let phase = self.handle.view().machine(&name).and_then(|machine| machine.phase);
        GuestError::NotUp { name, phase }
    }

    /// Starts a command beside whatever runs in the machine.
    ///
    /// # Errors
    /// Why it did not start, with its exit code: 127 and 126 as a shell's, 125 where the machine failed.
    pub async fn exec(&self, request: ExecRequest) -> Result<GuestExec, StartFailure> {
        let gone = || StartFailure { exit_code: 125, cause: self.gone().to_string() };
        let (session, shares, defaults) = self.workers.parts(self.machine).ok_or_else(gone)?;
        let exec = self.complete(request, &defaults);
        guest_work::check_sources(&shares).await?;
        if self.is_view_free() {
            let slot = self.workers.slot(self.machine);
            let _turn = slot.turn.lock().await;
            let view = slot.lock().view;
            let view = guest_work::show_owner(&session, &*shares, &exec.user, view).await?;
            slot.lock().view = view;
        }
        let id = exec.id;
        let command = session.exec_streamed(exec).await.map_err(|error| guest_work::start_failure(&error))?;
        let CommandStream { input, output, end } = command;
        Ok(GuestExec { input, output, end, control: ExecControl { session, exec: id } })
    }

    /// Whether the files of the shares may be shown as owned by another user: neither a step nor a service of a user
    /// of its own looks at them.
    fn is_view_free(&self) -> bool {
        let plan = self.plan();
        let view = self.handle.view();
        let is_busy = view.steps.iter().any(|step| step.machine == plan.name && step.attempt.is_some());
        let is_held = self.workers.slot(self.machine).lock().is_view_held;
        !is_busy && !is_held && plan.mounts.iter().any(MountPlan::follows_steps)
    }

    fn complete(&self, request: ExecRequest, defaults: &ImageDefaults) -> Exec {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let plan = self.plan();
        let place = Place {
            env: &plan.env,
            working_dir: plan.working_dir.as_ref(),
            user: request.user.as_deref().or(plan.user.as_deref()),
        };
        let id = OUTSIDE_BIT | NEXT.fetch_add(1, Ordering::Relaxed);
        let mut exec = complete(id, Command::List(request.command), place, defaults);
        // Later ones win.
        exec.env.extend(request.env);
        if let Some(folder) = request.working_dir {
            (exec.working_dir, exec.is_working_dir_made) = (Some(folder), false);
        }
        Exec { streams: Some(request.streams), ..exec }
    }
}

impl ExecControl {
    /// Its number, by which its output names it.
    pub fn number(&self) -> u64 {
        self.exec
    }

    /// Changes the size of its terminal; nothing happens where it has none, or has ended.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), SessionError> {
        self.session.resize(self.exec, size).await
    }

    /// Sends a signal to its process group; nothing happens where it has ended.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub async fn signal(&self, signal: i32) -> Result<(), SessionError> {
        self.session.signal(self.exec, signal).await
    }

    /// Ends it and all that it started: TERM, and KILL when the grace is over.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub async fn terminate(&self, grace: Duration) -> Result<(), SessionError> {
        self.session.terminate(self.exec, grace).await
    }
}
