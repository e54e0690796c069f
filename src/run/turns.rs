//! Whose turn it is: machines that share a volume are up one after another, as the plan says.

use super::dispatcher::Dispatcher;
use super::machine::MachineState;

impl Dispatcher {
    /// Whether all machines before whose end it must not boot are through.
    pub(super) fn has_turn(&self, machine: usize) -> bool {
        let plan = &self.facts.plan;
        plan.machines[machine].after.iter().all(|name| {
            let other = plan.machines.iter().position(|other| other.name == *name);
            other.is_none_or(|other| self.is_through(other))
        })
    }

    /// Whether a machine goes when nothing needs it, however long others are held: one that shares a volume with it comes
    /// after it, or came.
    pub(super) fn gives_way(&self, machine: usize) -> bool {
        let plan = &self.facts.plan;
        let name = &plan.machines[machine].name;
        let comes = |other: usize| {
            let state = self.machines[other].state();
            plan.machines[other].after.contains(name) && (state != MachineState::Planned || self.has_open_steps(other))
        };
        (0..self.machines.len()).any(comes)
    }

    /// Whether it is gone, or will not come.
    fn is_through(&self, machine: usize) -> bool {
        match self.machines[machine].state() {
            MachineState::Gone => true,
            MachineState::Planned => {
                let is_to_serve = self.is_service_wanted(machine) && self.never_boots(machine).is_none();
                !self.has_open_steps(machine) && !is_to_serve
            }
            _ => false,
        }
    }

    fn has_open_steps(&self, machine: usize) -> bool {
        (0..self.steps.len()).any(|step| self.machine_of[step] == machine && !self.steps[step].is_done())
    }
}
