//! Which steps a command line asks for, and what they bring along. Deliberately not here: machines and order.

use std::collections::BTreeMap;

use crate::config::Project;
use crate::config::model::Needs;

/// Names of steps or machines that a command line gives; none means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Ids of steps or names of machines (all steps of the machine).
    pub names: Vec<String>,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// These steps or machines, and what they need.
    pub fn of<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
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
    #[error("machine `{machine}` has no steps, so selecting it runs nothing")]
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
}

/// For each step, the ids that it waits for: the explicit ones, or the step above.
pub(super) fn needs(project: &Project) -> Vec<Vec<String>> {
    let above = |index: usize| index.checked_sub(1).map(|above| project.steps[above].id.value.clone());
    project
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| match &step.needs {
            Needs::Above => above(index).into_iter().collect(),
            Needs::Explicit(ids) => {
                let mut unique: Vec<String> = Vec::new();
                for id in ids {
                    if !unique.contains(&id.value) {
                        unique.push(id.value.clone());
                    }
                }
                unique
            }
        })
        .collect()
}

/// The steps that a selection asks for, by index in file order, each with the reason.
pub(super) fn choose(project: &Project, selection: &Selection) -> Result<BTreeMap<usize, Reason>, SelectionError> {
    let everything = || (0..project.steps.len()).map(|index| (index, Reason::Everything)).collect();
    if selection.names.is_empty() {
        return Ok(everything());
    }
    let mut chosen = BTreeMap::new();
    for name in &selection.names {
        for index in named(project, name)? {
            chosen.insert(index, Reason::Selected);
        }
    }
    let needs = needs(project);
    let mut open: Vec<usize> = chosen.keys().copied().collect();
    while let Some(index) = open.pop() {
        for id in &needs[index] {
            let found = project.steps.iter().position(|step| step.id.value == *id);
            if let Some(needed) = found.filter(|needed| !chosen.contains_key(needed)) {
                chosen.insert(needed, Reason::NeededBy(project.steps[index].id.value.clone()));
                open.push(needed);
            }
        }
    }
    Ok(chosen)
}

/// The steps that one name means. An entry of `finally` brings no step: all of `finally` runs anyway.
fn named(project: &Project, name: &str) -> Result<Vec<usize>, SelectionError> {
    let is_finally = project.finally.iter().any(|step| step.id.value == name || step.machine.value == name);
    let is_machine = project.machines.iter().any(|machine| machine.name.value == name);
    let found: Vec<usize> = project
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.id.value == name || (is_machine && step.machine.value == name))
        .map(|(index, _)| index)
        .collect();
    if !found.is_empty() || is_finally {
        return Ok(found);
    }
    if is_machine {
        return Err(SelectionError::NoSteps { machine: name.to_owned() });
    }
    Err(SelectionError::Unknown { name: name.to_owned(), nearest: nearest(project, name) })
}

/// The name that a person probably meant: at most a third of it is different.
fn nearest(project: &Project, name: &str) -> Option<String> {
    let steps = project.steps.iter().chain(&project.finally).map(|step| step.id.value.as_str());
    let machines = project.machines.iter().map(|machine| machine.name.value.as_str());
    steps
        .chain(machines)
        .map(|known| (strsim::osa_distance(known, name), known))
        .filter(|(distance, known)| *distance <= (known.chars().count().max(name.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}
