//! The rule about two machines that write the same host folders at the same time (0108).
//!
//! Two steps may run at the same time where neither waits for the other, directly or through others; a command runs
//! beside all that its machine's boot does not wait for. Each mount walks up its own path to find the writable mounts
//! that hold it; only for those pairs are runs compared. A reader above a writer is silent: a whole project that is read
//! while a part of it is written is what pipelines do.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use petgraph::graph::NodeIndex;

use super::apart::Apart;
use super::order::{Order, Stage};
use super::reach::Reach;
use super::runs::{Runs, beside, is_one_row, runs};
use super::world::{Sourced, World};
use super::{overlap_matrix, overlap_volumes};
use crate::config::model::{Machine, MachineNames, Mount, Needs, Step, StepNames};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// So many pairs of runs are compared for one file: past that the rule is silent rather than slow.
const COMPARISONS_MAX: u32 = 2_000_000;

/// A mount of a machine in which something runs.
#[derive(Clone, Copy)]
struct Use<'a> {
    machine: &'a Machine,
    machine_index: usize,
    mount: Sourced<'a>,
    real: &'a Path,
}

/// Compares the mounts of machines whose steps or commands may run at the same time.
pub(super) fn check_overlap(world: &World<'_>, order: &Order, out: &mut Diagnostics) {
    let known = Some(()).filter(|()| is_order_known(world));
    let Some(reach) = known.and_then(|()| Reach::new(&order.graph)) else { return };
    overlap_volumes::check_volume_users(world, order, &reach, out);
    let runs = runs(world, order, &reach);
    if is_one_row(order, &reach, &runs) {
        return;
    }
    let apart = Apart::new(world, order, &reach, &runs);
    let uses = collect(world, &runs);
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
            let conflict = others.find_map(|outer| {
                let (a, b) = (&runs[inner.machine_index], &runs[outer.machine_index]);
                Some((outer, beside(&reach, a, b, &mut budget)?))
            });
            if let Some((outer, pair)) = conflict {
                let of_matrix = is_one_of_matrix(inner, outer)
                    .then(|| overlap_matrix::report(world, inner.machine, inner.mount))
                    .flatten();
                out.push(of_matrix.unwrap_or_else(|| report(world, (inner, outer), stages(order, pair), &apart)));
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
    let machines = MachineNames::new(&world.project.machines);
    let is_waited_for = |machine: &Machine| {
        let mut waits = machine.depends_on.iter();
        !machine.gaps.service.depends_on && waits.all(|wait| machines.find(&wait.machine.value).is_some())
    };
    is_each_known
        && steps.iter().all(|step| !step.gaps.needs && is_met(step))
        && world.project.machines.iter().all(is_waited_for)
}

fn collect<'a>(world: &'a World<'a>, runs: &[Runs]) -> Vec<Use<'a>> {
    let machines = world.project.machines.iter().enumerate().filter(|(index, _)| !runs[*index].is_empty());
    machines
        .flat_map(|(machine_index, machine)| machine.mounts.iter().map(move |mount| (machine_index, machine, mount)))
        .filter_map(|(machine_index, machine, mount)| {
            let mount = world.sourced(mount)?;
            Some(Use { machine, machine_index, mount, real: mount.found.real.as_path() })
        })
        .collect()
}

fn stages(order: &Order, pair: (NodeIndex, NodeIndex)) -> (Stage, Stage) {
    (order.graph[pair.0], order.graph[pair.1])
}

/// `uses` are the inner one and the writer that holds it, `pair` a run of each.
fn report(world: &World<'_>, uses: (&Use<'_>, &Use<'_>), pair: (Stage, Stage), apart: &Apart<'_>) -> Diagnostic {
    let (mut first, mut second, mut pair) = (uses.1, uses.0, (pair.1, pair.0));
    if world.project.origins.is_later(first.mount.source.span, second.mount.source.span) {
        (first, second, pair) = (second, first, (pair.1, pair.0));
    }
    let is_of_one_matrix = overlap_matrix::of_one_matrix(first.machine, second.machine).is_some();
    let name = |machine: &'_ Machine| {
        if is_of_one_matrix { machine.name.value.clone() } else { machine.declared_name().to_owned() }
    };
    let (a, b) = (name(first.machine), name(second.machine));
    let shown = world.show_source(uses.0.mount.source);
    let is_read = !uses.0.mount.is_written();
    let what = if is_read {
        format!("one of the machines `{a}` and `{b}` may read `{shown}` while the other writes it")
    } else {
        format!("machines `{a}` and `{b}` may write `{shown}` at the same time")
    };
    let text = |found: &Use<'_>| {
        let verb = if found.mount.is_written() { "written" } else { "read" };
        format!("{verb} by machine `{}` here", name(found.machine))
    };
    let severity = if is_read { Severity::Warning } else { Severity::Error };
    let machines = (first.machine_index, second.machine_index);
    Diagnostic::new(Code(108), severity, format!("{what}: {}", why(world, pair)))
        .label(second.mount.source.span, text(second))
        .label(first.mount.source.span, text(first))
        .help(apart.help(machines, pair))
}

/// What of the two runs at the same time.
fn why(world: &World<'_>, pair: (Stage, Stage)) -> String {
    let project = world.project;
    let name = |machine: usize| project.machines[machine].declared_name();
    match pair {
        (Stage::Step(x), Stage::Step(y)) => format!(
            "neither of the steps `{}` and `{}` waits for the other",
            project.steps[x].declared_id(),
            project.steps[y].declared_id()
        ),
        (Stage::Step(step), Stage::Command(machine)) | (Stage::Command(machine), Stage::Step(step)) => {
            format!("the command of `{}` runs beside the step `{}`", name(machine), project.steps[step].declared_id())
        }
        _ => "their commands run side by side".to_owned(),
    }
}
