//! A machine that is up: its run goes on in a task, and ends with this value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::command::ExecSpec;
use super::error::MachineError;
use super::execution::Execution;
use super::lives::{Held, Owner};
use crate::event::{MachinePhase, Timed};
use crate::plan::Plan;
use crate::run::{Guest, GuestError, MachineView, Options, RunCommand, RunDeps, RunHandle, Signal, door, run};

/// Events of a run that wait until they are thrown away.
const EVENTS_WAITING: usize = 64;

/// How long the end of a machine may be told after that of a command in it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A machine that is up, or on its way.
#[derive(Debug)]
pub(super) struct Running {
    commands: Commands,
    task: Option<JoinHandle<()>>,
    // Who hears that the run ends at once must find it going.
    _owner: Owner,
    _ending: Ending,
}

impl Running {
    /// Starts the run; its name is held until all of it has ended.
    pub(super) fn start(plan: Plan, deps: RunDeps, options: Options, (owner, held): (Owner, Held)) -> Self {
        let name = plan.machines.first().map(|machine| machine.name.clone()).unwrap_or_default();
        let (handle, door) = door();
        let deps = RunDeps { door: Some(door), ..deps };
        let (ending, mut heard) = Ending::new();
        let (events, mut told) = mpsc::channel::<Timed>(EVENTS_WAITING);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        let task = tokio::spawn(async move {
            // Before the run in the order of drops: a task that is dropped unfinished lets go of the name last.
            let _held = held;
            let _ = run(Arc::new(plan), deps, options, &mut heard, events).await;
        });
        Self { commands: Commands { name, handle }, task: Some(task), _owner: owner, _ending: ending }
    }

    /// Waits until the machine is up.
    pub(super) async fn ready(&mut self) -> Result<(), MachineError> {
        loop {
            let machine = self.commands.machine();
            match machine.as_ref().and_then(|machine| machine.phase) {
                Some(MachinePhase::Ready) => return Ok(()),
                Some(MachinePhase::Failed) => return Err(failed(machine)),
                _ => {}
            }
            if !self.commands.handle.changed().await {
                return Err(MachineError::Failed { cause: "its run ended".to_owned() });
            }
        }
    }

    /// Whether it has failed since it was up.
    pub(super) fn has_failed(&self) -> bool {
        let machine = self.commands.machine();
        self.commands.handle.is_over() || machine.is_some_and(|machine| machine.phase == Some(MachinePhase::Failed))
    }

    /// Powers the machine off in order, and waits until nothing of it is left.
    pub(super) async fn stop(&mut self) -> Result<(), MachineError> {
        let asked = self.commands.handle.ask(RunCommand::Down).await;
        if let Some(task) = &mut self.task {
            // A run that panicked has told so by the panic.
            let _ = task.await;
            self.task = None;
        }
        asked.map_err(MachineError::from)
    }

    /// The address of this computer that reaches a port of the guest.
    pub(super) fn address_of(&self, guest: u16) -> Option<SocketAddr> {
        let machine = self.commands.machine()?;
        let port = machine.ports.iter().find(|port| port.guest == guest)?;
        Some(SocketAddr::from((port.address, port.host)))
    }

    /// Who runs commands in it; keeps it neither up nor alive.
    pub(super) fn commands(&self) -> Commands {
        self.commands.clone()
    }
}

fn failed(machine: Option<MachineView>) -> MachineError {
    let cause = machine.and_then(|machine| machine.cause).unwrap_or_else(|| "nobody knows why".to_owned());
    MachineError::Failed { cause }
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
#[derive(Debug, Clone)]
pub(super) struct Commands {
    name: String,
    handle: RunHandle,
}

impl Commands {
    /// Starts a command. Dropped on the way, it is ended, if it came to start.
    pub(super) async fn spawn(&self, mut spec: ExecSpec) -> Result<Execution, MachineError> {
        let (stdin, timeout) = (spec.stdin.take(), spec.timeout);
        let request = spec.request()?;
        let guest = self.guest()?;
        let commands = self.clone();
        // In a task of its own: a start that nobody waits for any more would leave a command that nobody knows.
        let (to_caller, started) = oneshot::channel();
        tokio::spawn(async move {
            let started = guest.exec(request).await;
            let started = started.map(|exec| Execution::new(exec, stdin, timeout, commands));
            // What nobody takes ends its command.
            drop(to_caller.send(started));
        });
        match started.await {
            Ok(Ok(execution)) => Ok(execution),
            // The machine is gone, or cannot do its part.
            Ok(Err(failure)) if failure.exit_code == 125 && !self.is_up() => {
                Err(MachineError::Failed { cause: self.cause().await })
            }
            Ok(Err(failure)) => Err(MachineError::Command { exit_code: failure.exit_code, cause: failure.cause }),
            Err(_) => Err(MachineError::NotStarted),
        }
    }

    fn guest(&self) -> Result<Guest, MachineError> {
        self.handle.guest(&self.name).map_err(|error| match error {
            GuestError::NotUp { phase: Some(MachinePhase::Failed), .. } => failed(self.machine()),
            _ => MachineError::NotStarted,
        })
    }

    fn machine(&self) -> Option<MachineView> {
        self.handle.view().machine(&self.name).cloned()
    }

    fn is_up(&self) -> bool {
        self.machine().is_some_and(|machine| machine.is_up())
    }

    /// Why a command ended before its time: what becomes of the machine is told a moment later.
    pub(super) async fn cause(&self) -> String {
        let mut commands = self.clone();
        let told = async move {
            loop {
                if let Some(cause) = commands.machine().and_then(|machine| machine.cause) {
                    return Some(cause);
                }
                if !commands.handle.changed().await {
                    return None;
                }
            }
        };
        let told = tokio::time::timeout(LAST_WORDS, told).await.ok().flatten();
        told.unwrap_or_else(|| "it was stopped before the command ended".to_owned())
    }
}
