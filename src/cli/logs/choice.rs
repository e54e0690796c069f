//! Whose output is shown: steps by their ids, machines by their names with all that ran in them.
//!
//! What ran where is known from the record of the run and from the file: the run may be of an older file, and a step of
//! the file may come only later. Deliberately not here: output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;

use crate::cli::exit::{Class, Failure};
use crate::config::{Project, nearest};
use crate::event::{OutputOf, Stream};
use crate::run::{LogSource, RunFolder};

/// What of the names of a run and its file is asked for.
#[derive(Debug)]
pub(super) struct Choice {
    /// None is everything.
    names: Vec<String>,
    has_consoles: bool,
    /// The machine of each step.
    steps: BTreeMap<String, String>,
    machines: BTreeSet<String>,
}

/// What is read of an event.
#[derive(Debug, Deserialize)]
struct Fact {
    step: Option<String>,
    machine: Option<String>,
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
#[error("no step and no machine is named `{name}`")]
struct Unknown {
    name: String,
}

impl Choice {
    /// What these names mean; a name that neither the run nor the file knows is a mistake.
    pub(super) fn new(
        names: &[String],
        has_consoles: bool,
        project: &Project,
        run: Option<&RunFolder>,
    ) -> Result<Self, Failure> {
        let mut choice =
            Self { names: names.to_vec(), has_consoles, steps: BTreeMap::new(), machines: BTreeSet::new() };
        for step in project.steps.iter().chain(&project.finally) {
            choice.steps.insert(step.id.value.clone(), step.machine.value.clone());
        }
        choice.machines.extend(project.machines.iter().map(|machine| machine.name.value.clone()));
        if let Some(run) = run {
            choice.learn(run);
        }
        match names.iter().find(|name| !choice.knows(name)) {
            Some(name) => {
                let failure = Failure::new(Class::Selection, Unknown { name: name.clone() });
                let known = choice.steps.keys().chain(&choice.machines).map(String::as_str);
                Err(match nearest(name, known) {
                    Some(near) => failure.help(format!("did you mean `{near}`?")),
                    None => failure.help("`smolvm plan` lists steps and machines"),
                })
            }
            None => Ok(choice),
        }
    }

    /// Takes what the record of a run says of what ran where. A record that cannot be read is none.
    pub(super) fn learn(&mut self, run: &RunFolder) {
        let mut text = String::new();
        let Ok(mut file) = run.open(&run.events()) else { return };
        let _ = file.read_to_string(&mut text);
        for fact in text.lines().filter_map(|line| serde_json::from_str::<Fact>(line).ok()) {
            match (fact.step, fact.machine) {
                (Some(step), Some(machine)) => {
                    self.machines.insert(machine.clone());
                    self.steps.insert(step, machine);
                }
                (None, Some(machine)) => {
                    self.machines.insert(machine);
                }
                _ => {}
            }
        }
    }

    /// A name of the command line: one step, the steps of one entry in all machines of a matrix, or a machine.
    fn knows(&self, name: &str) -> bool {
        self.steps.keys().chain(&self.machines).any(|known| means(name, known))
    }

    /// Whether this step is in the record or the file.
    pub(super) fn knows_source(&self, source: &LogSource) -> bool {
        match &source.of {
            OutputOf::Step(step) => self.steps.contains_key(step),
            OutputOf::Machine(_) => true,
        }
    }

    /// Whether what comes from there is shown.
    pub(super) fn has(&self, source: &LogSource) -> bool {
        if source.stream == Stream::Console && !self.has_consoles {
            return false;
        }
        let is_asked = |known: &str| self.names.is_empty() || self.names.iter().any(|name| means(name, known));
        match &source.of {
            OutputOf::Machine(machine) => is_asked(machine),
            OutputOf::Step(step) => is_asked(step) || self.steps.get(step).is_some_and(|machine| is_asked(machine)),
        }
    }

    /// Names whose lines may come, so that they can stand under one another.
    pub(super) fn shown(&self) -> Vec<&str> {
        let steps =
            self.steps.keys().map(|step| LogSource { of: OutputOf::Step(step.clone()), stream: Stream::Stdout });
        let machines =
            self.machines.iter().map(|name| LogSource { of: OutputOf::Machine(name.clone()), stream: Stream::Stdout });
        let names = self.steps.keys().chain(&self.machines);
        names.zip(steps.chain(machines)).filter(|(_, source)| self.has(source)).map(|(name, _)| name.as_str()).collect()
    }
}

/// Whether a name of the command line means this one: `unit` is also `unit[debian:12]`.
fn means(name: &str, known: &str) -> bool {
    known == name || known.strip_prefix(name).is_some_and(|rest| rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(names: &[&str]) -> Choice {
        let steps = [("compile", "build"), ("unit[a:1]", "test[a:1]"), ("unit[b]", "test[b]")];
        Choice {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            has_consoles: false,
            steps: steps.map(|(step, machine)| (step.to_owned(), machine.to_owned())).into(),
            machines: ["build", "db", "test[a:1]", "test[b]"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_machine_is_its_service_and_its_steps() {
        assert_eq!(choice(&["build"]).shown(), ["compile", "build"]);
        assert_eq!(choice(&["unit"]).shown(), ["unit[a:1]", "unit[b]"]);
        assert_eq!(choice(&["test[b]", "db"]).shown(), ["unit[b]", "db", "test[b]"]);
        assert_eq!(choice(&[]).shown().len(), 7);
        let console = LogSource { of: OutputOf::Machine("db".to_owned()), stream: Stream::Console };
        assert!(!choice(&[]).has(&console));
        assert!(choice(&["uni"]).shown().is_empty() && !choice(&["uni"]).knows("uni"));
    }
}
