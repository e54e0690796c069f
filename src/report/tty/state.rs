//! How far a run is, folded from its events: phases and times of machines and steps, what they printed last, what
//! failed. The plan says what is still to come.
//!
//! Deliberately not here: what of it is shown (`render`), what waits for what (`waits`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::services::ServiceView;
use crate::event::{Awaited, Event, MachinePhase, StepStatus, Timed};
use crate::plan::{Operation, OperationKind, Plan};
use crate::report::failure::Failures;
use crate::report::readable::readable;
use crate::report::words;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepPhase {
    /// It has not started.
    Waiting,
    /// An attempt runs.
    Running {
        /// Since when.
        since: Duration,
        /// From 1.
        attempt: u32,
    },
    /// It is over.
    Done(StepStatus),
}

/// A step as the events tell it.
#[derive(Debug)]
pub(super) struct StepView {
    pub(super) phase: StepPhase,
    /// Whether those that need it may go on.
    pub(super) is_good: bool,
    attempts: usize,
    first_started: Option<Duration>,
    took: Option<Duration>,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PullView {
    pub(super) done: u64,
    pub(super) total: Option<u64>,
}

/// A machine as the events tell it.
#[derive(Debug, Default)]
pub(super) struct MachineView {
    /// The phase that it has reached.
    pub(super) phase: Option<MachinePhase>,
    /// Since when it is in this phase or does this.
    pub(super) since: Duration,
    /// What takes long, on the way to its boot.
    pub(super) news: Option<String>,
    pub(super) pull: Option<PullView>,
    /// Engine and accelerator.
    pub(super) engine: Option<String>,
    /// What it waits for before it boots.
    pub(super) awaits: Vec<Awaited>,
    /// Why it does not come, where that is known.
    pub(super) lost: Option<String>,
    /// Its service, where something was told of it.
    pub(super) service: Option<ServiceView>,
    prepared: Option<Duration>,
    booted: Option<Duration>,
    stopped: Option<Duration>,
}

impl MachineView {
    /// Whether it is gone.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Some(MachinePhase::Stopped | MachinePhase::Failed))
    }

    /// Whether it has memory, or is about to.
    pub(super) fn is_live(&self) -> bool {
        !self.is_over() && (self.phase.is_some() || self.news.is_some())
    }
}

/// How far the run is.
#[derive(Debug)]
pub(super) struct RunView {
    pub(super) plan: Arc<Plan>,
    /// Steps that may run at the same time.
    pub(super) places: usize,
    /// In the order of the plan.
    pub(super) steps: Vec<StepView>,
    /// In the order of the plan.
    pub(super) machines: Vec<MachineView>,
    pub(super) failures: Failures,
    /// Signals by which it ends.
    pub(super) signals: usize,
    /// Whether somebody else has told it to end.
    pub(super) is_told_down: bool,
    step_places: HashMap<String, usize>,
    machine_places: HashMap<String, usize>,
}

impl RunView {
    /// A run of which nothing has happened.
    pub(super) fn new(plan: Arc<Plan>, places: usize) -> Self {
        let step =
            |_| StepView { phase: StepPhase::Waiting, is_good: false, attempts: 0, first_started: None, took: None };
        let by_name = |names: Vec<&String>| -> HashMap<String, usize> {
            names.into_iter().enumerate().map(|(place, name)| (name.clone(), place)).collect()
        };
        Self {
            steps: plan.steps.iter().map(step).collect(),
            machines: plan.machines.iter().map(|_| MachineView::default()).collect(),
            failures: Failures::default(),
            signals: 0,
            is_told_down: false,
            step_places: by_name(plan.steps.iter().map(|step| &step.id).collect()),
            machine_places: by_name(plan.machines.iter().map(|machine| &machine.name).collect()),
            plan,
            places,
        }
    }

    /// Place of a step in the plan.
    pub(super) fn step(&self, id: &str) -> Option<usize> {
        self.step_places.get(id).copied()
    }

    /// Place of a machine in the plan.
    pub(super) fn machine(&self, name: &str) -> Option<usize> {
        self.machine_places.get(name).copied()
    }

    /// Takes the next event. What the plan does not know is passed over.
    pub(super) fn on(&mut self, timed: &Timed) {
        self.failures.on(timed);
        match &timed.event {
            Event::Machine { machine, phase, seconds, engine, .. } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.enter(timed.at, *phase, *seconds, engine.as_deref());
                }
            }
            Event::Progress { machine, text } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.news = Some(readable(text.as_bytes()));
                    machine.pull = None;
                    machine.since = timed.at;
                }
            }
            Event::Pull { machine, done, total, .. } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.pull = Some(PullView { done: *done, total: *total });
                }
            }
            Event::StepStarted { step, attempt, .. } => {
                if let Some(step) = self.step(step).and_then(|place| self.steps.get_mut(place)) {
                    step.phase = StepPhase::Running { since: timed.at, attempt: *attempt };
                    step.first_started.get_or_insert(timed.at);
                    step.attempts += 1;
                }
            }
            Event::StepFinished { step, status, is_allowed, seconds, .. } => {
                if let Some(step) = self.step(step).and_then(|place| self.steps.get_mut(place)) {
                    step.phase = StepPhase::Done(*status);
                    step.is_good = *status == StepStatus::Passed || *is_allowed;
                    // The event has the time of the last attempt alone.
                    let all = step.first_started.map(|first| timed.at.saturating_sub(first));
                    step.took = all.map(|all| if step.attempts > 1 { all } else { duration(*seconds) });
                }
            }
            Event::Waiting { machine, on } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.awaits.clone_from(on);
                }
            }
            Event::Service { machine, .. } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.service = ServiceView::next(machine.service.take(), timed);
                }
            }
            Event::NotStarted { machine, cause, .. } => {
                if let Some(machine) = self.machine(machine).and_then(|place| self.machines.get_mut(place)) {
                    machine.lost = Some(readable(cause.as_bytes()));
                }
            }
            Event::Warning { text } => {
                self.signals += usize::from(words::is_of_signal(text));
                self.is_told_down |= words::is_of_down(text);
            }
            Event::RunStarted { .. }
            | Event::Output { .. }
            | Event::Ownership { .. }
            | Event::Paused { .. }
            | Event::RunHeld { .. }
            | Event::RunFinished { .. } => {}
        }
    }

    /// Whether there are services and nothing else, so that what they print is what is to be seen.
    pub(super) fn is_services_only(&self) -> bool {
        self.plan.steps.is_empty() && self.plan.machines.iter().any(|machine| machine.service.is_some())
    }

    /// Steps of a machine, by place.
    pub(super) fn steps_of(&self, machine: usize) -> impl Iterator<Item = usize> {
        let name = self.plan.machines.get(machine).map(|machine| machine.name.as_str());
        let own = self.plan.steps.iter().enumerate().filter(move |(_, step)| Some(step.machine.as_str()) == name);
        own.map(|(place, _)| place)
    }

    /// Whether an attempt of this step runs.
    pub(super) fn is_running(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|step| matches!(step.phase, StepPhase::Running { .. }))
    }

    /// Whether this step has not started yet.
    pub(super) fn is_waiting(&self, step: usize) -> bool {
        self.steps.get(step).is_some_and(|step| step.phase == StepPhase::Waiting)
    }

    /// Steps that are over, and those of them that failed.
    pub(super) fn counts(&self) -> (usize, usize) {
        let is_failed = |step: &&StepView| {
            matches!(step.phase, StepPhase::Done(StepStatus::Failed | StepStatus::TimedOut)) && !step.is_good
        };
        let done = self.steps.iter().filter(|step| matches!(step.phase, StepPhase::Done(_))).count();
        (done, self.steps.iter().filter(is_failed).count())
    }

    /// How long an operation of the plan took, where it happened.
    pub(super) fn took(&self, operation: &Operation) -> Option<Duration> {
        let machine = self.machine(&operation.machine).and_then(|place| self.machines.get(place));
        match operation.kind {
            OperationKind::Prepare => machine?.prepared,
            OperationKind::Boot => machine?.booted,
            OperationKind::Service => None,
            OperationKind::Stop => machine?.stopped,
            OperationKind::Step | OperationKind::Finally => {
                let (_, id) = operation.id.split_once(':')?;
                self.steps.get(self.step(id)?)?.took
            }
        }
    }
}

/// A time that is none counts as nothing.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl MachineView {
    fn enter(&mut self, at: Duration, phase: MachinePhase, seconds: f64, engine: Option<&str>) {
        let seconds = duration(seconds);
        let sum = |before: Option<Duration>| Some(before.unwrap_or_default().saturating_add(seconds));
        match phase {
            MachinePhase::Prepared => self.prepared = sum(None),
            MachinePhase::Booting | MachinePhase::Agent | MachinePhase::Mounted | MachinePhase::Ready => {
                self.booted = sum(self.booted);
            }
            MachinePhase::Stopped => self.stopped = sum(None),
            MachinePhase::Stopping | MachinePhase::Failed => {}
        }
        self.phase = Some(phase);
        self.since = at;
        self.news = None;
        self.pull = None;
        self.lost = None;
        if let Some(engine) = engine {
            self.engine = Some(engine.to_owned());
        }
    }
}
