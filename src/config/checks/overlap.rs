//! The rule about two machines that write the same host folders at the same time (0108).
//!
//! Two steps may run at the same time where neither waits for the other, directly or through others. Each mount walks
//! up its own path to find the writable mounts that hold it; only for those pairs are steps compared. A reader above a
//! writer is silent: a whole project that is read while a part of it is written is what pipelines do.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use petgraph::algo::toposort;

use super::order::Order;
use super::overlap_matrix;
use super::world::{Sourced, World};
use crate::config::model::{Machine, Mount, Needs, Step, StepNames};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// So many pairs of steps are compared for one file: past that the rule is silent rather than slow.
const COMPARISONS_MAX: u32 = 2_000_000;

/// A mount of a machine that has steps.
#[derive(Clone, Copy)]
struct Use<'a> {
    machine: &'a Machine,
    machine_index: usize,
    mount: Sourced<'a>,
    real: &'a Path,
}

/// Compares the mounts of machines whose steps may run at the same time.
pub(super) fn check_overlap(world: &World<'_>, order: &Order, out: &mut Diagnostics) {
    let Some(reach) = Reach::new(order).filter(|_| is_order_known(world)) else { return };
    if reach.is_chain {
        return;
    }
    let steps = steps_by_machine(world);
    let uses = collect(world, &steps);
    let mut writers: HashMap<&Path, Vec<usize>> = HashMap::new();
    for (index, found) in uses.iter().enumerate().filter(|(_, found)| found.mount.is_written()) {
        writers.entry(found.real).or_default().push(index);
    }
    let mut budget = COMPARISONS_MAX;
    for (index, inner) in uses.iter().enumerate() {
        for above in inner.real.ancestors() {
            let others = writers.get(above).into_iter().flatten().copied();
            // Each pair of writers of one path is looked at once.
            let others = others.filter(|other| above != inner.real || !inner.mount.is_written() || *other < index);
            let mut others = others
                .map(|other| &uses[other])
                .filter(|outer| outer.machine_index != inner.machine_index && !is_told_otherwise(world, inner, outer));
            let conflict =
                others.find_map(|outer| Some((outer, reach.unordered_pair(&steps, inner, outer, &mut budget)?)));
            if let Some((outer, pair)) = conflict {
                let of_matrix = is_one_of_matrix(inner, outer)
                    .then(|| overlap_matrix::report(world, inner.machine, inner.mount))
                    .flatten();
                out.push(of_matrix.unwrap_or_else(|| report(world, (inner, outer), pair)));
                break;
            }
        }
    }
}

/// Whether two uses are one mount of the file, in two machines of a matrix.
fn is_one_of_matrix(a: &Use<'_>, b: &Use<'_>) -> bool {
    a.mount.mount.span == b.mount.mount.span && overlap_matrix::of_one_matrix(a.machine, b.machine).is_some()
}

/// Whether two mounts of a matrix meet only because the outer one is the same in both machines, which is told by itself.
fn is_told_otherwise(world: &World<'_>, inner: &Use<'_>, outer: &Use<'_>) -> bool {
    let is_same = |mount: &&Mount| mount.span == outer.mount.mount.span;
    overlap_matrix::of_one_matrix(inner.machine, outer.machine).is_some()
        && inner.mount.mount.span != outer.mount.mount.span
        && inner
            .machine
            .mounts
            .iter()
            .find(is_same)
            .is_some_and(|own| world.source(own).is_some_and(|own| own.real == outer.real))
}

/// Whether every need could be read and leads to one step: else it was told, and that steps do not wait only follows.
fn is_order_known(world: &World<'_>) -> bool {
    let steps = &world.project.steps;
    let ids: HashSet<&str> = steps.iter().map(|step| step.id.value.as_str()).collect();
    let names = StepNames::new(steps);
    let is_met = |step: &Step| match &step.needs {
        Needs::Above => true,
        Needs::Explicit(needs) => needs.iter().all(|need| names.find(&need.value).is_some()),
    };
    let is_each_known = ids.len() == steps.len() && !world.project.gaps.steps;
    is_each_known && steps.iter().all(|step| !step.gaps.needs && is_met(step))
}

/// Steps of each machine, by number.
fn steps_by_machine(world: &World<'_>) -> HashMap<usize, Vec<usize>> {
    let mut steps: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, step) in world.project.steps.iter().enumerate() {
        if let Some(machine) = world.machine_index(&step.machine.value) {
            steps.entry(machine).or_default().push(index);
        }
    }
    steps
}

fn collect<'a>(world: &'a World<'a>, steps: &HashMap<usize, Vec<usize>>) -> Vec<Use<'a>> {
    let machines = world.project.machines.iter().enumerate().filter(|(index, _)| steps.contains_key(index));
    machines
        .flat_map(|(machine_index, machine)| machine.mounts.iter().map(move |mount| (machine_index, machine, mount)))
        .filter_map(|(machine_index, machine, mount)| {
            let mount = world.sourced(mount)?;
            Some(Use { machine, machine_index, mount, real: mount.found.real.as_path() })
        })
        .collect()
}

/// `uses` are the inner one and the writer that holds it, `steps` a step of each.
fn report(world: &World<'_>, uses: (&Use<'_>, &Use<'_>), steps: (usize, usize)) -> Diagnostic {
    let (mut first, mut second, mut steps) = (uses.1, uses.0, (steps.1, steps.0));
    if world.project.origins.is_later(first.mount.source.span, second.mount.source.span) {
        (first, second, steps) = (second, first, (steps.1, steps.0));
    }
    let is_of_one_matrix = overlap_matrix::of_one_matrix(first.machine, second.machine).is_some();
    let name = |machine: &'_ Machine| {
        if is_of_one_matrix { machine.name.value.clone() } else { machine.declared_name().to_owned() }
    };
    let (a, b) = (name(first.machine), name(second.machine));
    let shown = world.show_source(uses.0.mount.source);
    let severity = if uses.0.mount.is_written() { Severity::Error } else { Severity::Warning };
    let what = match severity {
        Severity::Error => format!("machines `{a}` and `{b}` may write `{shown}` at the same time"),
        _ => format!("one of the machines `{a}` and `{b}` may read `{shown}` while the other writes it"),
    };
    let id = |step: usize| world.project.steps[step].declared_id();
    let (x, y) = (id(steps.0), id(steps.1));
    let text = |found: &Use<'_>| {
        let verb = if found.mount.is_written() { "written" } else { "read" };
        format!("{verb} by machine `{}` here", name(found.machine))
    };
    let (earlier, later) = if steps.0 < steps.1 { (x, y) } else { (y, x) };
    Diagnostic::new(Code(108), severity, format!("{what}: neither of the steps `{x}` and `{y}` waits for the other"))
        .label(second.mount.source.span, text(second))
        .label(first.mount.source.span, text(first))
        .help(format!("let step `{later}` wait, with `needs: [{earlier}]`, or give each machine a folder of its own"))
}

/// Which steps wait for which, through others too.
struct Reach {
    /// A row of bits a step: the steps it waits for.
    rows: Vec<Vec<u64>>,
    /// Whether every two steps are ordered.
    is_chain: bool,
}

impl Reach {
    /// None where the order has a cycle.
    fn new(order: &Order) -> Option<Self> {
        let sorted = toposort(order, None).ok()?;
        let width = order.node_count().div_ceil(64);
        // Edges lead to what is waited for, so the first in the sorted order waits the most.
        let is_chain = sorted.windows(2).all(|pair| order.contains_edge(pair[0], pair[1]));
        if is_chain {
            return Some(Self { rows: Vec::new(), is_chain });
        }
        let mut rows = vec![vec![0_u64; width]; order.node_count()];
        for node in sorted.into_iter().rev() {
            for needed in order.neighbors(node) {
                let (at, needed_at) = (node.index(), needed.index());
                rows[at][needed_at / 64] |= 1 << (needed_at % 64);
                let needed_row = rows[needed_at].clone();
                for (word, other) in rows[at].iter_mut().zip(needed_row) {
                    *word |= other;
                }
            }
        }
        Some(Self { rows, is_chain })
    }

    fn is_ordered(&self, a: usize, b: usize) -> bool {
        let waits = |from: usize, to: usize| self.rows[from][to / 64] & (1 << (to % 64)) != 0;
        a == b || waits(a, b) || waits(b, a)
    }

    /// A step of each machine, such that neither waits for the other.
    fn unordered_pair(
        &self,
        steps: &HashMap<usize, Vec<usize>>,
        a: &Use<'_>,
        b: &Use<'_>,
        budget: &mut u32,
    ) -> Option<(usize, usize)> {
        for x in &steps[&a.machine_index] {
            for y in &steps[&b.machine_index] {
                *budget = budget.checked_sub(1)?;
                if !self.is_ordered(*x, *y) {
                    return Some((*x, *y));
                }
            }
        }
        None
    }
}
