//! The hands of a run: carries out one action at a time, in tasks that send what came of it. Nothing is decided here.
//!
//! What a machine holds of the host (file servers, VM, session) is in its slot, and [`Workers::release`] lets go of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver as VmEvents;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::guest_work::{self, View};
use super::input::{Attempt, MachineInput, PrepareFailure, RunInput, StartFailure, StepInput};
use super::limits::TimeLimits;
use super::options::RunDeps;
use super::provide::{ProvideError, ProvideHooks, Shares};
use crate::engine::{DiskSocket, ShareSocket, Vm, VmEvent, VmExit, VmSpec};
use crate::guest::{Dial, Exec, Session, SessionLimits, SetupRoot};
use crate::plan::{ImageDefaults, MountPlan, Plan};

/// Kernel parameters of every machine. A panic reboots at once, which ends the VM.
const CMDLINE: &str = "quiet panic=-1 reboot=a";

/// Everything that workers share.
pub(super) struct Workers {
    pub(super) plan: Arc<Plan>,
    pub(super) deps: RunDeps,
    pub(super) limits: TimeLimits,
    /// The inbox; a worker waits where it is full.
    pub(super) inbox: mpsc::Sender<RunInput>,
    /// For what must not wait behind output.
    pub(super) urgent: mpsc::UnboundedSender<RunInput>,
    slots: Vec<Slot>,
    /// Tasks that were told to end; they may still hold something for a moment.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Workers").field("deps", &self.deps).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Slot {
    is_canceled: Arc<AtomicBool>,
    held: Mutex<Held>,
}

/// What a machine holds. The order of the fields is the order in which they go: the session before the VM that it
/// talks to, the VM before its file servers.
#[derive(Default)]
struct Held {
    tasks: Vec<JoinHandle<()>>,
    session: Option<Session>,
    vm: Option<Box<dyn Vm>>,
    boot: Option<BootFiles>,
    root: Option<SetupRoot>,
    shares: Option<Arc<dyn Shares>>,
    dial: Option<Arc<dyn Dial>>,
    defaults: Arc<ImageDefaults>,
    view: View,
    /// Whether it was let go of; for whoever works on what it held.
    is_released: Arc<AtomicBool>,
}

/// What the engine needs, once.
struct BootFiles {
    kernel: std::path::PathBuf,
    initramfs: std::path::PathBuf,
    cmdline: String,
    sockets: Vec<ShareSocket>,
    disks: Vec<DiskSocket>,
    vsock: std::os::fd::OwnedFd,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workers {
    pub(super) fn new(
        plan: Arc<Plan>,
        deps: RunDeps,
        limits: TimeLimits,
        inbox: mpsc::Sender<RunInput>,
        urgent: mpsc::UnboundedSender<RunInput>,
    ) -> Arc<Self> {
        let slots = plan.machines.iter().map(|_| Slot::default()).collect();
        Arc::new(Self { plan, deps, limits, inbox, urgent, slots, ending: Mutex::default() })
    }

    async fn send(&self, machine: usize, input: MachineInput) {
        // The inbox is closed only when the run is over.
        let _ = self.inbox.send(RunInput::Machine(machine, input)).await;
    }

    async fn send_step(&self, step: usize, input: StepInput) {
        let _ = self.inbox.send(RunInput::Step(step, input)).await;
    }

    /// Runs a task that ends with its machine.
    fn spawn(&self, machine: usize, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        let mut held = self.slots[machine].lock();
        held.tasks.retain(|task| !task.is_finished());
        held.tasks.push(handle);
    }

    pub(super) fn session(&self, machine: usize) -> Option<Session> {
        self.slots[machine].lock().session.clone()
    }

    /// What works on a machine that is up.
    fn parts(&self, machine: usize) -> Option<(Session, Arc<dyn Shares>, Arc<ImageDefaults>)> {
        let held = self.slots[machine].lock();
        Some((held.session.clone()?, held.shares.clone()?, Arc::clone(&held.defaults)))
    }

    pub(super) fn prepare(self: &Arc<Self>, machine: usize) {
        let workers = Arc::clone(self);
        // Not a task of the machine: what it makes must come back, so that it is let go of.
        tokio::task::spawn_blocking(move || {
            let prepared = workers.deps.provider.prepare(&workers.plan.machines[machine], workers.hooks(machine));
            let result = prepared.map(|prepared| {
                let mut held = workers.slots[machine].lock();
                held.boot = Some(BootFiles {
                    kernel: prepared.kernel,
                    initramfs: prepared.initramfs,
                    cmdline: prepared.cmdline,
                    sockets: prepared.sockets,
                    disks: prepared.disks,
                    vsock: prepared.vsock,
                });
                held.root = Some(prepared.root);
                held.dial = Some(prepared.dial);
                held.shares = Some(Arc::from(prepared.shares));
                held.defaults = Arc::new(prepared.defaults);
            });
            let result =
                result.map_err(|ProvideError { message, is_host_unfit }| PrepareFailure { message, is_host_unfit });
            let news = RunInput::Machine(machine, MachineInput::Prepared(result));
            if workers.inbox.blocking_send(news).is_err() {
                workers.release(machine);
            }
        });
    }

    fn hooks(self: &Arc<Self>, machine: usize) -> ProvideHooks {
        let is_canceled = Arc::clone(&self.slots[machine].is_canceled);
        let progress = self.urgent.clone();
        let pulls = self.urgent.clone();
        let deaths = self.urgent.clone();
        ProvideHooks {
            progress: Box::new(move |text| {
                let _ = progress.send(RunInput::Machine(machine, MachineInput::Progress(text)));
            }),
            pulled: Box::new(move |pulled| {
                let _ = pulls.send(RunInput::Machine(machine, MachineInput::Pulled(pulled)));
            }),
            is_canceled: Arc::new(move || is_canceled.load(Ordering::Relaxed)),
            share_died: Arc::new(move |share, reason| {
                let _ = deaths.send(RunInput::Machine(machine, MachineInput::ShareDied { share, reason }));
            }),
        }
    }

    pub(super) fn cancel_prepare(&self, machine: usize) {
        self.slots[machine].is_canceled.store(true, Ordering::Relaxed);
    }

    pub(super) fn start(self: &Arc<Self>, machine: usize) {
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let result = workers.start_vm(machine);
            let news = result.as_ref().map(|_| ()).map_err(Clone::clone);
            let news = RunInput::Machine(machine, MachineInput::Started(news));
            if workers.inbox.blocking_send(news).is_err() {
                workers.release(machine);
                return;
            }
            if let Ok(events) = result {
                forward_vm(machine, &events, &workers.inbox);
            }
        });
    }

    fn start_vm(&self, machine: usize) -> Result<VmEvents<VmEvent>, String> {
        let mut held = self.slots[machine].lock();
        let boot = held.boot.take().ok_or("the machine was not prepared")?;
        let plan = &self.plan.machines[machine];
        let spec = VmSpec {
            name: plan.name.clone(),
            cpus: plan.cpus,
            memory_mib: plan.memory_mib,
            kernel: boot.kernel,
            initramfs: boot.initramfs,
            cmdline: format!("{CMDLINE} {}", boot.cmdline).trim_end().to_owned(),
            shares: boot.sockets,
            disks: boot.disks,
            vsock: boot.vsock,
            accel: self.deps.accel,
        };
        let (vm, events) = self.deps.engine.start(spec).map_err(|error| chain(&error))?;
        held.vm = Some(vm);
        Ok(events)
    }

    pub(super) fn open_session(self: &Arc<Self>, machine: usize) {
        let workers = Arc::clone(self);
        let limits = SessionLimits { connect: self.limits.boot(), heartbeat: self.limits.heartbeat() };
        self.spawn(machine, async move {
            let Some(dial) = workers.slots[machine].lock().dial.clone() else { return };
            match Session::open(dial, limits).await {
                Ok((session, events)) => {
                    workers.slots[machine].lock().session = Some(session);
                    workers.send(machine, MachineInput::Agent(Ok(()))).await;
                    let shares = workers.slots[machine].lock().shares.clone();
                    guest_work::forward_session(machine, events, shares, workers.inbox.clone()).await;
                }
                Err(error) => workers.send(machine, MachineInput::Agent(Err(chain(&error)))).await,
            }
        });
    }

    pub(super) fn set_up(self: &Arc<Self>, machine: usize) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let root = workers.slots[machine].lock().root.clone();
            let Some(((session, shares, defaults), root)) = workers.parts(machine).zip(root) else { return };
            let work = guest_work::set_up(&session, &*shares, root, &workers.plan.machines[machine], &defaults);
            let limit = workers.limits.set_up();
            let result = match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => Err(format!("the agent did not make the mounts within {} s", limit.as_secs())),
            };
            workers.send(machine, MachineInput::SetUp(result)).await;
        });
    }

    pub(super) fn exec(self: &Arc<Self>, machine: usize, attempt: Attempt) {
        let step = attempt.step;
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let Some((session, shares, defaults)) = workers.parts(machine) else { return };
            let started = match workers.ready_step(machine, attempt, &session, &shares, &defaults).await {
                Ok(exec) => session.exec(exec).await.map_err(|error| guest_work::start_failure(&error)),
                Err(failure) => Err(failure),
            };
            workers.send_step(step, StepInput::Started(started)).await;
        });
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
        let plan = &self.plan.steps[attempt.step];
        let exec = guest_work::command_of(plan, defaults, exec_id(attempt))?;
        guest_work::check_sources(shares).await?;
        // What an earlier attempt made belongs to the step too.
        if attempt.number == 1 {
            guest_work::record(&**shares, plan)?;
        }
        if self.plan.machines[machine].mounts.iter().any(MountPlan::follows_steps) {
            let view = self.slots[machine].lock().view;
            let view = guest_work::show_owner(session, &**shares, &exec.user, view).await?;
            self.slots[machine].lock().view = view;
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
            let outputs: Vec<String> =
                workers.plan.steps[step].outputs.iter().map(|output| output.as_str().to_owned()).collect();
            let result = session.missing_outputs(&outputs).await.map_err(|error| chain(&error));
            workers.send_step(step, StepInput::Outputs(result)).await;
        });
    }

    /// Not a task of the machine: it is told when the machine is let go of, and lets go of the file servers itself.
    pub(super) fn give_files(self: &Arc<Self>, machine: usize, step: usize) {
        let workers = Arc::clone(self);
        let (shares, is_released) = {
            let held = self.slots[machine].lock();
            (held.shares.clone(), Arc::clone(&held.is_released))
        };
        tokio::task::spawn_blocking(move || {
            let goes_on = || !is_released.load(Ordering::Relaxed);
            let result = guest_work::give_files(shares.as_deref(), &workers.plan.steps[step], &goes_on);
            drop(shares);
            // The run may be over.
            let _ = workers.inbox.blocking_send(RunInput::Step(step, StepInput::Given(result)));
        });
    }

    pub(super) fn shut_down(self: &Arc<Self>, machine: usize, grace: Duration) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let Some(session) = workers.session(machine) else { return };
            if let Err(error) = session.shutdown(grace).await {
                // The end of the VM may have been faster than the answer.
                if !matches!(error, crate::guest::SessionError::Closed { .. }) {
                    workers.send(machine, MachineInput::ShutdownFailed(chain(&error))).await;
                }
            }
        });
    }

    pub(super) fn kill(&self, machine: usize) {
        if let Some(vm) = &self.slots[machine].lock().vm {
            vm.kill();
        }
    }

    /// Lets go of everything that a machine holds.
    pub(super) fn release(&self, machine: usize) {
        let mut held = std::mem::take(&mut *self.slots[machine].lock());
        held.is_released.store(true, Ordering::Relaxed);
        for task in &held.tasks {
            task.abort();
        }
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).append(&mut held.tasks);
        drop(held);
    }

    /// Waits for the tasks that were told to end, so that what they held is gone too.
    pub(super) async fn rest(&self) {
        let ending = std::mem::take(&mut *self.ending.lock().unwrap_or_else(PoisonError::into_inner));
        for task in ending {
            // It was canceled, or it had ended before.
            let _ = task.await;
        }
    }
}

/// Bits of a command's number that say the step; those above say the attempt.
const STEP_BITS: u32 = 32;

/// Number of an attempt's command in its session. Each has its own: what an earlier attempt left in the background
/// may still be there.
fn exec_id(attempt: Attempt) -> u64 {
    (u64::from(attempt.number) << STEP_BITS) | u64::try_from(attempt.step).unwrap_or(u64::MAX).saturating_add(1)
}

/// The step of a command's number.
pub(super) fn step_of(exec: u64) -> Option<usize> {
    usize::try_from((exec & ((1 << STEP_BITS) - 1)).checked_sub(1)?).ok()
}

/// Passes on what a VM says, on the thread that started it, until it ends.
fn forward_vm(machine: usize, events: &VmEvents<VmEvent>, inbox: &mpsc::Sender<RunInput>) {
    loop {
        let event = events.recv().unwrap_or_else(|_| {
            VmEvent::Exited(VmExit::EngineFailed("the engine went away without saying how the VM ended".to_owned()))
        });
        let (input, is_last) = match event {
            VmEvent::Console(bytes) => (MachineInput::Console(bytes), false),
            VmEvent::Exited(exit) => (MachineInput::Exited(exit), true),
        };
        if inbox.blocking_send(RunInput::Machine(machine, input)).is_err() || is_last {
            return;
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
