//! The order of steps: what each waits for, and cycles in it (0205).
//!
//! Every cycle holds a need that points down the file, because the implied need always points up. After a cycle is
//! reported that need is taken out and the search goes on, so that independent mistakes are all reported.

use std::collections::{HashMap, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

use super::world::World;
use crate::config::model::{Needs, Project, Step, StepNames};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// Past so many cycles nobody reads on.
const CYCLES_MAX: usize = 50;

/// Why a step waits for another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// An entry of `needs`.
    Need(Span),
    /// Nothing was said, so it waits for the step above; the span is the step's id.
    Above(Span),
}

impl Reason {
    fn span(self) -> Span {
        match self {
            Self::Need(span) | Self::Above(span) => span,
        }
    }
}

/// An edge leads from the step that waits to the step it waits for.
pub(super) type Order = DiGraph<usize, Reason>;

/// Reports every cycle in the order of steps.
pub(super) fn check_order(world: &World<'_>, mut order: Order, out: &mut Diagnostics) {
    let steps = &world.project.steps;
    for _ in 0..CYCLES_MAX {
        let Some(cycle) = find_cycle(&order) else { return };
        out.push(report(steps, &order, &cycle));
        let down = cycle.iter().copied().find(|edge| points_down(&order, *edge)).unwrap_or(cycle[0]);
        remove(steps, &mut order, down);
    }
}

/// The order of the project's steps, by their numbers.
pub(super) fn build(project: &Project) -> Order {
    let mut order = Order::with_capacity(project.steps.len(), project.steps.len());
    let nodes: Vec<NodeIndex> = (0..project.steps.len()).map(|index| order.add_node(index)).collect();
    let names = StepNames::new(&project.steps);
    for (index, step) in project.steps.iter().enumerate() {
        match &step.needs {
            Needs::Above => {
                for above in names.above(index) {
                    order.add_edge(nodes[index], nodes[above], Reason::Above(step.id.span));
                }
            }
            Needs::Explicit(needs) => {
                for need in needs {
                    for other in names.find(&need.value).into_iter().flatten() {
                        order.update_edge(nodes[index], nodes[other], Reason::Need(need.span));
                    }
                }
            }
        }
    }
    order
}

/// Takes out an edge, and with it those that the same need is between other machines of a matrix.
fn remove(steps: &[Step], order: &mut Order, edge: EdgeIndex) {
    let key = |order: &Order, edge: EdgeIndex| {
        let from = order.edge_endpoints(edge).and_then(|(from, _)| order.node_weight(from));
        (order.edge_weight(edge).map(|reason| reason.span()), from.map(|from| steps[*from].place))
    };
    let removed = key(order, edge);
    order.retain_edges(|order, edge| key(&order, edge) != removed);
}

fn points_down(order: &Order, edge: EdgeIndex) -> bool {
    order.edge_endpoints(edge).is_some_and(|(from, to)| from <= to)
}

/// The shortest cycle through the first step that lies on one.
fn find_cycle(order: &Order) -> Option<Vec<EdgeIndex>> {
    let parts = tarjan_scc(order);
    let on_cycle = |part: &&Vec<NodeIndex>| part.len() > 1 || order.contains_edge(part[0], part[0]);
    let start = parts.iter().filter(on_cycle).filter_map(|part| part.iter().min()).min()?;
    let mut reached_by: HashMap<NodeIndex, EdgeIndex> = HashMap::new();
    let mut queue = VecDeque::from([*start]);
    while let Some(at) = queue.pop_front() {
        let mut edges: Vec<_> = order.edges(at).collect();
        edges.sort_by_key(|edge| edge.target());
        for edge in edges {
            reached_by.entry(edge.target()).or_insert_with(|| {
                queue.push_back(edge.target());
                edge.id()
            });
        }
        if reached_by.contains_key(start) {
            return Some(walk_back(order, *start, &reached_by));
        }
    }
    None
}

fn walk_back(order: &Order, start: NodeIndex, reached_by: &HashMap<NodeIndex, EdgeIndex>) -> Vec<EdgeIndex> {
    let mut cycle = Vec::new();
    let mut at = start;
    while let Some(edge) = reached_by.get(&at) {
        cycle.push(*edge);
        let Some((from, _)) = order.edge_endpoints(*edge) else { break };
        at = from;
        if at == start {
            break;
        }
    }
    cycle.reverse();
    cycle
}

/// The primary label is the edge that closes the cycle: the last one in the file.
fn report(steps: &[Step], order: &Order, cycle: &[EdgeIndex]) -> Diagnostic {
    let closing = (0..cycle.len()).max_by_key(|at| place(order, cycle[*at])).unwrap_or(0);
    let in_order: Vec<EdgeIndex> = cycle[closing..].iter().chain(&cycle[..closing]).copied().collect();
    let ids: Vec<String> = cycle.iter().map(|edge| format!("`{}`", ids_of(steps, order, *edge).0)).collect();
    let message = match ids.as_slice() {
        [one] => format!("step {one} needs itself"),
        _ => format!("the order of steps is a cycle: {} → {}", shorten(&ids).join(" → "), ids[0]),
    };
    let has_implied = cycle.iter().any(|edge| matches!(order.edge_weight(*edge), Some(Reason::Above(_))));
    let mut diagnostic = Diagnostic::new(Code(205), Severity::Error, message);
    for edge in &in_order {
        let Some(reason) = order.edge_weight(*edge) else { continue };
        diagnostic = diagnostic.label(reason.span(), edge_text(steps, order, *edge, *reason));
    }
    diagnostic.help(match ids.len() {
        1 => "remove this need".to_owned(),
        _ if has_implied => {
            "a step without `needs` waits for the step above: write `needs: []` where it should start at once, \
             or move the steps into the order in which they run"
                .to_owned()
        }
        _ => "remove one of these needs".to_owned(),
    })
}

/// Where an edge stands in the file; among implied ones of one anchor, the order of steps.
fn place(order: &Order, edge: EdgeIndex) -> (Option<Span>, Option<NodeIndex>) {
    (order.edge_weight(edge).map(|reason| reason.span()), order.edge_endpoints(edge).map(|(from, _)| from))
}

fn ids_of<'s>(steps: &'s [Step], order: &Order, edge: EdgeIndex) -> (&'s str, &'s str) {
    let id = |node: NodeIndex| order.node_weight(node).map_or("", |index| steps[*index].declared_id());
    order.edge_endpoints(edge).map_or(("", ""), |(from, to)| (id(from), id(to)))
}

fn edge_text(steps: &[Step], order: &Order, edge: EdgeIndex, reason: Reason) -> String {
    let (from, to) = ids_of(steps, order, edge);
    match reason {
        Reason::Need(_) => format!("`{from}` needs `{to}`"),
        Reason::Above(_) => format!("`{from}` has no `needs`, so it waits for the step above, `{to}`"),
    }
}

/// At most eight names of a long cycle.
fn shorten(ids: &[String]) -> Vec<String> {
    if ids.len() <= 8 {
        return ids.to_vec();
    }
    let (head, tail) = (&ids[..4], &ids[ids.len() - 3..]);
    head.iter().cloned().chain([format!("… {} more …", ids.len() - 7)]).chain(tail.iter().cloned()).collect()
}
