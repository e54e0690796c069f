//! What runs in each machine, steps and a command, and which of two machines' runs may go on at the same time.

use petgraph::graph::NodeIndex;

use super::order::Order;
use super::reach::Reach;
use super::world::World;

/// What runs in one machine. Its steps never run at the same time; its command runs beside them.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    pub(super) steps: Vec<NodeIndex>,
    /// Whether each step waits for the one before it in `steps`.
    is_row: bool,
    pub(super) command: Option<NodeIndex>,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.command.is_none()
    }

    pub(super) fn count(&self) -> usize {
        self.steps.len() + usize::from(self.command.is_some())
    }
}

/// The runs of each machine.
pub(super) fn runs(world: &World<'_>, order: &Order, reach: &Reach) -> Vec<Runs> {
    let mut runs = vec![Runs::default(); world.project.machines.len()];
    for (step, machine) in order.running() {
        runs[machine].steps.push(order.step(step));
    }
    for (index, machine) in world.project.machines.iter().enumerate() {
        runs[index].is_row = reach.is_row(&runs[index].steps);
        runs[index].command = machine.service.command.as_ref().map(|_| order.command(index));
    }
    runs
}

/// A run of each machine, such that neither waits for the other; `None` too where the budget of comparisons ends.
pub(super) fn beside(reach: &Reach, a: &Runs, b: &Runs, budget: &mut u32) -> Option<(NodeIndex, NodeIndex)> {
    let steps = if a.is_row && b.is_row {
        rows_beside(reach, &a.steps, &b.steps, budget)
    } else {
        pairs_beside(reach, &a.steps, &b.steps, budget)
    };
    let command = |machine: &Runs| machine.command.into_iter().collect::<Vec<_>>();
    let (of_a, of_b) = (command(a), command(b));
    steps
        .or_else(|| pairs_beside(reach, &of_a, &b.steps, budget))
        .or_else(|| pairs_beside(reach, &a.steps, &of_b, budget))
        .or_else(|| pairs_beside(reach, &of_a, &of_b, budget))
}

fn pairs_beside(reach: &Reach, a: &[NodeIndex], b: &[NodeIndex], budget: &mut u32) -> Option<(NodeIndex, NodeIndex)> {
    for x in a {
        for y in b {
            *budget = budget.checked_sub(1)?;
            if !reach.is_ordered(*x, *y) {
                return Some((*x, *y));
            }
        }
    }
    None
}

/// As [`pairs_beside`], of steps in a row: each waits for a beginning of the other row, and an end of it waits for it.
fn rows_beside(reach: &Reach, a: &[NodeIndex], b: &[NodeIndex], budget: &mut u32) -> Option<(NodeIndex, NodeIndex)> {
    for x in a {
        *budget = budget.checked_sub(1)?;
        let before = b.partition_point(|y| reach.waits(*x, *y));
        let after = b.partition_point(|y| !reach.waits(*y, *x));
        if before < after {
            return Some((*x, b[before]));
        }
    }
    None
}

/// Whether nothing ever runs beside anything else.
pub(super) fn is_one_row(order: &Order, reach: &Reach, runs: &[Runs]) -> bool {
    let steps: Vec<NodeIndex> = (0..order.machine_of.len()).map(|step| order.step(step)).collect();
    runs.iter().all(|runs| runs.command.is_none()) && reach.is_row(&steps)
}
