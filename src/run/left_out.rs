//! Machines that were to be up and do not come: told as soon as it is known, each once in a life of it.
//!
//! A machine in which steps alone were to run is told of by its steps. Deliberately not here: why a machine never comes
//! (`outlook`), and what follows for steps (`schedule`).

use super::dispatcher::Dispatcher;
use super::machine::MachineState;
use super::options::Hold;
use super::outlook::Lost;
use crate::event::Event;

impl Dispatcher {
    /// Tells of machines that never come because of others.
    pub(super) fn tell_lost_machines(&mut self) {
        if self.was_settled() {
            return;
        }
        for (machine, lost) in self.hopeless().into_iter().enumerate() {
            let is_planned = self.machines[machine].state() == MachineState::Planned;
            if let Some(Lost { why, by }) = lost.filter(|_| is_planned) {
                self.tell_not_started(machine, why, Some(by));
            } else if !is_planned {
                self.told_lost[machine] = false;
            }
        }
    }

    /// Tells of the others: the run ends before they are there.
    pub(super) fn tell_machines_left_out(&mut self) {
        if self.was_settled() {
            return;
        }
        let why = match (self.ended_by(), &self.halted_by) {
            (Some(signal), _) => format!("interrupted by {}", signal.name()),
            (None, Some(culprit)) => format!("{culprit} failed"),
            (None, None) if self.is_given_up() => self.summary().cause.unwrap_or_default(),
            (None, None) => return,
        };
        for machine in 0..self.machines.len() {
            let is_there = !self.machines[machine].is_at_rest() || self.machines[machine].was_ready();
            if !is_there && self.machines[machine].death().is_none() {
                self.tell_not_started(machine, why.clone(), None);
            }
        }
    }

    /// Whether a machine was told not to come, so that a run of services alone will never be whole.
    pub(super) fn is_incomplete(&self) -> bool {
        self.facts.options.hold == Hold::No && !self.facts.options.keep_going && self.told_lost.contains(&true)
    }

    fn tell_not_started(&mut self, machine: usize, cause: String, by: Option<usize>) {
        let plan = &self.facts.plan;
        let name = |machine: usize| plan.machines[machine].name.clone();
        let has_steps = plan.steps.iter().any(|step| step.machine == plan.machines[machine].name);
        let is_held = matches!(self.facts.options.hold, Hold::AfterSuccess | Hold::AfterAll) && !has_steps;
        let is_meant = self.service(machine).is_some() || is_held;
        if !is_meant || !self.is_concerned(machine) || self.is_told_down(machine) || self.told_lost[machine] {
            return;
        }
        let event = Event::NotStarted { machine: name(machine), cause, by: by.map(name) };
        self.told_lost[machine] = true;
        self.emit(event);
    }
}
