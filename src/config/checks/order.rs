//! The order in which everything runs: what each step, command and boot of a machine waits for. The one graph that rules
//! about order look at. Deliberately not here: cycles in it (`cycles`), who runs beside whom (`reach`, `overlap`).
//!
//! ```text
//! step ─needs, above─► step      boot ─started, healthy─► boot of the other machine
//! step ─► boot of its machine    boot ─completed─► completed of the other machine ─► all its steps
//! command ─► boot of its machine                                (without steps: ─► its command)
//! ```

use std::collections::HashSet;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::config::model::{Condition, MachineNames, Needs, Project, StepNames, never_run};
use crate::diag::Span;

/// Why one waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// An entry of `needs`.
    Need(Span),
    /// Nothing was said, so it waits for the step above; the span is the step's id.
    Above(Span),
    /// It runs in this machine; the span is where it says so.
    Runs(Span),
    /// An entry of `depends_on`.
    Depends(Span, Condition),
    /// A step is one of those that a machine completes with; the span is the step's id.
    Part(Span),
    /// The command of a machine is what it completes with.
    Ends,
    /// A command starts when its machine is up.
    Starts,
}

impl Reason {
    pub(super) fn span(self) -> Option<Span> {
        match self {
            Self::Need(span) | Self::Above(span) | Self::Runs(span) | Self::Depends(span, _) | Self::Part(span) => {
                Some(span)
            }
            Self::Ends | Self::Starts => None,
        }
    }
}

/// What waits, and is waited for; the numbers are those of the project's steps and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Step(usize),
    Boot(usize),
    /// The command of a machine, from its start to its end.
    Command(usize),
    /// All steps of a machine have passed.
    Completed(usize),
}

/// An edge leads from what waits to what it waits for. Steps have the numbers of the project's steps.
pub(super) type Graph = DiGraph<Stage, Reason>;

/// The order of a project.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) graph: Graph,
    steps: usize,
    /// The machine of each step, where it is known.
    pub(super) machine_of: Vec<Option<usize>>,
    /// Whether a step never runs, whatever the variables are: it waits in the order, and nothing that runs waits for it.
    is_never: Vec<bool>,
}

impl Order {
    /// The order that a project says, without the dependencies in `cut`: the spans of entries of `depends_on`.
    pub(super) fn new(project: &Project, cut: &HashSet<Span>) -> Self {
        let (steps, machines) = (project.steps.len(), project.machines.len());
        let mut graph = Graph::with_capacity(steps + 3 * machines, 3 * steps + 2 * machines);
        for index in 0..steps {
            graph.add_node(Stage::Step(index));
        }
        for index in 0..machines {
            graph.add_node(Stage::Boot(index));
            graph.add_node(Stage::Command(index));
            graph.add_node(Stage::Completed(index));
        }
        let names = MachineNames::new(&project.machines);
        // A name that several machines have is a matrix's, whose steps are already one for each.
        let one = |name: &str| names.find(name).filter(|found| found.len() == 1).map(|found| found.start);
        let machine_of = project.steps.iter().map(|step| one(&step.machine.value)).collect();
        let mut order = Self { graph, steps, machine_of, is_never: never_run(&project.steps) };
        order.add_steps(project);
        order.add_machines(project, &names, cut);
        order
    }

    pub(super) fn step(&self, step: usize) -> NodeIndex {
        NodeIndex::new(step)
    }

    pub(super) fn boot(&self, machine: usize) -> NodeIndex {
        NodeIndex::new(self.steps + 3 * machine)
    }

    pub(super) fn command(&self, machine: usize) -> NodeIndex {
        NodeIndex::new(self.steps + 3 * machine + 1)
    }

    pub(super) fn completed(&self, machine: usize) -> NodeIndex {
        NodeIndex::new(self.steps + 3 * machine + 2)
    }

    /// The steps that may run, each with its machine.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, usize)> {
        let all = self.machine_of.iter().zip(&self.is_never).enumerate();
        all.filter(|(_, (_, is_never))| !**is_never).filter_map(|(step, (machine, _))| Some((step, (*machine)?)))
    }

    /// Whether a step runs, rather than being passed over in every run.
    pub(super) fn is_running(&self, step: usize) -> bool {
        !self.is_never[step]
    }

    /// Whether the command of a machine is waited for to complete, so that it ends by itself. Every other one is a
    /// service, which runs until the end of the run.
    pub(super) fn is_ending(&self, machine: usize) -> bool {
        let completed = self.completed(machine);
        let is_waited_for = self.graph.neighbors_directed(completed, Direction::Incoming).next().is_some();
        is_waited_for && self.graph.contains_edge(completed, self.command(machine))
    }

    /// Whether another machine boots when this one is up.
    pub(super) fn is_needed(&self, machine: usize) -> bool {
        let mut edges = self.graph.edges_directed(self.boot(machine), Direction::Incoming);
        edges.any(|edge| matches!(edge.weight(), Reason::Depends(..)))
    }

    /// Nothing that runs waits for what is passed over.
    fn may_be_waited_for(&self, waiting: usize, other: usize) -> bool {
        self.is_never[waiting] || !self.is_never[other]
    }

    fn add_steps(&mut self, project: &Project) {
        let names = StepNames::new(&project.steps);
        for (index, step) in project.steps.iter().enumerate() {
            let node = self.step(index);
            match &step.needs {
                Needs::Above => {
                    let mut above = names.above(index);
                    // What is passed over hands the wait on.
                    while !self.is_never[index] && !above.is_empty() && above.clone().all(|other| self.is_never[other])
                    {
                        above = names.above(above.start);
                    }
                    for other in above.filter(|other| self.may_be_waited_for(index, *other)).collect::<Vec<_>>() {
                        self.graph.add_edge(node, self.step(other), Reason::Above(step.id.span));
                    }
                }
                Needs::Explicit(needs) => {
                    for need in needs {
                        let found = names.find(&need.value).into_iter().flatten();
                        for other in found.filter(|other| self.may_be_waited_for(index, *other)).collect::<Vec<_>>() {
                            self.graph.add_edge(node, self.step(other), Reason::Need(need.span));
                        }
                    }
                }
            }
        }
    }

    fn add_machines(&mut self, project: &Project, names: &MachineNames<'_>, cut: &HashSet<Span>) {
        let mut has_steps = vec![false; project.machines.len()];
        for (index, step) in project.steps.iter().enumerate() {
            let Some(machine) = self.machine_of[index] else { continue };
            has_steps[machine] = true;
            if self.is_never[index] {
                continue;
            }
            self.graph.add_edge(self.step(index), self.boot(machine), Reason::Runs(step.machine.span));
            self.graph.add_edge(self.completed(machine), self.step(index), Reason::Part(step.id.span));
        }
        for (index, machine) in project.machines.iter().enumerate() {
            self.graph.add_edge(self.command(index), self.boot(index), Reason::Starts);
            if !has_steps[index] {
                self.graph.add_edge(self.completed(index), self.command(index), Reason::Ends);
            }
            for dependency in machine.depends_on.iter().filter(|dependency| !cut.contains(&dependency.machine.span)) {
                for other in names.find(&dependency.machine.value).into_iter().flatten() {
                    let condition = dependency.condition_of(&project.machines[other].service);
                    let target =
                        if condition == Condition::Completed { self.completed(other) } else { self.boot(other) };
                    let reason = Reason::Depends(dependency.machine.span, condition);
                    self.graph.add_edge(self.boot(index), target, reason);
                }
            }
        }
    }
}
