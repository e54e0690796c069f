//! A machine that is up: its run goes on in a task, and ends with this value.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::MachineError;
use super::result::ExecResult;
use crate::event::{MachinePhase, Timed};
use crate::guest::{Stream, Streams};
use crate::plan::Plan;
use crate::run::{
    ExecControl, ExecRequest, GuestExec, Options, ProjectLock, RunCommand, RunDeps, RunHandle, Signal, door, run,
};

/// Most that a command may write on each stream, in bytes.
pub(super) const OUTPUT_MAX: usize = 64 << 20;

/// Events of a run that wait until they are thrown away.
const EVENTS_WAITING: usize = 64;

/// Between TERM and KILL of a command that nobody waits for any more.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A machine that is up, or on its way.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    handle: RunHandle,
    task: Option<JoinHandle<()>>,
    _ending: Ending,
}

impl Running {
    /// Starts the run; the lock is held until all of it has ended.
    pub(super) fn start(plan: Plan, deps: RunDeps, options: Options, lock: ProjectLock) -> Self {
        let name = plan.machines.first().map(|machine| machine.name.clone()).unwrap_or_default();
        let (handle, door) = door();
        let deps = RunDeps { door: Some(door), ..deps };
        let (ending, mut heard) = Ending::new();
        let (events, mut told) = mpsc::channel::<Timed>(EVENTS_WAITING);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        let task = tokio::spawn(async move {
            let _ = run(Arc::new(plan), deps, options, &mut heard, events).await;
            drop(lock);
        });
        Self { name, handle, task: Some(task), _ending: ending }
    }

    /// Waits until the machine is up.
    pub(super) async fn ready(&mut self) -> Result<(), MachineError> {
        loop {
            let view = self.handle.view();
            let machine = view.machines.iter().find(|machine| machine.name == self.name);
            let phase = machine.and_then(|machine| machine.phase);
            match phase {
                Some(MachinePhase::Ready) => return Ok(()),
                Some(MachinePhase::Failed) => {
                    let cause = machine.and_then(|machine| machine.cause.clone()).unwrap_or_default();
                    return Err(MachineError::Failed { cause });
                }
                _ => {}
            }
            if !self.handle.changed().await {
                return Err(MachineError::Failed { cause: "its run ended".to_owned() });
            }
        }
    }

    /// Powers the machine off in order, and waits until nothing of it is left.
    pub(super) async fn stop(&mut self) -> Result<(), MachineError> {
        let asked = self.handle.ask(RunCommand::Down).await;
        if let Some(task) = &mut self.task {
            // A run that panicked has told so by the panic.
            let _ = task.await;
            self.task = None;
        }
        asked.map_err(MachineError::from)
    }

    /// Who runs commands in it; keeps it neither up nor alive.
    pub(super) fn commands(&self) -> Commands {
        Commands { name: self.name.clone(), handle: self.handle.clone() }
    }
}

/// Ends a run at once when it is dropped: as after a second signal.
#[derive(Debug)]
pub(super) struct Ending(mpsc::UnboundedSender<Signal>);

impl Ending {
    /// With where the run hears of it.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Signal>) {
        let (signals, heard) = mpsc::unbounded_channel();
        (Self(signals), heard)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        for _ in 0..2 {
            // A run that is over hears nothing.
            let _ = self.0.send(Signal::Terminate);
        }
    }
}

/// Runs commands in a machine that is up.
pub(super) struct Commands {
    name: String,
    handle: RunHandle,
}

impl Commands {
    /// Runs a command to its end.
    pub(super) async fn exec(&self, command: Vec<String>) -> Result<ExecResult, MachineError> {
        let request = ExecRequest {
            command,
            env: std::collections::BTreeMap::new(),
            working_dir: None,
            user: None,
            streams: Streams::Pipes,
        };
        let guest = self.handle.guest(&self.name)?;
        let started = guest.exec(request).await;
        let GuestExec { input, mut output, end, control } =
            started.map_err(|failure| MachineError::Command { exit_code: failure.exit_code, cause: failure.cause })?;
        drop(input);
        let mut ending = EndOnDrop(Some(control));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(written) = output.next().await {
            let to = if written.stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            if to.len() + written.bytes.len() > OUTPUT_MAX {
                return Err(MachineError::TooMuchOutput { limit: OUTPUT_MAX });
            }
            to.extend(written.bytes);
        }
        let Some((status, _)) = end.wait().await else {
            return Err(MachineError::Failed { cause: self.cause() });
        };
        ending.0 = None;
        Ok(ExecResult { stdout, stderr, exit_code: status.shell_code() })
    }

    fn cause(&self) -> String {
        let view = self.handle.view();
        let machine = view.machines.iter().find(|machine| machine.name == self.name);
        machine
            .and_then(|machine| machine.cause.clone())
            .unwrap_or_else(|| "it ended before the command did".to_owned())
    }
}

/// A command whose caller goes away is ended.
struct EndOnDrop(Option<ExecControl>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let Some(control) = self.0.take() else { return };
        // Without a runtime the machine goes as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { control.terminate(LAST_GRACE).await });
        }
    }
}
