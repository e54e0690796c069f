//! Cycles: machines that wait for one another (0206), and the order of steps, what stands above them and `depends_on`
//! taken together (0205).
//!
//! After a cycle is reported one of its edges is taken out and the search goes on, so that independent mistakes are all
//! reported, each once. Of the order that is a need that points down the file, because the implied need always points
//! up, or else a dependency. What `depends_on` alone makes circular is left out of the order.

use std::collections::{HashMap, HashSet, VecDeque};

// Tarjan's way goes as deep as the longest row of steps.
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

use super::order::{Graph, Order, Reason, Stage};
use super::world::World;
use crate::config::model::{Condition, MachineNames, Project};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// Past so many cycles nobody reads on.
const CYCLES_MAX: usize = 50;
/// Past so many labels nobody finds the place to begin; those next to the closing edge stay.
const LABELS_MAX: usize = 12;

/// Reports every cycle in `depends_on` (0206); without the entries that it returns there is none, and what only follows
/// from one is not told of the order.
pub(super) fn check_dependencies(world: &World<'_>, out: &mut Diagnostics) -> HashSet<Span> {
    let project = world.project;
    let mut graph: DiGraph<usize, Span> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..project.machines.len()).map(|index| graph.add_node(index)).collect();
    let names = MachineNames::new(&project.machines);
    for (index, machine) in project.machines.iter().enumerate() {
        for dependency in &machine.depends_on {
            for other in names.find(&dependency.machine.value).into_iter().flatten() {
                graph.add_edge(nodes[index], nodes[other], dependency.machine.span);
            }
        }
    }
    let mut cut = HashSet::new();
    for _ in 0..CYCLES_MAX {
        let Some(cycle) = find_cycle(&graph) else { break };
        let closing = closing(project, &cycle, |edge| graph.edge_weight(edge).copied());
        out.push(report_dependencies(project, &graph, &rotated(&cycle, closing)));
        let closing = graph.edge_weight(cycle[closing]).copied();
        cut.extend(cycle.iter().filter_map(|edge| graph.edge_weight(*edge)));
        graph.retain_edges(|graph, edge| graph.edge_weight(edge).copied() != closing);
    }
    // Past the limit all that is still circular goes.
    for part in kosaraju_scc(&graph).iter().filter(|part| part.len() > 1) {
        cut.extend(part.iter().flat_map(|node| graph.edges(*node)).map(|edge| *edge.weight()));
    }
    cut
}

fn report_dependencies(project: &Project, graph: &DiGraph<usize, Span>, cycle: &[EdgeIndex]) -> Diagnostic {
    let name = |node: NodeIndex| graph.node_weight(node).map_or("", |index| project.machines[*index].declared_name());
    let ends = |edge: EdgeIndex| graph.edge_endpoints(edge).map_or(("", ""), |(from, to)| (name(from), name(to)));
    let names: Vec<String> = cycle.iter().map(|edge| format!("`{}`", ends(*edge).0)).collect();
    let (message, help) = match names.as_slice() {
        [one] => (format!("machine {one} depends on itself"), "take its own name out of `depends_on`"),
        _ => (
            format!("machines wait for one another in a circle: {} → {}", shorten(&names).join(" → "), names[0]),
            "take one of these out of `depends_on`, so that one of the machines boots first",
        ),
    };
    let labels = cycle.iter().filter_map(|edge| {
        let (from, to) = ends(*edge);
        Some((*graph.edge_weight(*edge)?, format!("`{from}` depends on `{to}`")))
    });
    label(Diagnostic::new(Code(206), Severity::Error, message), labels.collect()).help(help)
}

/// Reports every cycle in the order of steps (0205).
pub(super) fn check_order(world: &World<'_>, order: &Order, out: &mut Diagnostics) {
    let project = world.project;
    let mut graph = order.graph.clone();
    for _ in 0..CYCLES_MAX {
        let Some(cycle) = find_cycle(&graph) else { return };
        let closing = closing(project, &cycle, |edge| graph.edge_weight(edge).and_then(|reason| reason.span()));
        out.push(report_order(project, &graph, &cycle, closing));
        let is_dependency = |edge: &EdgeIndex| matches!(graph.edge_weight(*edge), Some(Reason::Depends(..)));
        let removed = cycle.iter().copied().find(|edge| points_down(&graph, *edge));
        let removed = removed.or_else(|| cycle.iter().copied().find(is_dependency)).unwrap_or(cycle[0]);
        remove(project, &mut graph, removed);
    }
}

/// Takes out an edge, and with it those that the same words are between other machines of a matrix.
fn remove(project: &Project, graph: &mut Graph, edge: EdgeIndex) {
    let key = |graph: &Graph, edge: EdgeIndex| {
        let from = graph.edge_endpoints(edge).and_then(|(from, _)| graph.node_weight(from));
        let place =
            from.and_then(|from| if let Stage::Step(step) = from { Some(project.steps[*step].place) } else { None });
        (graph.edge_weight(edge).and_then(|reason| reason.span()), place)
    };
    let removed = key(graph, edge);
    graph.retain_edges(|graph, edge| key(&graph, edge) != removed);
}

fn points_down(graph: &Graph, edge: EdgeIndex) -> bool {
    matches!(graph.edge_weight(edge), Some(Reason::Need(_)))
        && graph.edge_endpoints(edge).is_some_and(|(from, to)| from <= to)
}

/// The shortest cycle through the first node that lies on one.
fn find_cycle<N, E>(graph: &DiGraph<N, E>) -> Option<Vec<EdgeIndex>> {
    let parts = kosaraju_scc(graph);
    let on_cycle = |part: &&Vec<NodeIndex>| part.len() > 1 || graph.contains_edge(part[0], part[0]);
    let start = parts.iter().filter(on_cycle).filter_map(|part| part.iter().min()).min()?;
    let mut reached_by: HashMap<NodeIndex, EdgeIndex> = HashMap::new();
    let mut queue = VecDeque::from([*start]);
    while let Some(at) = queue.pop_front() {
        let mut edges: Vec<_> = graph.edges(at).collect();
        edges.sort_by_key(|edge| edge.target());
        for edge in edges {
            reached_by.entry(edge.target()).or_insert_with(|| {
                queue.push_back(edge.target());
                edge.id()
            });
        }
        if reached_by.contains_key(start) {
            return Some(walk_back(graph, *start, &reached_by));
        }
    }
    None
}

fn walk_back<N, E>(
    graph: &DiGraph<N, E>,
    start: NodeIndex,
    reached_by: &HashMap<NodeIndex, EdgeIndex>,
) -> Vec<EdgeIndex> {
    let mut cycle = Vec::new();
    let mut at = start;
    while let Some(edge) = reached_by.get(&at) {
        cycle.push(*edge);
        let Some((from, _)) = graph.edge_endpoints(*edge) else { break };
        at = from;
        if at == start {
            break;
        }
    }
    cycle.reverse();
    cycle
}

/// The edge that closes a cycle: the last one in the files; among implied ones of one anchor, the last one of the steps.
fn closing(project: &Project, cycle: &[EdgeIndex], span: impl Fn(EdgeIndex) -> Option<Span>) -> usize {
    let place = |at: usize| span(cycle[at]).map(|span| project.origins.place(span));
    (0..cycle.len()).max_by_key(|at| (place(*at), *at)).unwrap_or(0)
}

fn rotated(cycle: &[EdgeIndex], first: usize) -> Vec<EdgeIndex> {
    cycle[first..].iter().chain(&cycle[..first]).copied().collect()
}

/// The primary label is the edge that closes the cycle; the names begin with the first step.
fn report_order(project: &Project, graph: &Graph, cycle: &[EdgeIndex], closing: usize) -> Diagnostic {
    let from = |edge: EdgeIndex| graph.edge_endpoints(edge).and_then(|(from, _)| graph.node_weight(from).copied());
    let to = |edge: EdgeIndex| graph.edge_endpoints(edge).and_then(|(_, to)| graph.node_weight(to).copied());
    let names: Vec<String> = cycle.iter().filter_map(|edge| name(project, from(*edge)?)).collect();
    let message = match names.as_slice() {
        [one] => format!("step {one} needs itself"),
        _ => format!("the order of steps is a cycle: {} → {}", shorten(&names).join(" → "), names[0]),
    };
    let mut labels: Vec<(Span, String)> = Vec::new();
    for edge in rotated(cycle, closing) {
        let (Some(reason), Some(from), Some(to)) = (graph.edge_weight(edge), from(edge), to(edge)) else { continue };
        let (Some(span), Some(text)) = (reason.span(), edge_text(project, *reason, from, to)) else { continue };
        match labels.last_mut() {
            Some((last, said)) if *last == span => *said = format!("{said}; {text}"),
            _ => labels.push((span, text)),
        }
    }
    label(Diagnostic::new(Code(205), Severity::Error, message), labels).help(help(project, graph, cycle))
}

fn help(project: &Project, graph: &Graph, cycle: &[EdgeIndex]) -> String {
    let has = |of: fn(&Reason) -> bool| cycle.iter().filter(|edge| graph.edge_weight(**edge).is_some_and(of)).count();
    let implied = has(|reason| matches!(reason, Reason::Above(_)));
    let waits_for_machines = has(|reason| matches!(reason, Reason::Depends(..))) > 0;
    if cycle.len() == 1 {
        return "remove this need".to_owned();
    }
    let first_implied = cycle.iter().find(|edge| matches!(graph.edge_weight(**edge), Some(Reason::Above(_))));
    let waiting =
        first_implied.and_then(|edge| graph.edge_endpoints(*edge)).and_then(|(from, _)| graph.node_weight(from));
    match waiting {
        Some(Stage::Step(step)) if implied == 1 && waits_for_machines => format!(
            "step `{}` has no `needs`, so it waits for the step above: write `needs: []` where it should start at once, or \
             move the steps of a machine below those of what it depends on",
            project.steps[*step].declared_id()
        ),
        Some(_) => "a step without `needs` waits for the step above: write `needs: []` where it should start at once, \
                    or move the steps into the order in which they run"
            .to_owned(),
        None if waits_for_machines => "remove one of these needs, or take the machine out of `depends_on`".to_owned(),
        None => "remove one of these needs".to_owned(),
    }
}

/// What stands on a cycle, as its names are listed.
fn name(project: &Project, stage: Stage) -> Option<String> {
    match stage {
        Stage::Step(step) => Some(format!("`{}`", project.steps[step].declared_id())),
        Stage::Boot(machine) => Some(format!("machine `{}`", project.machines[machine].declared_name())),
        // The dependency before it names the machine.
        Stage::Completed(_) | Stage::Command(_) => None,
    }
}

fn edge_text(project: &Project, reason: Reason, from: Stage, to: Stage) -> Option<String> {
    let id = |stage| match stage {
        Stage::Step(step) => project.steps[step].declared_id(),
        Stage::Boot(machine) | Stage::Command(machine) | Stage::Completed(machine) => {
            project.machines[machine].declared_name()
        }
    };
    let (from, to) = (id(from), id(to));
    Some(match reason {
        Reason::Need(_) => format!("`{from}` needs `{to}`"),
        Reason::Above(_) => format!("`{from}` has no `needs`, so it waits for the step above, `{to}`"),
        Reason::Runs(_) => format!("`{from}` runs in machine `{to}`"),
        Reason::Depends(_, Condition::Completed) => format!("machine `{from}` boots when `{to}` has completed"),
        Reason::Depends(_, condition) => format!("machine `{from}` boots when `{to}` is {}", condition.word()),
        Reason::Part(_) => format!("`{to}` is a step of machine `{from}`"),
        Reason::Ends | Reason::Starts => return None,
    })
}

/// Adds the labels, of a long cycle those next to the edge that closes it.
fn label(diagnostic: Diagnostic, labels: Vec<(Span, String)>) -> Diagnostic {
    let (count, half) = (labels.len(), LABELS_MAX / 2);
    let is_shown = |at: usize| count <= LABELS_MAX || at < half || at >= count - half;
    let shown = labels.into_iter().enumerate().filter(|(at, _)| is_shown(*at));
    shown.fold(diagnostic, |diagnostic, (_, (span, text))| diagnostic.label(span, text))
}

/// At most eight names of a long cycle.
fn shorten(names: &[String]) -> Vec<String> {
    if names.len() <= 8 {
        return names.to_vec();
    }
    let (head, tail) = (&names[..4], &names[names.len() - 3..]);
    head.iter().cloned().chain([format!("… {} more …", names.len() - 7)]).chain(tail.iter().cloned()).collect()
}
