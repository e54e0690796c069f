//! The hands of a run: carries out one action at a time, in tasks that send what came of it. Nothing is decided here.
//!
//! What a machine holds of the host (file servers, VM, session) is in its slot, and [`Workers::release`] lets go of it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver as VmEvents;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::guest_work::{self, View};
use super::input::{MachineInput, PrepareFailure, RunInput, StepInput};
use super::limits::TimeLimits;
use super::options::RunDeps;
use super::provide::{Network, ProvideError, ProvideHooks, Shares};
use super::round_work::Current;
use crate::engine::{DiskSocket, ShareSocket, Vm, VmEvent, VmExit, VmSpec};
use crate::guest::{Dial, Session, SessionLimits, SetupRoot};
use crate::net::Published;
use crate::plan::{ImageDefaults, Plan};

/// Kernel parameters of every machine. A panic reboots at once, which ends the VM.
const CMDLINE: &str = "quiet panic=-1 reboot=a";

/// Everything that workers share.
pub(super) struct Workers {
    pub(super) current: RwLock<Current>,
    pub(super) deps: RunDeps,
    pub(super) limits: TimeLimits,
    /// The inbox; a worker waits where it is full.
    pub(super) inbox: mpsc::Sender<RunInput>,
    /// For what must not wait behind output.
    pub(super) urgent: mpsc::UnboundedSender<RunInput>,
    pub(super) slots: RwLock<Vec<Arc<Slot>>>,
    /// The ports of a round that is about to begin.
    pub(super) next_ports: Mutex<Option<Published>>,
    /// Tasks that were told to end; they may still hold something for a moment.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Workers").field("deps", &self.deps).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Slot {
    is_canceled: Arc<AtomicBool>,
    held: Mutex<Held>,
    /// Whoever changes as whose the files appear.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// What a machine holds. The order of the fields is the order in which they go: the session before the VM that it
/// talks to, the VM before its file servers.
#[derive(Default)]
pub(super) struct Held {
    tasks: Vec<JoinHandle<()>>,
    session: Option<Session>,
    vm: Option<Box<dyn Vm>>,
    boot: Option<BootFiles>,
    root: Option<SetupRoot>,
    pub(super) shares: Option<Arc<dyn Shares>>,
    network: Option<Arc<dyn Network>>,
    pub(super) dial: Option<Arc<dyn Dial>>,
    defaults: Arc<ImageDefaults>,
    pub(super) view: View,
    /// Whether it stays, because a service of a user of its own lives there.
    pub(super) is_view_held: bool,
    /// Whether it was let go of; for whoever works on what it held.
    pub(super) is_released: Arc<AtomicBool>,
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

impl Held {
    /// Whether its agent has answered.
    pub(super) fn is_up(&self) -> bool {
        self.session.is_some()
    }
}

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
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
        let slots = plan.machines.iter().map(|_| Arc::default()).collect();
        let published = Arc::clone(&deps.published);
        Arc::new(Self {
            current: RwLock::new(Current { plan, step_base: 0, published }),
            deps,
            limits,
            inbox,
            urgent,
            slots: RwLock::new(slots),
            next_ports: Mutex::default(),
            ending: Mutex::default(),
        })
    }

    /// What a machine holds.
    pub(super) fn slot(&self, machine: usize) -> Arc<Slot> {
        Arc::clone(&self.slots.read().unwrap_or_else(PoisonError::into_inner)[machine])
    }

    async fn send(&self, machine: usize, input: MachineInput) {
        // The inbox is closed only when the run is over.
        let _ = self.inbox.send(RunInput::Machine(machine, input)).await;
    }

    pub(super) async fn send_step(&self, step: usize, input: StepInput) {
        let _ = self.inbox.send(RunInput::Step(step, input)).await;
    }

    /// Runs a task that ends with its machine.
    pub(super) fn spawn(&self, machine: usize, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        let slot = self.slot(machine);
        let mut held = slot.lock();
        held.tasks.retain(|task| !task.is_finished());
        held.tasks.push(handle);
    }

    pub(super) fn session(&self, machine: usize) -> Option<Session> {
        self.slot(machine).lock().session.clone()
    }

    /// What works on a machine that is up.
    pub(super) fn parts(&self, machine: usize) -> Option<(Session, Arc<dyn Shares>, Arc<ImageDefaults>)> {
        let slot = self.slot(machine);
        let held = slot.lock();
        Some((held.session.clone()?, held.shares.clone()?, Arc::clone(&held.defaults)))
    }

    pub(super) fn prepare(self: &Arc<Self>, machine: usize) {
        let slot = self.slot(machine);
        // It may have been given up in an earlier life, after which who came was sent away.
        slot.is_canceled.store(false, Ordering::Relaxed);
        self.end_tasks(&mut slot.lock());
        let workers = Arc::clone(self);
        // Not a task of the machine: what it makes must come back, so that it is let go of.
        tokio::task::spawn_blocking(move || {
            let prepared = workers.deps.provider.prepare(&workers.plan().machines[machine], workers.hooks(machine));
            let result = prepared.map(|prepared| {
                let slot = workers.slot(machine);
                let mut held = slot.lock();
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
                held.network = prepared.network;
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
        let is_canceled = Arc::clone(&self.slot(machine).is_canceled);
        let progress = self.urgent.clone();
        let pulls = self.urgent.clone();
        let (deaths, remarks, failures) = (self.urgent.clone(), self.urgent.clone(), self.urgent.clone());
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
            warn: Arc::new(move |text| {
                let _ = remarks.send(RunInput::Machine(machine, MachineInput::Remark(text)));
            }),
            fail: Arc::new(move |cause| {
                let _ = failures.send(RunInput::Machine(machine, MachineInput::Fail(cause)));
            }),
        }
    }

    pub(super) fn cancel_prepare(&self, machine: usize) {
        self.slot(machine).is_canceled.store(true, Ordering::Relaxed);
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
        let slot = self.slot(machine);
        let mut held = slot.lock();
        let boot = held.boot.take().ok_or("the machine was not prepared")?;
        let plan = self.plan();
        let plan = &plan.machines[machine];
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
            let Some(dial) = workers.slot(machine).lock().dial.clone() else { return };
            match Session::open(dial, limits).await {
                Ok((session, events)) => {
                    workers.slot(machine).lock().session = Some(session);
                    workers.send(machine, MachineInput::Agent(Ok(()))).await;
                    let shares = workers.slot(machine).lock().shares.clone();
                    guest_work::forward_session(machine, events, shares, workers.inbox.clone()).await;
                }
                Err(error) => workers.send(machine, MachineInput::Agent(Err(chain(&error)))).await,
            }
        });
    }

    pub(super) fn set_up(self: &Arc<Self>, machine: usize) {
        let workers = Arc::clone(self);
        self.spawn(machine, async move {
            let (root, network) = {
                let slot = workers.slot(machine);
                let held = slot.lock();
                (held.root.clone(), held.network.clone())
            };
            let Some(((session, shares, defaults), root)) = workers.parts(machine).zip(root) else { return };
            let plan = workers.plan();
            let machine_plan = &plan.machines[machine];
            let work = guest_work::set_up(&session, &*shares, root, machine_plan, &defaults, network.as_deref());
            let limit = workers.limits.set_up(guest_work::may_fill(machine_plan));
            let result = match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => Err(format!("the agent did not make the mounts within {} s", limit.as_secs())),
            };
            if result.is_ok() {
                workers.connect(machine, &session);
            }
            workers.send(machine, MachineInput::SetUp(result)).await;
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
        let slot = self.slot(machine);
        if let Some(vm) = &slot.lock().vm {
            vm.kill();
        }
    }

    /// Lets go of everything that a machine holds.
    pub(super) fn release(&self, machine: usize) {
        let mut held = std::mem::take(&mut *self.slot(machine).lock());
        held.is_released.store(true, Ordering::Relaxed);
        self.end_tasks(&mut held);
        drop(held);
    }

    /// The same for all machines; what was still done for those that are gone ends too.
    pub(super) fn release_all(&self) {
        for machine in 0..self.plan().machines.len() {
            self.release(machine);
        }
    }

    fn end_tasks(&self, held: &mut Held) {
        for task in &held.tasks {
            task.abort();
        }
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).append(&mut held.tasks);
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
