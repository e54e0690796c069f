//! Which steps and machines a name means, where one entry of the file may be several of them (`matrix`).

use std::collections::HashMap;
use std::ops::Range;

use super::machine::Machine;
use super::step::Step;

/// Steps by name, and what stands above each.
#[derive(Debug)]
pub struct StepNames<'a> {
    by_name: HashMap<&'a str, Range<usize>>,
    above: Vec<Range<usize>>,
}

impl<'a> StepNames<'a> {
    /// Looks at the `steps` of a project. Of entries with one id (0204) the first one has the name.
    pub fn new(steps: &'a [Step]) -> Self {
        let mut names = Self { by_name: HashMap::with_capacity(steps.len()), above: Vec::with_capacity(steps.len()) };
        let mut above = 0..0;
        for entry in steps.chunk_by(|one, other| one.place == other.place) {
            let own = above.end..above.end + entry.len();
            names.by_name.entry(entry[0].declared_id()).or_insert_with(|| own.clone());
            for (step, index) in entry.iter().zip(own.clone()) {
                names.by_name.entry(&step.id.value).or_insert(index..index + 1);
                names.above.push(above.clone());
            }
            above = own;
        }
        names
    }

    /// The steps of this id: one, or all that an entry is in the machines of a matrix.
    pub fn find(&self, name: &str) -> Option<Range<usize>> {
        self.by_name.get(name).cloned()
    }

    /// The steps of the entry above that of a step: what it waits for where it says nothing.
    pub fn above(&self, step: usize) -> Range<usize> {
        self.above.get(step).cloned().unwrap_or_default()
    }
}

/// Machines by name.
#[derive(Debug)]
pub struct MachineNames<'a>(HashMap<&'a str, Range<usize>>);

impl<'a> MachineNames<'a> {
    /// Looks at the `machines` of a project.
    pub fn new(machines: &'a [Machine]) -> Self {
        let mut names = HashMap::with_capacity(machines.len());
        for (index, machine) in machines.iter().enumerate() {
            names.entry(machine.name.value.as_str()).or_insert(index..index + 1);
            if machine.combination.is_some() {
                names.entry(machine.declared_name()).or_insert(index..index).end = index + 1;
            }
        }
        Self(names)
    }

    /// The machines of this name: one, or all of a matrix.
    pub fn find(&self, name: &str) -> Option<Range<usize>> {
        self.0.get(name).cloned()
    }
}
