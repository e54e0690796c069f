//! What a plan holds: the steps that are asked for, services, and what machines wait for and reach.
//!
//! - Nothing named means every step and every service, but for those whose profiles are not asked for.
//! - A machine brings those that it depends on and is linked to; one that is to be `completed` comes with all its steps.
//!
//! Deliberately not here: which steps a name means (`selection`), order (`build`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::selection::{self, Reason, Selection};
use crate::config::Project;
use crate::config::model::{Condition, Machine, MachineNames, machines_left_out};

/// Why a machine is in the plan though no step of it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is a service, and nothing was selected.
    Service,
    /// It is to stay up, whatever runs in it.
    Held,
    /// It was named.
    Selected,
    /// The machine of this name depends on it.
    Awaited(String),
    /// The machine of this name is linked to it.
    Linked(String),
}

/// Steps by index in file order, and machines that are there for another reason than a step, by name.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) steps: BTreeMap<usize, Reason>,
    pub(super) machines: BTreeMap<String, Presence>,
}

/// Chooses all that a selection asks for and brings along.
pub(super) fn choose(project: &Project, needs: &[Vec<usize>], selection: &Selection) -> Members {
    let mut members = Members { steps: selection::choose(project, needs, selection), machines: BTreeMap::new() };
    let names = MachineNames::new(&project.machines);
    let left_out = machines_left_out(project, &selection.names);
    for (machine, is_out) in project.machines.iter().zip(left_out) {
        let is_named =
            selection.names.iter().any(|name| *name == machine.name.value || *name == machine.declared_name());
        let presence = match (&machine.service.command, selection.names.is_empty()) {
            (Some(_), true) if !is_out => Presence::Service,
            (Some(_), false) if is_named => Presence::Selected,
            (None, true) if !is_out && selection.is_held => Presence::Held,
            (None, false) if is_named && selection.is_held => Presence::Held,
            _ => continue,
        };
        members.machines.insert(machine.name.value.clone(), presence);
    }
    let mut open: Vec<&Machine> = project.machines.iter().filter(|one| members.has(project, one)).collect();
    while let Some(machine) = open.pop() {
        let of = |name: &str| names.find(name).map_or(&[][..], |found| &project.machines[found]);
        let known: Vec<bool> = project.machines.iter().map(|one| members.has(project, one)).collect();
        for dependency in &machine.depends_on {
            for other in of(&dependency.machine.value) {
                members.bring(other, Presence::Awaited(machine.name.value.clone()));
                if dependency.condition_of(&other.service) == Condition::Completed {
                    members.complete(project, needs, (machine, other));
                }
            }
        }
        for link in &machine.network.links {
            for other in of(&link.machine.value) {
                members.bring(other, Presence::Linked(machine.name.value.clone()));
            }
        }
        let is_new = |(one, known): &(&Machine, bool)| !known && members.has(project, one);
        open.extend(project.machines.iter().zip(known).filter(is_new).map(|(one, _)| one));
    }
    members
}

impl Members {
    /// Whether a machine is in, for a step or for itself.
    fn has(&self, project: &Project, machine: &Machine) -> bool {
        let of_step = |index: &usize| project.steps[*index].machine.value == machine.name.value;
        self.machines.contains_key(&machine.name.value) || self.steps.keys().any(of_step)
    }

    fn bring(&mut self, machine: &Machine, presence: Presence) {
        // Without a command and without steps there is nothing that could be up.
        if machine.service.command.is_some() {
            self.machines.entry(machine.name.value.clone()).or_insert(presence);
        }
    }

    /// All steps of a machine that another waits for, and what they need.
    fn complete(&mut self, project: &Project, needs: &[Vec<usize>], (waiting, machine): (&Machine, &Machine)) {
        let own = project.steps.iter().enumerate().filter(|(_, step)| step.machine.value == machine.name.value);
        let mut open = Vec::new();
        for (index, _) in own {
            if let Entry::Vacant(place) = self.steps.entry(index) {
                place.insert(Reason::AwaitedBy(waiting.name.value.clone()));
                open.push(index);
            }
        }
        selection::bring_needs(project, needs, &mut self.steps, open);
    }
}
