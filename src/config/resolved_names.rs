//! Names of machines and steps in a resolved file: where an entry became several (`matrix`), each has a name of its own
//! that a file may say, as `test-debian-12` for `test[debian:12]`.

use std::collections::{HashMap, HashSet};

use super::model::{MachineNames, Needs, Project, Step, StepNames};
use super::scalars::to_similar_name;

/// Bytes of a name.
const NAME_MAX: usize = 63;

/// The names of a resolved file.
pub(super) struct Names<'a> {
    project: &'a Project,
    steps: StepNames<'a>,
    all_machines: MachineNames<'a>,
    machines: HashMap<&'a str, String>,
    ids: HashMap<&'a str, String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(project: &'a Project) -> Self {
        let machines = project.machines.iter().map(|machine| {
            let combination = machine.combination.as_ref();
            (machine.name.value.as_str(), combination.map(|own| format!("{}-{}", own.declared, own.id)))
        });
        let steps = project.steps.iter().chain(&project.finally).map(|step| {
            let combination = step.combination.as_ref();
            (step.id.value.as_str(), combination.map(|own| format!("{}-{}", own.declared, own.id)))
        });
        Self {
            project,
            steps: StepNames::new(&project.steps),
            all_machines: MachineNames::new(&project.machines),
            machines: unique(machines.collect()),
            ids: unique(steps.collect()),
        }
    }

    pub(super) fn machine(&self, name: &'a str) -> &str {
        self.machines.get(name).map_or(name, String::as_str)
    }

    /// What a name means that another machine says: of a matrix, all its machines.
    pub(super) fn machines(&self, name: &'a str) -> Vec<&str> {
        match self.all_machines.find(name) {
            Some(found) => self.project.machines[found].iter().map(|one| self.machine(&one.name.value)).collect(),
            None => vec![name],
        }
    }

    pub(super) fn id(&self, id: &'a str) -> &str {
        self.ids.get(id).map_or(id, String::as_str)
    }

    /// What the step of this number waits for, the steps above written out.
    pub(super) fn needs(&self, number: usize) -> Vec<&str> {
        let id_of = |step: &'a Step| self.id(&step.id.value);
        match &self.project.steps[number].needs {
            Needs::Above => self.project.steps[self.steps.above(number)].iter().map(id_of).collect(),
            Needs::Explicit(ids) => {
                let mut met = HashSet::new();
                let needed = ids.iter().flat_map(|id| match self.steps.find(&id.value) {
                    Some(steps) => self.project.steps[steps].iter().map(id_of).collect(),
                    None => vec![id.value.as_str()],
                });
                needed.filter(|id| met.insert(*id)).collect()
            }
        }
    }
}

/// Names as a file may say them; those that it says itself stay.
fn unique(names: Vec<(&str, Option<String>)>) -> HashMap<&str, String> {
    let own = names.iter().filter(|(_, longer)| longer.is_none());
    let mut taken: HashSet<String> = own.map(|(name, _)| (*name).to_owned()).collect();
    let mut unique = HashMap::new();
    for (name, longer) in names {
        let Some(longer) = longer else { continue };
        let fit = to_similar_name(&longer).unwrap_or(longer);
        let numbers = (2..).map(|number: usize| {
            let end = format!("-{number}");
            format!("{}{end}", &fit[..fit.len().min(NAME_MAX - end.len())])
        });
        let free = std::iter::once(fit.clone()).chain(numbers).find(|name| taken.insert(name.clone()));
        unique.insert(name, free.unwrap_or(fit));
    }
    unique
}
