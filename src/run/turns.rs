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

    /// Whether it is gone, or will not come.
    fn is_through(&self, machine: usize) -> bool {
        match self.machines[machine].state() {
            MachineState::Gone => true,
            MachineState::Planned => !self.has_open_steps(machine),
            _ => false,
        }
    }

    fn has_open_steps(&self, machine: usize) -> bool {
        (0..self.steps.len()).any(|step| self.machine_of[step] == machine && !self.steps[step].is_done())
    }
}
