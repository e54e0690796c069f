//! Steps that are passed over: by their `if`, by profiles, or because they need one that is.
//!
//! Deliberately not here: whether anyone is told (`checks` warns, `plan` lists them).

use std::collections::{HashMap, HashSet};

use super::machine::Machine;
use super::names::{MachineNames, StepNames};
use super::project::{Project, Spanned};
use super::step::{Needs, Step};
use crate::diag::Span;

/// The profile that stands for all of them, as in compose.
pub const EVERY_PROFILE: &str = "*";

/// Why a step is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// Its `if` does not hold.
    Condition {
        /// The value of `if`.
        span: Span,
        /// Whether it never holds.
        is_constant: bool,
    },
    /// None of its profiles is asked for.
    Profiles(Vec<String>),
    /// None of its machine's is.
    MachineProfiles(Vec<String>),
    /// It needs a step that is passed over.
    Need(Spanned<String>),
}

impl Exclusion {
    /// The cause in words.
    pub fn why(&self) -> String {
        match self {
            Self::Condition { .. } => "its `if` does not hold".to_owned(),
            Self::Profiles(names) => format!("it belongs to {}, not asked for", profiles(names)),
            Self::MachineProfiles(names) => format!("its machine belongs to {}, not asked for", profiles(names)),
            Self::Need(id) => format!("it needs `{}`, which is passed over", id.value),
        }
    }
}

/// Profiles in words.
pub(crate) fn profiles(names: &[String]) -> String {
    let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("the profile{} {}", if list.len() == 1 { "" } else { "s" }, list.join(", "))
}

/// For each step, and each entry of `finally`, why it is passed over. What is named on a command line brings its
/// profiles with it.
pub fn exclusions(project: &Project, named: &[String]) -> (Vec<Option<Exclusion>>, Vec<Option<Exclusion>>) {
    let asked = asked(project, named);
    let machines = MachineNames::new(&project.machines);
    let own = |step: &Step| {
        if let Some(condition) = step.condition.as_ref().filter(|condition| !condition.value.holds) {
            return Some(Exclusion::Condition { span: condition.span, is_constant: condition.value.is_constant });
        }
        let left_out = |profiles: &[Spanned<String>]| is_left_out(profiles, &asked);
        if let Some(names) = left_out(&step.profiles) {
            return Some(Exclusion::Profiles(names));
        }
        let machine = machines.find(&step.machine.value).and_then(|found| project.machines.get(found.start))?;
        left_out(&machine.profiles).map(Exclusion::MachineProfiles)
    };
    let mut steps: Vec<Option<Exclusion>> = project.steps.iter().map(own).collect();
    let finally = project.finally.iter().map(own).collect();
    spread(&project.steps, &mut steps);
    (steps, finally)
}

/// For each machine whether none of its profiles is asked for. What is named on a command line brings its profiles.
pub fn machines_left_out(project: &Project, named: &[String]) -> Vec<bool> {
    let asked = asked(project, named);
    project.machines.iter().map(|machine| is_left_out(&machine.profiles, &asked).is_some()).collect()
}

fn asked<'a>(project: &'a Project, named: &[String]) -> HashSet<&'a str> {
    let is_named = |names: [&str; 2]| named.iter().any(|name| names.contains(&name.as_str()));
    let is_machine_named = |machine: &&Machine| is_named([machine.declared_name(), &machine.name.value]);
    let is_step_named = |step: &&Step| is_named([step.declared_id(), &step.id.value]);
    let mut asked: HashSet<&str> = project.profiles.iter().map(String::as_str).collect();
    let named_steps: Vec<&Step> = project.steps.iter().chain(&project.finally).filter(is_step_named).collect();
    let of_steps: HashSet<&str> = named_steps.iter().map(|step| step.machine.value.as_str()).collect();
    let machines = project.machines.iter().filter(|machine| {
        is_machine_named(machine)
            || of_steps.contains(machine.declared_name())
            || of_steps.contains(machine.name.value.as_str())
    });
    let machines: Vec<&Machine> = machines.collect();
    asked.extend(machines.iter().flat_map(|machine| &machine.profiles).map(|profile| profile.value.as_str()));
    asked.extend(named_steps.iter().flat_map(|step| &step.profiles).map(|profile| profile.value.as_str()));
    asked
}

/// The profiles of what is left out because of them.
fn is_left_out(profiles: &[Spanned<String>], asked: &HashSet<&str>) -> Option<Vec<String>> {
    let is_in = profiles.is_empty()
        || asked.contains(EVERY_PROFILE)
        || profiles.iter().any(|profile| asked.contains(profile.value.as_str()));
    (!is_in).then(|| profiles.iter().map(|profile| profile.value.clone()).collect())
}

/// Which steps never run, whatever the variables are and which profiles are asked for.
pub(crate) fn never_run(steps: &[Step]) -> Vec<bool> {
    let own = |step: &Step| {
        let never =
            step.condition.as_ref().filter(|condition| !condition.value.holds && condition.value.is_constant)?;
        Some(Exclusion::Condition { span: never.span, is_constant: true })
    };
    let mut excluded: Vec<Option<Exclusion>> = steps.iter().map(own).collect();
    if excluded.iter().any(Option::is_some) {
        spread(steps, &mut excluded);
    }
    excluded.iter().map(Option::is_some).collect()
}

/// What explicitly needs a step that is passed over is passed over.
fn spread(steps: &[Step], excluded: &mut [Option<Exclusion>]) {
    let names = StepNames::new(steps);
    let mut needed_by: HashMap<usize, Vec<(usize, &Spanned<String>)>> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        let Needs::Explicit(needs) = &step.needs else { continue };
        for need in needs {
            for other in names.find(&need.value).unwrap_or_default() {
                needed_by.entry(other).or_default().push((index, need));
            }
        }
    }
    let mut open: Vec<usize> = (0..steps.len()).filter(|index| excluded[*index].is_some()).collect();
    while let Some(index) = open.pop() {
        for (waiting, need) in needed_by.get(&index).into_iter().flatten() {
            // Of the steps that an entry is in the machines of a matrix one that runs will do.
            let all = names.find(&need.value).unwrap_or_default();
            if excluded[*waiting].is_none() && all.clone().all(|other| excluded[other].is_some()) {
                excluded[*waiting] = Some(Exclusion::Need((*need).clone()));
                open.push(*waiting);
            }
        }
    }
}

impl Project {
    /// The project without the steps that are passed over; an implied need goes to the step that is above then.
    #[must_use]
    pub fn without(&self, steps: &[Option<Exclusion>], finally: &[Option<Exclusion>]) -> Self {
        let kept = |all: &[Step], excluded: &[Option<Exclusion>]| -> Vec<Step> {
            all.iter().zip(excluded).filter(|(_, excluded)| excluded.is_none()).map(|(step, _)| step.clone()).collect()
        };
        Self { steps: kept(&self.steps, steps), finally: kept(&self.finally, finally), ..self.clone() }
    }

    /// The project with what is in now and nothing else: `if` and `profiles` have had their say.
    #[must_use]
    pub fn active(&self) -> Self {
        let (steps, finally) = exclusions(self, &[]);
        let mut active = self.without(&steps, &finally);
        let asked = asked(self, &[]);
        let is_in = |machine: &Machine| is_left_out(&machine.profiles, &asked).is_none();
        // What a machine that is in waits for, or reaches, has to be there to be named.
        let kept: Vec<&Machine> = self.machines.iter().filter(|machine| is_in(machine)).collect();
        let waited = kept.iter().flat_map(|machine| &machine.depends_on).map(|other| other.machine.value.as_str());
        let reached = kept.iter().flat_map(|machine| &machine.network.links).map(|link| link.machine.value.as_str());
        let named: HashSet<&str> = waited.chain(reached).collect();
        active.machines.retain(|machine| {
            let names = [machine.declared_name(), machine.name.value.as_str()];
            is_in(machine) || names.iter().any(|name| named.contains(name))
        });
        active
    }

    /// Every profile that a machine or a step belongs to, sorted.
    pub fn known_profiles(&self) -> Vec<&str> {
        let steps = self.steps.iter().chain(&self.finally).flat_map(|step| &step.profiles);
        let all = self.machines.iter().flat_map(|machine| &machine.profiles).chain(steps);
        let mut names: Vec<&str> = all.map(|profile| profile.value.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
