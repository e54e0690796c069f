//! What keeps two machines apart that use one folder (0108): the lines to write, so that no step or command of one runs
//! beside one of the other.
//!
//! What is already said is kept in the lines, the step above too. A line is only offered when it was tried: with it there
//! is no cycle, and the two machines are in order.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::order::{Graph, Order, Reason, Stage};
use super::reach::Reach;
use super::runs::{Runs, beside};
use super::world::World;
use crate::config::model::{Condition, Needs, Step};
use crate::diag::Span;

/// So much is tried for one file: stages looked at, and pairs compared.
const EFFORT_MAX: usize = 1_000_000;
/// More lines than that are no help.
const LINES_MAX: usize = 3;

const OWN_FOLDER: &str = "give each machine a folder of its own";

/// Finds the lines, for all remarks on a file together.
pub(super) struct Apart<'a> {
    world: &'a World<'a>,
    order: &'a Order,
    reach: &'a Reach,
    runs: &'a [Runs],
    /// Place of each stage where all run one after another, as the file has them.
    rank: Vec<usize>,
    effort_left: Cell<usize>,
}

/// Steps that wait for more, by the number of their entry.
type Lines = BTreeMap<usize, Vec<usize>>;

impl<'a> Apart<'a> {
    pub(super) fn new(world: &'a World<'a>, order: &'a Order, reach: &'a Reach, runs: &'a [Runs]) -> Self {
        let rank = rank(&order.graph);
        Self { world, order, reach, runs, rank, effort_left: Cell::new(EFFORT_MAX) }
    }

    /// What to write for two machines, one of whose runs goes on beside one of the other's.
    pub(super) fn help(&self, machines: (usize, usize), pair: (Stage, Stage)) -> String {
        let (a, b) = machines;
        let service = [a, b].into_iter().find(|machine| self.runs[*machine].command.is_some());
        let lines = match service {
            None => self.needs(a, b).or_else(|| self.depends_on(b, a)).or_else(|| self.depends_on(a, b)),
            Some(service) => self.depends_on(service, if service == a { b } else { a }),
        };
        if let Some(lines) = lines {
            return format!("{lines}, or {OWN_FOLDER}");
        }
        let name = |machine: usize| self.world.project.machines[machine].declared_name();
        match pair {
            (Stage::Command(_), Stage::Command(_)) => {
                format!("services run side by side until the end: {OWN_FOLDER}")
            }
            (Stage::Command(machine), _) | (_, Stage::Command(machine)) => format!(
                "no `needs` keeps a step apart from the command of `{}`, which runs until the end: {OWN_FOLDER}",
                name(machine)
            ),
            _ => format!("let the steps of one machine wait for those of the other, with `needs`, or {OWN_FOLDER}"),
        }
    }

    /// Whether so much more may be done.
    fn may(&self, effort: usize) -> bool {
        let left = self.effort_left.get().checked_sub(effort);
        self.effort_left.set(left.unwrap_or(0));
        left.is_some()
    }

    /// `needs` that order all steps of two machines, the fewest lines of three ways: as the file has them, or one machine
    /// first.
    fn needs(&self, a: usize, b: usize) -> Option<String> {
        let by_rank = |machine: usize| {
            let mut steps = self.runs[machine].steps.clone();
            steps.sort_by_key(|step| self.rank[step.index()]);
            steps
        };
        let (of_a, of_b) = (by_rank(a), by_rank(b));
        let count = of_a.len() + of_b.len();
        if !self.may(3 * count * count) {
            return None;
        }
        let mut mixed = [of_a.clone(), of_b.clone()].concat();
        mixed.sort_by_key(|step| self.rank[step.index()]);
        let ways = [mixed, [of_a.clone(), of_b.clone()].concat(), [of_b, of_a].concat()];
        let ways = ways.iter().filter_map(|way| self.lines(way)).filter(|lines| lines.len() <= LINES_MAX);
        let lines = ways.min_by_key(|lines| (lines.len(), lines.values().map(Vec::len).sum::<usize>()))?;
        let mut graph = self.order.graph.clone();
        let steps = &self.world.project.steps;
        for (entry, needed) in &lines {
            for (from, _) in steps.iter().enumerate().filter(|(_, step)| step.place == *entry) {
                for other in needed {
                    let all = steps.iter().enumerate().filter(|(_, step)| step.place == *other);
                    for (to, _) in all {
                        graph.add_edge(self.order.step(from), self.order.step(to), Reason::Ends);
                    }
                }
            }
        }
        self.is_apart(&graph, a, b).then(|| self.show(&lines))
    }

    /// The needs that are missing where steps are to run in this order; `None` where they cannot.
    fn lines(&self, way: &[NodeIndex]) -> Option<Lines> {
        let steps = &self.world.project.steps;
        let mut waits: Vec<Vec<bool>> = Vec::with_capacity(way.len());
        let mut lines = Lines::new();
        for (at, step) in way.iter().enumerate() {
            let mut row = vec![false; at];
            for (before, earlier) in way[..at].iter().enumerate().rev() {
                if self.reach.waits(*earlier, *step) {
                    return None;
                }
                let is_met = row[before] || self.reach.waits(*step, *earlier);
                let is_own = self.order.machine_of[earlier.index()] == self.order.machine_of[step.index()];
                if !is_met && is_own {
                    continue;
                }
                if !is_met {
                    let needed = lines.entry(steps[step.index()].place).or_default();
                    let place = steps[earlier.index()].place;
                    if !needed.contains(&place) {
                        needed.push(place);
                    }
                }
                row[before] = true;
                row.iter_mut().zip(&waits[before]).for_each(|(row, other)| *row |= other);
            }
            waits.push(row);
        }
        lines.values_mut().for_each(|needed| needed.sort_unstable());
        Some(lines)
    }

    /// The steps above that a step waits for, past those that never run.
    fn above(&self, step: usize) -> Vec<usize> {
        let waits = self.order.graph.edges(self.order.step(step));
        let above = waits.filter(|edge| matches!(edge.weight(), Reason::Above(_))).map(|edge| edge.target().index());
        let mut above: Vec<usize> = above.collect();
        above.sort_unstable();
        above
    }

    fn show(&self, lines: &Lines) -> String {
        let steps = &self.world.project.steps;
        let entry =
            |place: usize| steps.iter().position(|step| step.place == place).map(|index| (index, &steps[index]));
        let shown: Vec<String> = lines
            .iter()
            .filter_map(|(place, needed)| {
                let (index, step) = entry(*place)?;
                let said: Vec<&str> = match &step.needs {
                    Needs::Above => self.above(index).into_iter().map(|above| steps[above].declared_id()).collect(),
                    Needs::Explicit(ids) => ids.iter().map(|id| id.value.as_str()).collect(),
                };
                let mut ids: Vec<&str> = Vec::new();
                let more = needed.iter().filter_map(|place| entry(*place)).map(|(_, step)| Step::declared_id(step));
                for id in said.into_iter().chain(more) {
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                }
                Some(format!("step `{}` wait, with `needs: [{}]`", step.declared_id(), ids.join(", ")))
            })
            .collect();
        format!("let {}", shown.join(", and "))
    }

    /// `depends_on` of one machine, so that it boots when all steps of the other have passed.
    fn depends_on(&self, waiting: usize, other: usize) -> Option<String> {
        let project = self.world.project;
        let (machine, other_machine) = (&project.machines[waiting], &project.machines[other]);
        let is_alone = machine.combination.is_none() && other_machine.combination.is_none();
        if !is_alone || self.runs[other].steps.is_empty() || !self.may(self.order.graph.node_count()) {
            return None;
        }
        let mut graph = self.order.graph.clone();
        let span = Span { ..machine.name.span };
        let reason = Reason::Depends(span, Condition::Completed);
        graph.add_edge(self.order.boot(waiting), self.order.completed(other), reason);
        if !self.is_apart(&graph, waiting, other) {
            return None;
        }
        let wanted = other_machine.name.value.as_str();
        let is_default = other_machine.service.command.is_none() && other_machine.service.healthcheck.is_none();
        let said = machine.depends_on.iter().filter(|said| said.machine.value != wanted);
        let is_short = is_default && machine.depends_on.iter().all(|said| said.condition.is_none());
        let entries: Vec<String> = said
            .map(|said| {
                let name = &said.machine.value;
                let service = self.world.machine(name).map(|(machine, _)| &machine.service);
                match service {
                    Some(service) if !is_short => {
                        format!("{name}: {{ condition: {} }}", said.condition_of(service).word())
                    }
                    _ => name.clone(),
                }
            })
            .chain([if is_short { wanted.to_owned() } else { format!("{wanted}: {{ condition: completed }}") }])
            .collect();
        let (open, close) = if is_short { ("[", "]") } else { ("{ ", " }") };
        Some(format!(
            "let machine `{}` wait, with `depends_on: {open}{}{close}`",
            machine.name.value,
            entries.join(", ")
        ))
    }

    /// Whether an order with more in it has no cycle, and keeps two machines apart.
    fn is_apart(&self, graph: &Graph, a: usize, b: usize) -> bool {
        let effort = graph.node_count() + self.runs[a].count() * self.runs[b].count();
        if !self.may(effort) {
            return false;
        }
        let mut budget = u32::MAX;
        Reach::new(graph).is_some_and(|reach| beside(&reach, &self.runs[a], &self.runs[b], &mut budget).is_none())
    }
}

/// The place of each stage where all run one after another: of those that may, the first one of the file is taken.
fn rank(graph: &Graph) -> Vec<usize> {
    let mut open: Vec<usize> = graph.node_indices().map(|node| graph.neighbors(node).count()).collect();
    let ready = graph.node_indices().filter(|node| open[node.index()] == 0);
    // Boots come before steps: they are no more than what steps wait for.
    let key = |node: NodeIndex| Reverse((matches!(graph.node_weight(node), Some(Stage::Step(_))), node));
    let mut ready: BinaryHeap<_> = ready.map(key).collect();
    let mut rank = vec![0; graph.node_count()];
    let mut next = 0;
    while let Some(Reverse((_, node))) = ready.pop() {
        rank[node.index()] = next;
        next += 1;
        for waiting in graph.neighbors_directed(node, Direction::Incoming) {
            open[waiting.index()] -= 1;
            if open[waiting.index()] == 0 {
                ready.push(key(waiting));
            }
        }
    }
    rank
}
