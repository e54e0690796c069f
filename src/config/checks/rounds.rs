//! A run without limits, played through in rounds: when each machine is up, if every step runs as early, or as late, as
//! the order lets it.
//!
//! Both are runs that can happen. A machine is up from its first step, or its start as a service, to its last step and
//! the last of those who wait for it. The cost is one walk over the order.

use super::order::Order;
use super::world::World;
use crate::config::model::{Condition, MachineNames, Project};

/// The rounds in which a machine is up, the first and the last; none where it never boots.
pub(super) type Life = Option<(usize, usize)>;

/// Who waits for whom: steps, then the start of each machine, then the end of the steps of each.
struct Waits {
    steps: usize,
    machines: usize,
    waits_for: Vec<Vec<usize>>,
}

impl Waits {
    fn new(world: &World<'_>, order: &Order) -> Self {
        let project = world.project;
        let (steps, machines) = (project.steps.len(), project.machines.len());
        let mut waits = Self { steps, machines, waits_for: vec![Vec::new(); steps + 2 * machines] };
        for edge in order.graph.edge_indices() {
            let Some((from, to)) = order.graph.edge_endpoints(edge) else { continue };
            if from.index() < steps && to.index() < steps {
                waits.waits_for[from.index()].push(to.index());
            }
        }
        for (step, said) in project.steps.iter().enumerate() {
            if let Some(machine) = world.machine_index(&said.machine.value) {
                let (start, done) = (waits.start(machine), waits.done(machine));
                waits.waits_for[step].push(start);
                waits.waits_for[done].push(step);
            }
        }
        waits.add_dependencies(project);
        waits
    }

    fn add_dependencies(&mut self, project: &Project) {
        let names = MachineNames::new(&project.machines);
        for (machine, said) in project.machines.iter().enumerate() {
            for dependency in &said.depends_on {
                for other in names.find(&dependency.machine.value).into_iter().flatten() {
                    let is_done = dependency.condition_of(&project.machines[other].service) == Condition::Completed;
                    let (start, state) =
                        (self.start(machine), if is_done { self.done(other) } else { self.start(other) });
                    self.waits_for[start].push(state);
                }
            }
        }
    }

    fn start(&self, machine: usize) -> usize {
        self.steps + machine
    }

    fn done(&self, machine: usize) -> usize {
        self.steps + self.machines + machine
    }

    /// All of them, each after what it waits for; `None` where there is a cycle.
    fn sorted(&self) -> Option<Vec<usize>> {
        let mut left: Vec<usize> = self.waits_for.iter().map(Vec::len).collect();
        let mut waited_by: Vec<Vec<usize>> = vec![Vec::new(); left.len()];
        for (node, others) in self.waits_for.iter().enumerate() {
            others.iter().for_each(|other| waited_by[*other].push(node));
        }
        let mut sorted: Vec<usize> = (0..left.len()).filter(|node| left[*node] == 0).collect();
        let mut at = 0;
        while let Some(node) = sorted.get(at).copied() {
            at += 1;
            for waiting in &waited_by[node] {
                left[*waiting] -= 1;
                if left[*waiting] == 0 {
                    sorted.push(*waiting);
                }
            }
        }
        (sorted.len() == left.len()).then_some(sorted)
    }

    /// Only a step takes a round.
    fn length(&self, node: usize) -> usize {
        usize::from(node < self.steps)
    }

    /// The round of each, the first in which it can be.
    fn early(&self, sorted: &[usize]) -> Vec<usize> {
        let mut rounds = vec![0; sorted.len()];
        for node in sorted {
            let after = self.waits_for[*node].iter().map(|other| rounds[*other] + self.length(*other)).max();
            rounds[*node] = after.unwrap_or(0);
        }
        rounds
    }

    /// The round of each, the last in which it can be without making the run longer.
    fn late(&self, sorted: &[usize], end: usize) -> Vec<usize> {
        let mut rounds: Vec<usize> = (0..sorted.len()).map(|node| end - self.length(node)).collect();
        for node in sorted.iter().rev() {
            for other in &self.waits_for[*node] {
                rounds[*other] = rounds[*other].min(rounds[*node] - self.length(*other));
            }
        }
        rounds
    }
}

/// When each machine is up in two runs that can happen; none where the order has a cycle.
pub(super) fn lives(world: &World<'_>, order: &Order) -> Option<[Vec<Life>; 2]> {
    let waits = Waits::new(world, order);
    let sorted = waits.sorted()?;
    let early = waits.early(&sorted);
    let end = (0..waits.steps).map(|step| early[step] + 1).max().unwrap_or(0);
    let late = waits.late(&sorted, end);
    let run = Run { waits: &waits, sorted: &sorted, early: &early, end };
    Some([&early, &late].map(|rounds| lives_of(world, &run, rounds)))
}

/// What both runs have in common.
struct Run<'r> {
    waits: &'r Waits,
    sorted: &'r [usize],
    early: &'r [usize],
    end: usize,
}

fn lives_of(world: &World<'_>, run: &Run<'_>, rounds: &[usize]) -> Vec<Life> {
    let Run { waits, sorted, early, end } = *run;
    let Project { steps, finally, machines, .. } = world.project;
    let mut lives: Vec<Life> = vec![None; machines.len()];
    // Entries of `finally` run one after another at the end.
    let all = steps.iter().zip(rounds.iter().copied()).chain(finally.iter().zip(end..));
    for (step, round) in all {
        let Some(index) = world.machine_index(&step.machine.value) else { continue };
        extend(&mut lives[index], round);
    }
    let names = MachineNames::new(machines);
    // Who waits for a machine comes after it, so in this order the lives of those who need it are known.
    let starts = sorted.iter().rev().filter_map(|node| node.checked_sub(waits.steps).filter(|at| *at < waits.machines));
    let mut is_needed = vec![false; machines.len()];
    for machine in starts {
        let said = &machines[machine];
        if said.service.command.is_some() {
            // One that nobody waits for is there from the beginning to the end.
            let start = if is_needed[machine] { rounds } else { early }[waits.start(machine)];
            extend(&mut lives[machine], start);
            if !is_needed[machine] {
                extend(&mut lives[machine], end.saturating_sub(1).max(start));
            }
        }
        let Some((_, last)) = lives[machine] else { continue };
        for dependency in &said.depends_on {
            for other in names.find(&dependency.machine.value).into_iter().flatten() {
                if dependency.condition_of(&machines[other].service) != Condition::Completed {
                    is_needed[other] = true;
                    extend(&mut lives[other], last);
                }
            }
        }
    }
    lives
}

fn extend(life: &mut Life, round: usize) {
    let (first, last) = life.unwrap_or((round, round));
    *life = Some((round.min(first), round.max(last)));
}
