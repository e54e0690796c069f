//! What was asked of a run from outside and has not come yet: when it has, or cannot any more, it is answered.
//!
//! A machine has come up when it is ready and its command was started; where that is asked for, when its service is healthy.
//! Deliberately not here: what is done about it (`held`).

use super::dispatcher::Dispatcher;
use super::handle::CommandError;
use super::input::Action;
use super::machine::MachineState;
use super::service::{CommandState, HealthState, Service};

/// A command that has not come yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) machines: Vec<usize>,
    pub(super) goal: Goal,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Up,
    /// The same, and services are healthy.
    Healthy,
    Down,
    /// Down first, then up.
    Again,
    /// The end of the run.
    End,
}

/// What came of the start of a machine's command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tried {
    No,
    Started,
    /// It could not be started, for this reason.
    Failed(String),
}

impl Dispatcher {
    /// Answers what has come, or cannot any more; tells whether a machine is to live anew.
    pub(super) fn answer_commands(&mut self) -> bool {
        self.note_settled();
        let mut is_anew = false;
        for mut asked in std::mem::take(&mut self.held.asked) {
            let is_down = |machine: &usize| self.machines[*machine].is_at_rest();
            if asked.goal == Goal::Again && asked.machines.iter().all(is_down) {
                asked.goal = Goal::Up;
                is_anew = true;
                if let Err(error) = self.begin_lives(&asked.machines) {
                    self.actions.push(Action::Answer(asked.id, Err(error)));
                    continue;
                }
            }
            if matches!(asked.goal, Goal::Up | Goal::Healthy) {
                is_anew |= self.go_on_up(&mut asked);
            }
            match self.answer(&asked) {
                Some(answer) => self.actions.push(Action::Answer(asked.id, answer)),
                None => self.held.asked.push(asked),
            }
        }
        is_anew
    }

    /// Notes what came of the start of a command; `was` is where it was before.
    pub(super) fn note_tried(&mut self, machine: usize, was: CommandState) {
        let state = self.service(machine).map(Service::state);
        if was != CommandState::Starting || state == Some(CommandState::Starting) {
            return;
        }
        let has_failed = self.service(machine).is_some_and(Service::could_not_start);
        let why = self.service_end(machine).filter(|_| has_failed);
        self.held.tried[machine] = why.map_or(Tried::Started, Tried::Failed);
    }

    /// Forgets machines that have come up: a command that ends at once may take its machine along before the others are
    /// there. One that was still going down when it was asked for lives anew; tells whether one does.
    fn go_on_up(&mut self, asked: &mut Asked) -> bool {
        let goal = asked.goal;
        asked.machines.retain(|machine| !self.has_come_up(*machine, goal));
        let mut is_anew = false;
        for machine in asked.machines.clone() {
            let is_gone = self.machines[machine].state() == MachineState::Gone;
            let is_tried = self.held.tried[machine] != Tried::No;
            if is_gone
                && !is_tried
                && self.machines[machine].death().is_none()
                && !self.is_told_down(machine)
                && !self.is_ending()
            {
                // One that cannot is told by the next answer.
                is_anew |= self.begin_life(machine).is_ok();
            }
        }
        is_anew
    }

    fn has_come_up(&self, machine: usize, goal: Goal) -> bool {
        let is_ready = self.machines[machine].state() == MachineState::Ready;
        if goal == Goal::Healthy {
            return is_ready && self.service(machine).is_none_or(Service::is_healthy);
        }
        (is_ready && self.is_service_settled(machine) && !self.has_failed_to_start(machine))
            || self.held.tried[machine] == Tried::Started
    }

    fn has_failed_to_start(&self, machine: usize) -> bool {
        matches!(self.held.tried[machine], Tried::Failed(_))
    }

    fn answer(&self, asked: &Asked) -> Option<Result<(), CommandError>> {
        match asked.goal {
            Goal::End => self.is_finished.then_some(Ok(())),
            Goal::Down => {
                let is_down = |machine: &usize| self.machines[*machine].is_at_rest();
                asked.machines.iter().all(is_down).then_some(Ok(()))
            }
            Goal::Again | Goal::Up | Goal::Healthy if self.is_ending() => {
                Some(Err(CommandError::Refused("the run is ending".to_owned())))
            }
            Goal::Again => None,
            Goal::Up | Goal::Healthy => {
                let error = asked.machines.iter().find_map(|machine| self.never_up(*machine, asked.goal));
                error.map(Err).or_else(|| asked.machines.is_empty().then_some(Ok(())))
            }
        }
    }

    /// Why a machine will not be as far as was asked for, if so.
    fn never_up(&self, machine: usize, goal: Goal) -> Option<CommandError> {
        let name = self.facts.plan.machines[machine].name.clone();
        if let Some(death) = self.machines[machine].death() {
            return Some(CommandError::Failed { machine: name, cause: death.cause.clone() });
        }
        if self.is_told_down(machine) {
            return Some(CommandError::Refused(format!("machine `{name}` was told to go down meanwhile")));
        }
        if let Tried::Failed(cause) = &self.held.tried[machine] {
            return Some(CommandError::Failed { machine: name, cause: cause.clone() });
        }
        let never = self.never_boots(machine).map(|lost| lost.why);
        let cause = never.or_else(|| if goal == Goal::Healthy { self.never_healthy(machine) } else { None })?;
        Some(CommandError::Failed { machine: name, cause })
    }

    /// Why the service of a machine will not be healthy, if so.
    fn never_healthy(&self, machine: usize) -> Option<String> {
        let service = self.service(machine)?;
        if self.held.tried[machine] == Tried::Started
            && let Some(end) = self.service_end(machine)
        {
            return Some(end);
        }
        let is_unhealthy = service.health() == Some(HealthState::Unhealthy);
        is_unhealthy.then(|| format!("its service is unhealthy: {}", service.complaint()))
    }
}
