//! The graph of operations, and the one order in which it is printed. Deliberately not here: what an operation is
//! for (`build`).

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::graphmap::DiGraphMap;

use super::model::{Operation, Plan};

impl Plan {
    /// The operations as a graph: an edge leads from what comes before to what waits for it.
    pub fn graph(&self) -> DiGraphMap<&str, ()> {
        let mut graph = DiGraphMap::new();
        for operation in &self.operations {
            graph.add_node(operation.id.as_str());
        }
        for operation in &self.operations {
            for before in &operation.after {
                graph.add_edge(before.as_str(), operation.id.as_str(), ());
            }
        }
        graph
    }
}

/// Sorts operations so that each comes after what it waits for; where several may come, the one that was given first.
/// What lies on a cycle (the checks of the file let none through) keeps its place at the end.
pub(super) fn sort(operations: Vec<Operation>) -> Vec<Operation> {
    let mut graph: DiGraphMap<usize, ()> = DiGraphMap::new();
    let places: HashMap<&str, usize> =
        operations.iter().enumerate().map(|(place, operation)| (operation.id.as_str(), place)).collect();
    for (index, operation) in operations.iter().enumerate() {
        graph.add_node(index);
        for before in &operation.after {
            if let Some(from) = places.get(before.as_str()) {
                graph.add_edge(*from, index, ());
            }
        }
    }
    let mut order = Vec::with_capacity(operations.len());
    let free = |graph: &DiGraphMap<usize, ()>, node: usize| {
        graph.neighbors_directed(node, Direction::Incoming).next().is_none()
    };
    let mut ready: BTreeSet<usize> = graph.nodes().filter(|node| free(&graph, *node)).collect();
    while let Some(node) = ready.pop_first() {
        let next: Vec<usize> = graph.neighbors(node).collect();
        graph.remove_node(node);
        order.push(node);
        ready.extend(next.into_iter().filter(|after| free(&graph, *after)));
    }
    let mut left: Vec<usize> = graph.nodes().collect();
    left.sort_unstable();
    order.extend(left);
    let mut slots: Vec<Option<Operation>> = operations.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| slots[index].take()).collect()
}
