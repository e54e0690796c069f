//! Which stages wait for which, through others too, so that it can be asked at once.
//!
//! The graph is laid out in chains, in which each waits for the one before. A stage then waits for a beginning of each
//! chain, and how far is all that is kept: a file whose steps run one after another is a single chain, and steps that wait
//! for nothing keep nothing. Boots that wait for nothing are left out of it.

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::NodeIndex;

use super::order::{Graph, Stage};

/// So many ends of chains are kept for one file; past that nothing is known.
const ENTRIES_MAX: usize = 1_000_000;

/// A place in a chain.
type Place = (u32, u32);

/// The answer for each two stages of an order without cycles.
#[derive(Debug)]
pub(super) struct Reach {
    places: Vec<Place>,
    /// By stage, sorted by chain: how far it waits for each chain.
    rows: Vec<Vec<Place>>,
}

impl Reach {
    /// None where the order has a cycle, or is too wide to be known.
    pub(super) fn new(graph: &Graph) -> Option<Self> {
        let mut sorted = toposort(graph, None).ok()?;
        // Edges lead to what is waited for: that comes first now.
        sorted.reverse();
        let count = graph.node_count();
        let mut reach = Self { places: vec![(u32::MAX, 0); count], rows: vec![Vec::new(); count] };
        let mut is_last = vec![false; count];
        let (mut chains, mut entries) = (0_u32, 0_usize);
        let mut far: Vec<Option<u32>> = Vec::new();
        for node in sorted {
            if is_bare(graph, node) {
                continue;
            }
            let row = reach.row(graph, node, &mut far);
            entries += row.len();
            if entries > ENTRIES_MAX {
                return None;
            }
            let before = graph.neighbors(node).find(|needed| is_last[needed.index()]);
            reach.places[node.index()] = match before {
                Some(before) => {
                    is_last[before.index()] = false;
                    let (chain, position) = reach.places[before.index()];
                    (chain, position + 1)
                }
                None => {
                    chains += 1;
                    far.push(None);
                    (chains - 1, 0)
                }
            };
            is_last[node.index()] = true;
            reach.rows[node.index()] = row;
        }
        Some(reach)
    }

    /// How far a stage waits for each chain; `far` is empty before and after.
    fn row(&self, graph: &Graph, node: NodeIndex, far: &mut [Option<u32>]) -> Vec<Place> {
        let mut met: Vec<u32> = Vec::new();
        for needed in graph.neighbors(node).filter(|needed| !is_bare(graph, *needed)).map(NodeIndex::index) {
            for (chain, position) in self.rows[needed].iter().chain([&self.places[needed]]) {
                let slot = &mut far[*chain as usize];
                if slot.is_none() {
                    met.push(*chain);
                }
                *slot = (*slot).max(Some(*position));
            }
        }
        met.sort_unstable();
        met.into_iter().filter_map(|chain| Some((chain, far[chain as usize].take()?))).collect()
    }

    /// Whether `a` waits for `b`, which is no boot.
    pub(super) fn waits(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let (chain, position) = self.places[b.index()];
        let row = &self.rows[a.index()];
        row.binary_search_by_key(&chain, |place| place.0).is_ok_and(|found| row[found].1 >= position)
    }

    /// Whether `a` waits for a boot, directly or by waiting for something that does.
    pub(super) fn waits_for_boot(&self, graph: &Graph, a: NodeIndex, boot: NodeIndex) -> bool {
        graph.neighbors_directed(boot, Direction::Incoming).any(|user| user == a || self.waits(a, user))
    }

    /// Whether one of the two waits for the other.
    pub(super) fn is_ordered(&self, a: NodeIndex, b: NodeIndex) -> bool {
        a == b || self.waits(a, b) || self.waits(b, a)
    }

    /// Whether each of these waits for the one before it: then all are in order.
    pub(super) fn is_row(&self, nodes: &[NodeIndex]) -> bool {
        nodes.windows(2).all(|pair| self.waits(pair[1], pair[0]))
    }
}

/// Whether a stage is a boot that waits for nothing. It orders nobody, and a file has one for each machine.
fn is_bare(graph: &Graph, node: NodeIndex) -> bool {
    matches!(graph.node_weight(node), Some(Stage::Boot(_))) && graph.neighbors(node).next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::order::Reason;
    use super::*;

    fn graph(count: usize, edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::new();
        for step in 0..count {
            graph.add_node(Stage::Step(step));
        }
        for (from, to) in edges {
            graph.add_edge(NodeIndex::new(*from), NodeIndex::new(*to), Reason::Ends);
        }
        graph
    }

    fn closure(count: usize, edges: &[(usize, usize)]) -> Vec<Vec<bool>> {
        let mut waits = vec![vec![false; count]; count];
        for (from, to) in edges {
            waits[*from][*to] = true;
        }
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    waits[from][to] |= waits[from][via] && waits[via][to];
                }
            }
        }
        waits
    }

    #[test]
    fn a_row_of_steps_is_one_chain_and_steps_apart_keep_nothing() {
        let edges: Vec<(usize, usize)> = (1..1000).map(|step| (step, step - 1)).collect();
        let row = Reach::new(&graph(1000, &edges)).expect("no cycle");
        assert!(row.rows.iter().all(|kept| kept.len() <= 1));
        assert!(row.waits(NodeIndex::new(999), NodeIndex::new(0)));
        let apart = Reach::new(&graph(1000, &[])).expect("no cycle");
        assert!(apart.rows.iter().all(Vec::is_empty));
        assert!(!apart.is_ordered(NodeIndex::new(1), NodeIndex::new(0)));
    }

    proptest! {
        #[test]
        fn it_is_the_closure_of_the_edges(count in 1_usize..24, pairs in prop::collection::vec((0_usize..24, 0_usize..24), 0..80)) {
            let edges: Vec<(usize, usize)> =
                pairs.into_iter().map(|(a, b)| (a % count, b % count)).filter(|(a, b)| a > b).collect();
            let reach = Reach::new(&graph(count, &edges)).expect("edges point up only");
            let expected = closure(count, &edges);
            for (from, row) in expected.iter().enumerate() {
                for (to, waits) in row.iter().enumerate() {
                    prop_assert_eq!(reach.waits(NodeIndex::new(from), NodeIndex::new(to)), *waits, "{} {}", from, to);
                }
            }
        }
    }
}
