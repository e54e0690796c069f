//! What is said once although several machines are told of it: those that share a mount through an anchor, and those of
//! one matrix.
//!
//! Remarks are one where their rule and places are. Where all machines of a matrix are told the same, the remark names
//! the machine as the file does (`test`, not `test[debian:12]`); where a value of the matrix makes a difference, it says
//! for how many more machines it goes.

use std::collections::{HashMap, HashSet};

use super::world::World;
use crate::config::model::{Combination, Machine, Step};
use crate::diag::{Code, Diagnostic, Span};

/// So many names are listed.
const NAMES_MAX: usize = 3;

/// The combinations of a project, by the names of machines and steps in them.
pub(super) struct Repeats<'a> {
    world: &'a World<'a>,
    by_name: HashMap<&'a str, &'a Combination>,
    order: Vec<Group>,
    groups: HashMap<(Code, Vec<Span>), usize>,
}

/// Remarks of one rule on the same places.
struct Group {
    first: Diagnostic,
    /// The names of machines and steps that were met in them, by their declared name.
    met: HashMap<String, HashSet<String>>,
    /// Of the first one, with the names that the file says.
    declared: Diagnostic,
    /// What others are about that say the same of something else.
    others: Vec<String>,
}

impl<'a> Repeats<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        let machine = |machine: &'a Machine| Some((machine.name.value.as_str(), machine.combination.as_ref()?));
        let step = |step: &'a Step| Some((step.id.value.as_str(), step.combination.as_ref()?));
        let project = world.project;
        let steps = project.steps.iter().chain(&project.finally).filter_map(step);
        let by_name = project.machines.iter().filter_map(machine).chain(steps).collect();
        Self { world, by_name, order: Vec::new(), groups: HashMap::new() }
    }

    /// Takes a remark.
    pub(super) fn add(&mut self, remark: &Diagnostic) {
        let places: Vec<Span> = remark.labels.iter().map(|label| label.span).collect();
        let known = if places.is_empty() { None } else { self.groups.get(&(remark.code, places.clone())).copied() };
        if known.is_some() && self.by_name.is_empty() {
            return;
        }
        let mut met = HashMap::new();
        let declared = self.declared(remark, &mut met);
        match known {
            Some(group) => {
                let group = &mut self.order[group];
                if declared != group.declared {
                    let other = difference(&group.declared.message, &declared.message);
                    // With a second key of the matrix several machines are told the same.
                    if other.is_empty() || !group.others.iter().any(|told| told == other) {
                        group.others.push(other.to_owned());
                    }
                }
                for (name, all) in met {
                    group.met.entry(name).or_default().extend(all);
                }
            }
            None => {
                self.groups.insert((remark.code, places), self.order.len());
                self.order.push(Group { first: remark.clone(), met, declared, others: Vec::new() });
            }
        }
    }

    /// One remark of each group, in the order in which they came.
    pub(super) fn once(self) -> Vec<Diagnostic> {
        let (by_name, world) = (self.by_name, self.world);
        let is_whole = |all: &HashSet<String>| {
            let combination = all.iter().next().and_then(|name| by_name.get(name.as_str()));
            combination.is_some_and(|combination| combination.count == all.len())
        };
        let tell = |group: Group| {
            if group.others.is_empty() && group.met.values().all(is_whole) {
                return group.declared;
            }
            let mut remark = group.first;
            let is_of_matrix = remark.labels.first().is_some_and(|label| says_matrix(world, label.span));
            if let Some(label) = remark.labels.first_mut().filter(|_| is_of_matrix && !group.others.is_empty()) {
                label.text = format!("{}; the same goes for {}", label.text, list(&group.others));
            }
            remark
        };
        self.order.into_iter().map(tell).collect()
    }

    /// The remark with the names that the file says; those that it had go to `met`.
    fn declared(&self, remark: &Diagnostic, met: &mut HashMap<String, HashSet<String>>) -> Diagnostic {
        let mut declared = remark.clone();
        let texts = declared.labels.iter_mut().map(|label| &mut label.text);
        for text in texts.chain([&mut declared.message]).chain(&mut declared.help) {
            if !text.contains('[') {
                continue;
            }
            let parts = text.split('`').map(|part| match self.by_name.get(part) {
                Some(combination) => {
                    met.entry(combination.declared.clone()).or_default().insert(part.to_owned());
                    combination.declared.as_str()
                }
                None => part,
            });
            *text = parts.collect::<Vec<_>>().join("`");
        }
        declared
    }
}

/// What the second of two messages of one rule names in another way: the first of its names that differs.
fn difference<'m>(one: &str, other: &'m str) -> &'m str {
    let pairs = one.split('`').zip(other.split('`')).skip(1).step_by(2);
    pairs.filter(|(one, other)| one != other).map(|(_, other)| other).next().unwrap_or_default()
}

/// A few names, and how many more there are.
fn list(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().filter(|name| !name.is_empty()).take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    match (shown.is_empty(), names.len() - shown.len()) {
        (true, 1) => "1 more value of the matrix".to_owned(),
        (true, count) => format!("{count} more values of the matrix"),
        (false, 0) => shown.join(", "),
        (false, count) => format!("{} and {count} more", shown.join(", ")),
    }
}

/// Whether a variable of a matrix is written at a place.
fn says_matrix(world: &World<'_>, span: Span) -> bool {
    let written = world.texts.get(span.file).bytes.get(span.start..span.end).unwrap_or_default();
    written.windows(b"MATRIX_".len()).any(|window| window == b"MATRIX_")
}
