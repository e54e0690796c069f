//! A run without limits, played through in rounds: when each machine is up, if every step runs as early, or as late, as
//! the order lets it.
//!
//! Both are runs that can happen. A machine is up from its first step, or its start as a service, to its last step; a
//! service is up until the end. The cost is one walk over the order.

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::NodeIndex;

use super::order::{Order, Stage};
use super::world::World;
use crate::config::model::{Project, never_run};

/// The rounds in which a machine is up, the first and the last; none where it never boots.
pub(super) type Life = Option<(usize, usize)>;

/// The rounds of a project's order.
struct Run<'r> {
    order: &'r Order,
    /// All stages, each after what it waits for.
    sorted: Vec<NodeIndex>,
}

impl Run<'_> {
    /// Only steps, and commands that end by themselves, take a round.
    fn length(&self, node: NodeIndex) -> usize {
        match self.order.graph[node] {
            Stage::Step(step) => usize::from(self.order.is_running(step)),
            Stage::Command(machine) => usize::from(self.order.is_ending(machine)),
            Stage::Boot(_) | Stage::Completed(_) => 0,
        }
    }

    /// The round of each, the first in which it can be.
    fn early(&self) -> Vec<usize> {
        let mut rounds = vec![0; self.sorted.len()];
        for node in &self.sorted {
            let needed = self.order.graph.neighbors(*node);
            let after = needed.map(|other| rounds[other.index()] + self.length(other)).max();
            rounds[node.index()] = after.unwrap_or(0);
        }
        rounds
    }

    /// The round of each, the last in which it can be without making the run longer.
    fn late(&self, end: usize) -> Vec<usize> {
        let mut rounds = vec![end; self.sorted.len()];
        for node in self.sorted.iter().rev() {
            let waiting = self.order.graph.neighbors_directed(*node, Direction::Incoming);
            let before = waiting.map(|other| rounds[other.index()]).min().unwrap_or(end);
            rounds[node.index()] = before - self.length(*node);
        }
        rounds
    }
}

/// When each machine is up in two runs that can happen; none where the order has a cycle.
pub(super) fn lives(world: &World<'_>, order: &Order) -> Option<[Vec<Life>; 2]> {
    let mut sorted = toposort(&order.graph, None).ok()?;
    // Edges lead to what is waited for.
    sorted.reverse();
    let run = Run { order, sorted };
    let early = run.early();
    let end = run.sorted.iter().map(|node| early[node.index()] + run.length(*node)).max().unwrap_or(0);
    let late = run.late(end);
    Some([&early, &late].map(|rounds| lives_of(world, &run, (rounds, &early), end)))
}

/// `rounds` are those of this run, and of the early one.
fn lives_of(world: &World<'_>, run: &Run<'_>, rounds: (&[usize], &[usize]), end: usize) -> Vec<Life> {
    let (rounds, early) = rounds;
    let Project { finally, machines, .. } = world.project;
    let order = run.order;
    let mut lives: Vec<Life> = vec![None; machines.len()];
    let steps = order.running().map(|(step, machine)| (machine, rounds[order.step(step).index()]));
    // Entries of `finally` run one after another at the end.
    let last = finally.iter().zip(never_run(finally)).filter(|(_, is_never)| !is_never).zip(end..);
    let last = last.filter_map(|((step, _), at)| Some((world.machine_index(&step.machine.value)?, at)));
    steps.chain(last).for_each(|(machine, round)| extend(&mut lives[machine], round));
    for (index, _) in machines.iter().enumerate().filter(|(_, machine)| machine.service.command.is_some()) {
        if order.is_ending(index) {
            extend(&mut lives[index], rounds[order.command(index).index()]);
            continue;
        }
        // One that nobody waits for is there from the beginning.
        let start = if order.is_needed(index) { rounds } else { early }[order.boot(index).index()];
        extend(&mut lives[index], start);
        extend(&mut lives[index], end.saturating_sub(1).max(start));
    }
    lives
}

fn extend(life: &mut Life, round: usize) {
    let (first, last) = life.unwrap_or((round, round));
    *life = Some((round.min(first), round.max(last)));
}
