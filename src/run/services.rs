//! Services in a run: when they are started and stopped, what waits for them, and what their end means for steps.
//!
//! - A machine boots when every machine that it depends on is as far as it needs it.
//! - Steps of a machine need its own service, those that it depends on (`started` or `healthy`) or is linked to, and
//!   what these need in turn. One of them that ends for good, or is lost with its machine, fails them.
//! - Services stay up until every step is over; without any step until the run is told to end. Who uses a service
//!   goes down before it.
//!
//! Deliberately not here: the life of one service (`service`), and of its machine (`machine`).

use super::chunk::Utf8Chunks;
use super::dispatcher::Dispatcher;
use super::handle::CommandError;
use super::input::{Action, CancelReason, MachineInput, ServiceAction, StepInput, Timer};
use super::limits::{GRACE, TimeLimits};
use super::machine::MachineState;
use super::service::{CommandState, HealthState, News, Service, ServiceEffect, ServiceFacts, ServiceInput};
use crate::event::{Awaited, Event, OutputOf, ServicePhase, Stream};
use crate::plan::{Condition, MachinePlan, Plan, render_size};

/// All services of a run, and who waits for whom; machines by place.
#[derive(Debug)]
pub(super) struct Services {
    of: Vec<Option<Service>>,
    chunks: Vec<[Utf8Chunks; 2]>,
    /// What each machine waits for before it boots.
    pub(super) awaited: Vec<Vec<(usize, Condition)>>,
    /// The services that steps of a machine need, its own first.
    pub(super) needed: Vec<Vec<usize>>,
    /// Machines that use the service of a machine: they depend on it, or are linked to it.
    users: Vec<Vec<usize>>,
    /// What was told of each machine that waits.
    told: Vec<Vec<Awaited>>,
}

impl Services {
    pub(super) fn new(plan: &Plan, limits: TimeLimits) -> Self {
        let place = |name: &str| plan.machines.iter().position(|machine| machine.name == name);
        let awaited_by = |machine: &MachinePlan| {
            let of = |on: &crate::plan::DependencyPlan| Some((place(&on.machine)?, on.condition));
            machine.depends_on.iter().filter_map(of).collect::<Vec<_>>()
        };
        let awaited: Vec<_> = plan.machines.iter().map(awaited_by).collect();
        let used_by = |(index, machine): (usize, &MachinePlan)| {
            let kept = awaited[index].iter().filter(|(_, condition)| *condition != Condition::Completed);
            let linked = machine.links.iter().filter_map(|link| place(&link.machine));
            kept.map(|(on, _)| *on).chain(linked).collect::<Vec<usize>>()
        };
        let used: Vec<_> = plan.machines.iter().enumerate().map(used_by).collect();
        let users = |service| {
            let uses = |user: &usize| *user != service && used[*user].contains(&service);
            (0..used.len()).filter(uses).collect()
        };
        Self {
            of: plan.machines.iter().map(|machine| service(machine, limits)).collect(),
            chunks: plan.machines.iter().map(|_| Default::default()).collect(),
            needed: (0..used.len()).map(|machine| closure(machine, &used)).collect(),
            users: (0..used.len()).map(users).collect(),
            told: vec![Vec::new(); used.len()],
            awaited,
        }
    }
}

impl Services {
    /// The service of a machine goes on as it is.
    pub(super) fn keep(&mut self, machine: usize, earlier: &mut Self) {
        // One that is new has nothing to keep.
        let Some(of) = earlier.of.get_mut(machine) else { return };
        self.of[machine] = of.take();
        self.chunks[machine] = std::mem::take(&mut earlier.chunks[machine]);
        self.told[machine] = std::mem::take(&mut earlier.told[machine]);
    }

    /// The machine of a service lives anew.
    pub(super) fn renew(&mut self, machine: usize) {
        if let Some(service) = &mut self.of[machine] {
            service.renew();
        }
    }
}

fn service(machine: &MachinePlan, limits: TimeLimits) -> Option<Service> {
    let plan = machine.service.as_ref()?;
    let facts = ServiceFacts {
        restart: plan.restart,
        health: plan.health.clone(),
        grace: machine.stop_grace.unwrap_or(GRACE),
        memory: render_size(machine.memory_mib),
    };
    Some(Service::new(facts, limits))
}

/// A machine and all that it uses, and what that uses.
fn closure(machine: usize, used: &[Vec<usize>]) -> Vec<usize> {
    let mut all = vec![machine];
    let mut next = 0;
    while let Some(known) = all.get(next).copied() {
        for other in &used[known] {
            if !all.contains(other) {
                all.push(*other);
            }
        }
        next += 1;
    }
    all
}

impl Dispatcher {
    /// The service of a machine, where it has one.
    pub(super) fn service(&self, machine: usize) -> Option<&Service> {
        self.services.of[machine].as_ref()
    }

    /// Takes what happened to a service, or what is asked of it.
    pub(super) fn service_input(&mut self, machine: usize, input: ServiceInput) {
        let Some(service) = &mut self.services.of[machine] else { return };
        let was_over = service.is_over();
        let was = service.state();
        let output = match &input {
            ServiceInput::Output(_, stream, bytes) if service.is_active() => Some((*stream, bytes.clone())),
            _ => None,
        };
        let effects = service.on(self.now, input);
        if let Some((stream, bytes)) = output {
            self.service_output(machine, stream, bytes);
        }
        for effect in effects {
            self.service_effect(machine, effect);
        }
        self.note_tried(machine, was);
        let is_over = self.service(machine).is_some_and(Service::is_over);
        if is_over && !was_over {
            self.lose_service(machine);
        }
    }

    fn service_effect(&mut self, machine: usize, effect: ServiceEffect) {
        let action = match effect {
            ServiceEffect::Exec(start) => ServiceAction::Exec(start),
            ServiceEffect::Signal(start) => ServiceAction::AskToEnd(start),
            ServiceEffect::Kill(start) => ServiceAction::Kill(start),
            ServiceEffect::Test(test) => ServiceAction::Test(test),
            ServiceEffect::KillTest(test) => ServiceAction::KillTest(test),
            ServiceEffect::Arm(timer, after) => {
                return self.actions.push(Action::Arm(Timer::Service(machine, self.life(machine), timer), after));
            }
            ServiceEffect::Tell(news) => return self.tell_service(machine, news),
            ServiceEffect::KillMachine(cause) => return self.machine_input(machine, MachineInput::Fail(cause)),
            ServiceEffect::Warn(text) => {
                let text = format!("service `{}`: {text}", self.facts.plan.machines[machine].name);
                return self.emit(Event::Warning { text });
            }
        };
        self.actions.push(Action::Service(machine, action));
    }

    fn tell_service(&mut self, machine: usize, news: News) {
        if matches!(news.phase, ServicePhase::Exited | ServicePhase::Stopped) {
            for (slot, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
                if let Some(bytes) = self.services.chunks[machine][slot].finish() {
                    self.emit_service_output(machine, stream, bytes);
                }
            }
        }
        let event = Event::Service {
            machine: self.facts.plan.machines[machine].name.clone(),
            phase: news.phase,
            seconds: news.since.as_secs_f64(),
            attempt: news.attempt,
            of: news.of,
            exit_code: news.exit_code,
            delay: news.delay.map(|delay| delay.as_secs_f64()),
            test: news.test,
            cause: news.cause,
        };
        self.emit(event);
    }

    fn service_output(&mut self, machine: usize, stream: Stream, bytes: Vec<u8>) {
        let slot = usize::from(stream == Stream::Stderr);
        if let Some(bytes) = self.services.chunks[machine][slot].push(bytes) {
            self.emit_service_output(machine, stream, bytes);
        }
    }

    fn emit_service_output(&mut self, machine: usize, stream: Stream, bytes: Vec<u8>) {
        let of = OutputOf::Machine(self.facts.plan.machines[machine].name.clone());
        self.emit(Event::Output { of, stream, bytes });
    }

    /// Sends a signal to the commands of these machines; without names to all that run.
    pub(super) fn signal_services(&mut self, names: &[String], signal: i32) -> Result<(), CommandError> {
        let machines = self.named(names)?;
        let silent = machines.iter().find_map(|machine| self.why_deaf(*machine));
        if let Some(why) = silent.filter(|_| !names.is_empty()) {
            return Err(CommandError::Refused(why));
        }
        let heard: Vec<usize> = machines.into_iter().filter(|machine| self.why_deaf(*machine).is_none()).collect();
        if heard.is_empty() {
            return Err(CommandError::Refused("no machine has a command that runs".to_owned()));
        }
        for machine in heard {
            self.signal_service(machine, signal);
        }
        Ok(())
    }

    /// Why no signal reaches the command of a machine.
    fn why_deaf(&self, machine: usize) -> Option<String> {
        let name = &self.facts.plan.machines[machine].name;
        let Some(service) = self.service(machine) else {
            return Some(format!("machine `{name}` has no command to send the signal to"));
        };
        if self.machines[machine].state() != MachineState::Ready {
            return Some(format!("machine `{name}` is not up"));
        }
        (!service.is_active()).then(|| format!("the command of machine `{name}` does not run"))
    }

    /// Sends a signal to the command of a service, if it runs.
    fn signal_service(&mut self, machine: usize, signal: i32) {
        if let Some(service) = self.service(machine).filter(|service| service.is_active()) {
            let action = ServiceAction::Signal(service.start(), signal);
            self.actions.push(Action::Service(machine, action));
        }
    }

    /// A machine lives anew: its service is to be started when it is up.
    pub(super) fn renew_service(&mut self, machine: usize) {
        self.services.renew(machine);
    }

    /// Has a machine that is up go down in order: its service first, in the time that somebody has given it, or that the
    /// file says. To be called until the machine is gone; what has been asked for is not asked for again.
    pub(super) fn wind_down(&mut self, machine: usize) {
        let grace = self.asked_grace(machine);
        self.service_input(machine, ServiceInput::Stop(grace));
        if let Some(grace) = grace {
            self.machines[machine].give_grace(grace);
        }
        if !self.service(machine).is_some_and(Service::is_active) {
            self.machine_input(machine, MachineInput::Stop);
        }
    }

    /// Fails the steps that run and need a service which is over.
    fn lose_service(&mut self, machine: usize) {
        let Some(cause) = self.service_end(machine) else { return };
        self.lose_users(machine, &cause);
    }

    /// Fails the steps that run and need what has been in a machine. What waits is passed over by the schedule.
    pub(super) fn lose_users(&mut self, machine: usize, cause: &str) {
        for step in 0..self.steps.len() {
            let is_meant = self.services.needed[self.machine_of[step]].contains(&machine)
                && self.steps[step].is_active()
                && !self.facts.plan.steps[step].is_finally;
            if is_meant {
                self.step_input(step, StepInput::Cancel(CancelReason::Lost(cause.to_owned())));
            }
        }
    }

    /// What a machine still waits for before it boots.
    fn still_awaited(&self, machine: usize) -> Vec<Awaited> {
        let awaited = self.services.awaited[machine].iter().filter(|(on, condition)| !self.has_come(*on, *condition));
        let named = |(on, condition): &(usize, Condition)| Awaited {
            machine: self.facts.plan.machines[*on].name.clone(),
            condition: *condition,
        };
        awaited.map(named).collect()
    }

    /// Whether a machine may boot, as far as others go; tells what it waits for where that has changed.
    pub(super) fn is_let_boot(&mut self, machine: usize) -> bool {
        let awaited = self.still_awaited(machine);
        let may_boot = awaited.is_empty();
        if self.services.told[machine] != awaited {
            let name = self.facts.plan.machines[machine].name.clone();
            self.services.told[machine].clone_from(&awaited);
            self.emit(Event::Waiting { machine: name, on: awaited });
        }
        may_boot
    }

    /// Whether the service of a machine, if it has one, lets steps run beside it.
    pub(super) fn has_service_up(&self, machine: usize) -> bool {
        self.service(machine).is_none_or(|service| service.state() == CommandState::Running)
    }

    /// Whether a machine is to be up for its service. Before it boots: whether it is to boot for it.
    pub(super) fn is_service_wanted(&self, machine: usize) -> bool {
        let Some(service) = self.service(machine) else { return false };
        let users = || self.services.users[machine].iter().copied().filter(|user| !self.machines[*user].is_at_rest());
        if service.is_over() {
            return false;
        }
        if self.is_told_down(machine) {
            return service.is_active() && users().any(|user| self.is_told_down(user));
        }
        let is_run_on = self.steps.iter().any(|step| !step.is_done());
        is_run_on || self.is_told_when_to_end() || users().next().is_some()
    }

    /// Whether the run, which has no steps but those of `finally`, goes on until it is told to end.
    fn is_told_when_to_end(&self) -> bool {
        let is_alone = self.facts.plan.steps.iter().all(|step| step.is_finally);
        is_alone && !self.is_told_to_end() && !self.is_given_up() && !self.is_incomplete()
    }

    /// Whether `finally` waits until the run is told to end, because services are all that there is.
    pub(super) fn is_serving(&self) -> bool {
        let is_there = |machine: usize| {
            let is_over = self.service(machine).is_none_or(Service::is_over);
            !is_over && self.machines[machine].death().is_none() && self.never_boots(machine).is_none()
        };
        self.is_told_when_to_end() && (0..self.machines.len()).any(is_there)
    }

    /// Whether some machine is to be up for its service.
    pub(super) fn is_any_service_wanted(&self) -> bool {
        (0..self.machines.len()).any(|machine| self.is_service_wanted(machine))
    }

    /// Whether a machine has nothing more to do: its command has ended for good, and no step runs in it.
    pub(super) fn is_spent(&self, machine: usize) -> bool {
        self.service(machine).is_some_and(Service::is_over) && !self.has_had_steps(machine)
    }

    /// Whether the service of a machine that is up has been started, or never will be.
    pub(super) fn is_service_settled(&self, machine: usize) -> bool {
        let state = self.service(machine).map(Service::state);
        !matches!(state, Some(CommandState::Waiting | CommandState::Starting))
    }

    /// Whether something will come of a service by itself: a start, an end, or what its health check says.
    pub(super) fn is_service_moving(&self, machine: usize) -> bool {
        let Some(service) = self.service(machine) else { return false };
        let is_awaited = |condition| {
            let mut all = self.services.awaited.iter().enumerate();
            let is_one = |on: &(usize, Condition)| *on == (machine, condition);
            all.any(|(user, on)| self.machines[user].state() == MachineState::Planned && on.iter().any(is_one))
        };
        match service.state() {
            CommandState::Starting | CommandState::Resting | CommandState::Stopping => true,
            CommandState::Running => {
                let is_undecided = service.health() == Some(HealthState::Starting);
                (is_undecided && is_awaited(Condition::Healthy))
                    || (is_awaited(Condition::Completed) && self.steps_to_complete(machine).is_empty())
            }
            CommandState::Waiting | CommandState::Ended | CommandState::Stopped => false,
        }
    }
}
