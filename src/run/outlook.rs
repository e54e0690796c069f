//! What can still come of machines that wait for others: whether what they need has come, may come, or never will.
//!
//! Deliberately not here: what follows for steps (`schedule`), what a service does (`services`).

use super::dispatcher::Dispatcher;
use super::machine::MachineState;
use super::service::{CommandState, HealthState, Service};
use crate::plan::Condition;

/// Why something never comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// In words.
    pub(super) why: String,
    /// The machine that it lies with.
    pub(super) by: usize,
}

impl Dispatcher {
    /// How the service of a machine ended, in words, once it has for good.
    pub(super) fn service_end(&self, machine: usize) -> Option<String> {
        let name = &self.facts.plan.machines[machine].name;
        let service = self.service(machine)?;
        match (service.state(), service.end()) {
            (CommandState::Ended, Some(end)) => Some(match &end.cause {
                Some(cause) => format!("service `{name}` ended: {cause}"),
                None => format!("service `{name}` ended with exit code {}", end.exit_code),
            }),
            (CommandState::Stopped, _) => Some(format!("service `{name}` was stopped")),
            _ => None,
        }
    }

    /// For each machine why its steps can never run because of services and of what it waits for, if so.
    pub(super) fn hopeless(&self) -> Vec<Option<Lost>> {
        let count = self.machines.len();
        let mut known: Vec<Option<Lost>> = (0..count).map(|machine| self.lost_need(machine)).collect();
        // A machine that never boots keeps from booting what waits for it. As long as something changes: the chain of
        // dependencies is at most as long as there are machines.
        loop {
            let mut is_changed = false;
            for machine in 0..count {
                if known[machine].is_none() && self.machines[machine].state() == MachineState::Planned {
                    let awaited = self.services.awaited[machine].iter();
                    let why = awaited.clone().find_map(|(on, condition)| {
                        let never = (self.machines[*on].state() == MachineState::Planned).then(|| known[*on].clone());
                        let lost = self.never_comes(*on, *condition).map(|why| Lost { why, by: *on });
                        lost.or_else(|| never.flatten())
                    });
                    is_changed |= why.is_some();
                    known[machine] = why;
                }
            }
            if !is_changed {
                return known;
            }
        }
    }

    /// Why the steps of a machine lack a service that they need.
    fn lost_need(&self, machine: usize) -> Option<Lost> {
        self.services.needed[machine].iter().find_map(|needed| {
            let death = self.machines[*needed].death().filter(|_| *needed != machine);
            let name = &self.facts.plan.machines[*needed].name;
            let why = death.map(|_| format!("machine `{name}` failed")).or_else(|| self.service_end(*needed))?;
            Some(Lost { why, by: *needed })
        })
    }

    /// Why a machine will not be as far as is waited for, if so.
    fn never_comes(&self, machine: usize, condition: Condition) -> Option<String> {
        let name = &self.facts.plan.machines[machine].name;
        if self.machines[machine].death().is_some() {
            return Some(format!("machine `{name}` failed"));
        }
        let own: Vec<usize> = self.steps_to_complete(machine);
        match condition {
            Condition::Completed if !own.is_empty() => {
                let bad = own.into_iter().find(|step| self.steps[*step].is_done() && !self.is_good(*step))?;
                Some(format!("step `{}` did not pass", self.facts.plan.steps[bad].id))
            }
            Condition::Completed => self.service_end(machine).filter(|_| !self.is_completed(machine)),
            Condition::Started => self.service_end(machine),
            Condition::Healthy => self.service_end(machine).or_else(|| {
                let service = self.service(machine)?;
                let complaint = service.complaint();
                let why = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
                (service.health() == Some(HealthState::Unhealthy))
                    .then(|| format!("service `{name}` is unhealthy{why}"))
            }),
        }
    }

    /// The steps that are all over when a machine is `completed`.
    pub(super) fn steps_to_complete(&self, machine: usize) -> Vec<usize> {
        let is_meant = |step: &usize| self.machine_of[*step] == machine && !self.facts.plan.steps[*step].is_finally;
        (0..self.steps.len()).filter(is_meant).collect()
    }

    fn is_completed(&self, machine: usize) -> bool {
        let own = self.steps_to_complete(machine);
        if own.is_empty() {
            let end = self.service(machine).and_then(Service::end);
            return end.is_some_and(|end| end.exit_code == 0);
        }
        own.into_iter().all(|step| self.is_good(step))
    }

    pub(super) fn has_come(&self, machine: usize, condition: Condition) -> bool {
        match condition {
            Condition::Started => self.service(machine).is_some_and(|one| one.state() == CommandState::Running),
            Condition::Healthy => self.service(machine).is_some_and(Service::is_healthy),
            Condition::Completed => self.is_completed(machine),
        }
    }

    /// Why a machine that has not booted never does, if so.
    pub(super) fn never_boots(&self, machine: usize) -> Option<Lost> {
        let is_planned = self.machines[machine].state() == MachineState::Planned;
        if is_planned { self.hopeless().swap_remove(machine) } else { None }
    }
}
