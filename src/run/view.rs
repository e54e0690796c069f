//! What is now, as whoever looks at a run from outside sees it: a fold over the events, so that nothing is known here
//! that was not told.
//!
//! Deliberately not here: who looks (`handle`), and how it is shown (`cli`).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::{Event, MachinePhase, ServicePhase, StepStatus};
use crate::plan::{MachinePlan, Plan, PortPlan, StepPlan};

/// So many warnings are kept in sight; the record of the run has all.
const WARNINGS_MAX: usize = 8;

/// What a run is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// Id of the run; empty where nothing of it is kept.
    pub run: String,
    /// Name of the project.
    pub project: String,
    /// Whether nothing more is to come by itself: all steps are over, and what is to be up is.
    pub is_settled: bool,
    /// Machines of the plan, in file order.
    pub machines: Vec<MachineView>,
    /// Steps of the plan, in file order, `finally` last.
    pub steps: Vec<StepView>,
    /// Steps of earlier rounds that this one has not.
    pub earlier: Vec<StepView>,
    /// The last warnings, each text once.
    pub warnings: Vec<String>,
}

/// What a machine is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// Name.
    pub name: String,
    /// The phase that it has reached; `None` where it was not wanted yet.
    pub phase: Option<MachinePhase>,
    /// Since when.
    pub since: SystemTime,
    /// What runs in it beside its steps, where something does.
    pub service: Option<ServiceView>,
    /// Published ports, with the real port of the host once it is known.
    pub ports: Vec<PortPlan>,
    /// Why it failed, where it did.
    pub cause: Option<String>,
    /// Stands for all that the file says of the machine: another one is another machine.
    pub shape: String,
}

/// What a service is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Where it is.
    pub state: ServiceState,
    /// What its health check says, where it has one.
    pub health: Option<Health>,
    /// How often it was started again.
    pub restarts: u32,
}

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceState {
    /// Its command was not started yet.
    Waiting,
    /// Its command runs.
    Running,
    /// Its command ended, and will be started again.
    Restarting {
        /// The code of its last end (128+n for signal n).
        exit_code: Option<i32>,
    },
    /// Its command ended for good.
    Exited {
        /// Its code (128+n for signal n), where it ended by itself.
        exit_code: Option<i32>,
    },
}

/// What a health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Nothing yet.
    Starting,
    /// The service is ready.
    Healthy,
    /// It failed too often in a row.
    Unhealthy,
}

/// What a step is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Id.
    pub id: String,
    /// Machine.
    pub machine: String,
    /// The attempt that runs.
    pub attempt: Option<u32>,
    /// How it ended, once it has.
    pub status: Option<StepStatus>,
    /// Code of its process, where one ended.
    pub exit_code: Option<i32>,
    /// Stands for all that the file says of the step.
    pub shape: String,
}

impl RunView {
    /// The view before the first event.
    pub(super) fn new(plan: &Plan, now: SystemTime) -> Self {
        let machine = |machine: &MachinePlan| MachineView {
            name: machine.name.clone(),
            phase: None,
            since: now,
            service: machine.service.as_ref().map(|service| ServiceView {
                state: ServiceState::Waiting,
                health: service.health.as_ref().map(|_| Health::Starting),
                restarts: 0,
            }),
            ports: machine.ports.clone(),
            cause: None,
            shape: shape(machine),
        };
        let step = |step: &crate::plan::StepPlan| StepView {
            id: step.id.clone(),
            machine: step.machine.clone(),
            attempt: None,
            status: None,
            exit_code: None,
            shape: step_shape(step),
        };
        Self {
            run: String::new(),
            project: plan.project.clone(),
            is_settled: false,
            machines: plan.machines.iter().map(machine).collect(),
            steps: plan.steps.iter().map(step).collect(),
            earlier: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What there is before there is a run.
    pub fn nothing() -> Self {
        Self {
            run: String::new(),
            project: String::new(),
            is_settled: false,
            machines: Vec::new(),
            steps: Vec::new(),
            earlier: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The view when a round has this plan: machines that are the same stay as they are.
    fn turn(&mut self, now: SystemTime, plan: &Plan, anew: &[bool], removed: &[bool]) {
        let new = Self::new(plan, now);
        let earlier = std::mem::take(&mut self.machines);
        let kept = |machine: &MachineView| earlier.iter().find(|known| known.name == machine.name).cloned();
        let places = new.machines.into_iter().zip(anew.iter().zip(removed));
        let machines = places.filter(|(_, (_, is_removed))| !**is_removed).map(|(machine, (is_anew, _))| {
            let kept = if *is_anew { None } else { kept(&machine) };
            kept.unwrap_or(machine)
        });
        self.machines = machines.collect();
        let old = std::mem::replace(&mut self.steps, new.steps);
        self.earlier.retain(|known| old.iter().all(|step| step.id != known.id));
        self.earlier.extend(old);
        self.earlier.retain(|known| self.steps.iter().all(|step| step.id != known.id));
    }

    /// A machine by its name.
    pub fn machine(&self, name: &str) -> Option<&MachineView> {
        self.machines.iter().find(|machine| machine.name == name)
    }

    /// Takes an event; tells whether something of the view has changed.
    pub(super) fn on(&mut self, now: SystemTime, event: &Event) -> bool {
        match event {
            Event::RunStarted { run, .. } => self.run.clone_from(run),
            Event::Machine { machine, phase, cause, .. } => {
                let Some(view) = self.machines.iter_mut().find(|view| view.name == *machine) else { return false };
                let is_anew = view.is_down() && view.phase.is_some();
                view.phase = Some(*phase);
                view.since = now;
                if let (true, Some(service)) = (is_anew && !view.is_down(), &mut view.service) {
                    service.renew();
                }
                view.cause.clone_from(cause);
            }
            Event::Service { machine, phase, exit_code, .. } => {
                let view = self.machines.iter_mut().find(|view| view.name == *machine);
                let Some(service) = view.and_then(|view| view.service.as_mut()) else { return false };
                service.enter(*phase, *exit_code);
            }
            Event::StepStarted { step, attempt, .. } => {
                let Some(view) = self.steps.iter_mut().find(|view| view.id == *step) else { return false };
                (view.attempt, view.status, view.exit_code) = (Some(*attempt), None, None);
            }
            Event::StepFinished { step, status, exit_code, .. } => {
                let Some(view) = self.steps.iter_mut().find(|view| view.id == *step) else { return false };
                (view.attempt, view.status, view.exit_code) = (None, Some(*status), *exit_code);
            }
            Event::Warning { text } => {
                self.warnings.retain(|known| known != text);
                if self.warnings.len() >= WARNINGS_MAX {
                    self.warnings.remove(0);
                }
                self.warnings.push(text.clone());
            }
            _ => return false,
        }
        true
    }
}

impl ServiceView {
    /// Its machine lives anew.
    fn renew(&mut self) {
        (self.state, self.restarts) = (ServiceState::Waiting, 0);
        self.health = self.health.map(|_| Health::Starting);
    }

    fn enter(&mut self, phase: ServicePhase, exit_code: Option<i32>) {
        match phase {
            ServicePhase::Started => {
                self.state = ServiceState::Running;
                self.health = self.health.map(|_| Health::Starting);
            }
            ServicePhase::Healthy => self.health = Some(Health::Healthy),
            ServicePhase::Unhealthy => self.health = Some(Health::Unhealthy),
            ServicePhase::Restarting => {
                let exit_code = match self.state {
                    ServiceState::Exited { exit_code } => exit_code,
                    _ => None,
                };
                self.state = ServiceState::Restarting { exit_code };
                self.restarts = self.restarts.saturating_add(1);
            }
            ServicePhase::Exited | ServicePhase::Stopped => self.state = ServiceState::Exited { exit_code },
            ServicePhase::Testing | ServicePhase::Stopping => {}
        }
    }
}

impl MachineView {
    /// Whether commands can be run in it.
    pub fn is_up(&self) -> bool {
        self.phase == Some(MachinePhase::Ready)
    }

    /// Whether it holds nothing of the host.
    pub fn is_down(&self) -> bool {
        matches!(self.phase, None | Some(MachinePhase::Stopped | MachinePhase::Failed))
    }
}

/// What stands for a machine: the same for the same machine of a file, in each process of this version.
pub fn shape(machine: &MachinePlan) -> String {
    let mut machine = machine.clone();
    // When it boots does not make it another machine either.
    machine.depends_on.clear();
    machine.after.clear();
    // Which port was taken does not make it another machine.
    for port in machine.ports.iter_mut().filter(|port| port.is_any) {
        port.host = 0;
    }
    digest(&machine)
}

/// The same for a step.
pub fn step_shape(step: &StepPlan) -> String {
    digest(step)
}

fn digest(what: &impl std::fmt::Debug) -> String {
    let digest = Sha256::digest(format!("{what:?}").as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The view of a plan of which nothing has happened, for tests.
#[cfg(test)]
pub(crate) fn view_of(plan: &Plan) -> RunView {
    RunView::new(plan, SystemTime::now())
}

/// The view that changes, and who looks at it.
#[derive(Debug)]
pub(super) struct Lookout {
    view: RunView,
    start: SystemTime,
    is_changed: bool,
}

impl Lookout {
    pub(super) fn new(plan: &Plan) -> Self {
        let start = SystemTime::now();
        Self { view: RunView::new(plan, start), start, is_changed: true }
    }

    /// Takes an event of so long after the start.
    pub(super) fn note(&mut self, at: Duration, event: &Event) {
        self.is_changed |= self.view.on(self.start + at, event);
    }

    /// A round has this plan: what is anew, and what is no more, by place.
    pub(super) fn turn(&mut self, plan: &Plan, anew: &[bool], removed: &[bool]) {
        self.view.turn(SystemTime::now(), plan, anew, removed);
        self.is_changed = true;
    }

    /// The view, where it is another than the last one that was given.
    pub(super) fn news(&mut self, is_settled: bool) -> Option<Arc<RunView>> {
        self.is_changed |= self.view.is_settled != is_settled;
        self.view.is_settled = is_settled;
        std::mem::take(&mut self.is_changed).then(|| Arc::new(self.view.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::plans::{machine, plan, step};

    #[test]
    fn the_view_says_what_the_events_said() {
        let plan = plan(vec![step("a@one", &[])]);
        let mut lookout = Lookout::new(&plan);
        assert!(lookout.news(false).is_some(), "the first look shows the plan");
        assert!(lookout.news(false).is_none());
        let ready = Event::Machine {
            machine: "one".to_owned(),
            phase: MachinePhase::Ready,
            seconds: 1.0,
            engine: None,
            cause: None,
        };
        lookout.note(Duration::from_secs(2), &ready);
        let view = lookout.news(false).unwrap();
        assert!(view.machines[0].is_up() && !view.machines[0].is_down() && !view.is_settled);
        lookout
            .note(Duration::from_secs(3), &Event::Progress { machine: "one".to_owned(), text: "nothing".to_owned() });
        assert!(lookout.news(false).is_none());
        assert!(lookout.news(true).unwrap().is_settled);
    }

    #[test]
    fn the_last_warnings_are_kept_each_once() {
        let mut view = RunView::new(&plan(vec![step("a@one", &[])]), SystemTime::UNIX_EPOCH);
        for number in (0..20).chain([13]) {
            assert!(view.on(SystemTime::UNIX_EPOCH, &Event::Warning { text: number.to_string() }));
        }
        assert_eq!(view.warnings, ["12", "14", "15", "16", "17", "18", "19", "13"]);
    }

    #[test]
    fn a_service_that_ends_again_and_again_keeps_its_last_code() {
        let mut service = ServiceView { state: ServiceState::Running, health: None, restarts: 0 };
        for restarts in 1..=3 {
            service.enter(ServicePhase::Exited, Some(4));
            service.enter(ServicePhase::Restarting, None);
            assert_eq!((service.state, service.restarts), (ServiceState::Restarting { exit_code: Some(4) }, restarts));
            service.enter(ServicePhase::Started, None);
        }
        assert_eq!(service.state, ServiceState::Running);
    }

    #[test]
    fn a_machine_that_lives_anew_says_nothing_of_its_last_life() {
        let mut view = RunView::new(&plan(vec![step("a@one", &[])]), SystemTime::UNIX_EPOCH);
        let exited = ServiceState::Exited { exit_code: Some(3) };
        view.machines[0].service = Some(ServiceView { state: exited, health: None, restarts: 2 });
        let machine =
            |phase| Event::Machine { machine: "one".to_owned(), phase, seconds: 1.0, engine: None, cause: None };
        view.on(SystemTime::UNIX_EPOCH, &machine(MachinePhase::Stopped));
        let state = |view: &RunView| view.machines[0].service.as_ref().unwrap().state;
        assert_eq!(state(&view), exited);
        view.on(SystemTime::UNIX_EPOCH, &machine(MachinePhase::Prepared));
        assert_eq!(state(&view), ServiceState::Waiting);
    }

    #[test]
    fn another_machine_has_another_shape() {
        let one = machine("one");
        let larger = MachinePlan { memory_mib: 2048, ..machine("one") };
        assert_eq!(shape(&one), shape(&machine("one")));
        assert_ne!(shape(&one), shape(&larger));
        let web = |host, is_any| MachinePlan {
            ports: vec![PortPlan { address: std::net::Ipv4Addr::LOCALHOST.into(), host, is_any, guest: 80 }],
            ..machine("one")
        };
        assert_eq!(shape(&web(0, true)), shape(&web(40123, true)));
        assert_ne!(shape(&web(8080, false)), shape(&web(8081, false)));
    }
}
