//! Which steps a command line asks for, and what they bring along. Deliberately not here: machines and order.

use std::collections::{BTreeMap, HashSet};

use crate::config::Project;
use crate::config::model::{MachineNames, Needs, Step, StepNames};

/// Names of steps or machines that a command line gives; none means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of steps or names of machines (all steps of the machine, and its command).
    pub names: Vec<String>,
    /// Whether machines are brought up for their own sake, also those with nothing to run.
    pub is_held: bool,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// The same, and machines for their own sake.
    #[must_use]
    pub fn held(self) -> Self {
        Self { is_held: true, ..self }
    }

    /// These steps or machines, and what they need.
    pub fn of<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), is_held: false }
    }
}

/// Why a selection cannot be planned; the exit code is 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No step and no machine has this name.
    #[error("no step and no machine is named `{name}`{}", .nearest.as_ref().map_or_else(String::new, |near| format!(", did you mean `{near}`?")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The machine exists, but nothing runs on it.
    #[error("machine `{machine}` has neither steps nor a command, so selecting it runs nothing")]
    NoSteps {
        /// The machine.
        machine: String,
    },
}

/// Why a step is in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nothing was selected, so everything is.
    Everything,
    /// It was named, or its machine was.
    Selected,
    /// The step with this id needs it.
    NeededBy(String),
    /// The machine of this name waits until all steps of the step's machine have passed.
    AwaitedBy(String),
}

/// For each step, the numbers of those that it waits for: the explicit ones, or those above. An id that a step has in
/// several machines of a matrix means all of them.
pub(super) fn needs(project: &Project) -> Vec<Vec<usize>> {
    let names = StepNames::new(&project.steps);
    let of = |(index, step): (usize, &Step)| match &step.needs {
        Needs::Above => names.above(index).collect(),
        Needs::Explicit(ids) => {
            let mut met = HashSet::new();
            let needed = ids.iter().filter_map(|id| names.find(&id.value)).flatten();
            needed.filter(|needed| met.insert(*needed)).collect()
        }
    };
    project.steps.iter().enumerate().map(of).collect()
}

/// The steps that a selection asks for, by index in file order, each with the reason.
pub(super) fn choose(project: &Project, needs: &[Vec<usize>], selection: &Selection) -> BTreeMap<usize, Reason> {
    let everything = || (0..project.steps.len()).map(|index| (index, Reason::Everything)).collect();
    if selection.names.is_empty() {
        return everything();
    }
    let mut chosen = BTreeMap::new();
    for (index, step) in project.steps.iter().enumerate() {
        if selection.means(project, step) {
            chosen.insert(index, Reason::Selected);
        }
    }
    let open = chosen.keys().copied().collect();
    bring_needs(project, needs, &mut chosen, open);
    chosen
}

/// Adds what the steps in `open` need, and what that needs in turn.
pub(super) fn bring_needs(
    project: &Project,
    needs: &[Vec<usize>],
    chosen: &mut BTreeMap<usize, Reason>,
    mut open: Vec<usize>,
) {
    while let Some(index) = open.pop() {
        for needed in &needs[index] {
            if !chosen.contains_key(needed) {
                chosen.insert(*needed, Reason::NeededBy(project.steps[index].id.value.clone()));
                open.push(*needed);
            }
        }
    }
}

impl Selection {
    /// Whether it asks for a step: by its id, or by its machine's name. Nothing named is everything.
    pub(super) fn means(&self, project: &Project, step: &Step) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| is_named(project, step, name))
    }
}

/// Whether a name means a step, an entry of `finally` too.
fn is_named(project: &Project, step: &Step, name: &str) -> bool {
    let of_machine =
        || project.machines.iter().filter(|machine| machine.name.value == name || machine.declared_name() == name);
    step.id.value == name
        || step.declared_id() == name
        || of_machine().any(|machine| machine.name.value == step.machine.value)
}

/// Whether each name means something. An entry of `finally` brings no step: all of `finally` runs anyway.
///
/// # Errors
/// The first name that does not.
pub(super) fn check(project: &Project, selection: &Selection) -> Result<(), SelectionError> {
    let machines = MachineNames::new(&project.machines);
    for name in &selection.names {
        if project.steps.iter().chain(&project.finally).any(|step| is_named(project, step, name)) {
            continue;
        }
        if let Some(found) = machines.find(name) {
            if selection.is_held || project.machines[found].iter().any(|machine| machine.service.command.is_some()) {
                continue;
            }
            return Err(SelectionError::NoSteps { machine: name.clone() });
        }
        return Err(SelectionError::Unknown { name: name.clone(), nearest: nearest(project, name) });
    }
    Ok(())
}

/// The name that a person probably meant: at most a third of it is different.
fn nearest(project: &Project, name: &str) -> Option<String> {
    let steps = project.steps.iter().chain(&project.finally);
    let steps = steps.flat_map(|step| [step.declared_id(), step.id.value.as_str()]);
    let machines = project.machines.iter();
    let machines = machines.flat_map(|machine| [machine.declared_name(), machine.name.value.as_str()]);
    steps
        .chain(machines)
        .map(|known| (strsim::osa_distance(known, name), known))
        .filter(|(distance, known)| *distance <= (known.chars().count().max(name.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}
