//! Rules about what this host has: a machine that is larger than it (0801), and machines that are up at the same time
//! and ask for more memory together (0802).
//!
//! For 0802 two runs that can happen are played through (`rounds`), so what they ask for together is asked for.

use super::order::Order;
use super::rounds::{self, Life};
use super::world::World;
use crate::config::HostResources;
use crate::config::model::Machine;
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// So many machines are labelled, and named; more are counted.
const SHOWN_MAX: usize = 6;

/// Compares the machines with this host.
pub(super) fn check_capacity(world: &World<'_>, order: Option<&Order>, out: &mut Diagnostics) {
    let host = world.files.resources();
    for machine in &world.project.machines {
        check_cpus(machine, &host, out);
        check_memory(machine, &host, out);
    }
    let together = order.and_then(|order| most_memory(world, order, host.memory_mib));
    if let Some(found) = together.and_then(|machines| ask_together(world, &machines, host.memory_mib)) {
        out.push(found);
    }
}

/// Error past twice of what there is.
fn severity(asked: u64, there: u64) -> Severity {
    if asked > there.saturating_mul(2) { Severity::Error } else { Severity::Warning }
}

fn check_cpus(machine: &Machine, host: &HostResources, out: &mut Diagnostics) {
    let Some(cpus) = machine.cpus.as_ref().filter(|cpus| host.cpus > 0 && cpus.value > host.cpus) else { return };
    let (asked, there) = (cpus.value, host.cpus);
    let message = format!("machine `{}` has {asked} CPUs, and this host has {there}", machine.name.value);
    out.push(
        Diagnostic::new(Code(801), severity(asked.into(), there.into()), message)
            .label(cpus.span, "more than there are")
            .help(format!("write `cpus: {there}`, or leave it out for two at most")),
    );
}

fn check_memory(machine: &Machine, host: &HostResources, out: &mut Diagnostics) {
    if !is_too_large(machine, host.memory_mib) {
        return;
    }
    let (asked, there) = (machine.memory_mib.value, host.memory_mib);
    let (asked_shown, there_shown) = (show_size(asked), show_size(there));
    let message =
        format!("machine `{}` has {asked_shown} of memory, and this host gives {there_shown}", machine.name.value);
    let label = if machine.memory_mib.span == machine.name.span {
        format!("{asked_shown} is the default")
    } else {
        "more than there is".to_owned()
    };
    let instead = show_size((there / 2).max(64));
    out.push(
        Diagnostic::new(Code(801), severity(asked, there), message)
            .label(machine.memory_mib.span, label)
            .help(format!("write less, as `memory: {instead}`")),
    );
}

fn is_too_large(machine: &Machine, there: u64) -> bool {
    there > 0 && machine.memory_mib.value > there
}

fn show_size(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{}GiB", mib / 1024) } else { format!("{mib}MiB") }
}

/// The machines that are up together in the round that asks for the most memory, where that is more than there is.
/// Those that are too large alone (0801 was said) are not counted.
fn most_memory<'a>(world: &World<'a>, order: &Order, there: u64) -> Option<Vec<&'a Machine>> {
    let gaps = world.project.gaps;
    let is_known = |machine: &Machine| !machine.gaps.purpose && !machine.gaps.service.depends_on;
    if there == 0 || gaps.steps || gaps.machines || !world.project.machines.iter().all(is_known) {
        return None;
    }
    let lives = rounds::lives(world, order)?;
    let peaks = lives.iter().filter_map(|lives| peak(world, lives, there));
    let (memory, machines) = peaks.max_by_key(|(memory, _)| *memory)?;
    (memory > there).then_some(machines)
}

/// The most memory that is asked for in one round, and by which machines.
fn peak<'a>(world: &World<'a>, lives: &[Life], there: u64) -> Option<(u64, Vec<&'a Machine>)> {
    let machines = || {
        let all = world.project.machines.iter().zip(lives);
        all.filter(|(machine, _)| !is_too_large(machine, there)).filter_map(|(machine, life)| Some((machine, (*life)?)))
    };
    let mut changes: Vec<(usize, i128)> = Vec::new();
    for (machine, (first, last)) in machines() {
        let memory = i128::from(machine.memory_mib.value);
        changes.extend([(first, memory), (last + 1, -memory)]);
    }
    // Of one round, ends come before beginnings.
    changes.sort_unstable();
    let (mut asked, mut most, mut at) = (0, 0, None);
    for (round, change) in changes {
        asked += change;
        if asked > most {
            (most, at) = (asked, Some(round));
        }
    }
    let at = at?;
    let up = machines().filter(|(_, (first, last))| (*first..=*last).contains(&at)).map(|(machine, _)| machine);
    Some((u64::try_from(most).ok()?, up.collect()))
}

fn ask_together(world: &World<'_>, machines: &[&Machine], there: u64) -> Option<Diagnostic> {
    let asked: u64 = machines.iter().map(|machine| machine.memory_mib.value).sum();
    let names = names_of(machines)?;
    let message = format!(
        "{names} may be up at the same time and ask for {} of memory together, and this host gives {}",
        show_size(asked),
        show_size(there),
    );
    let mut spans: Vec<(Span, &Machine)> = Vec::new();
    for machine in machines {
        if spans.iter().all(|(span, _)| *span != machine.memory_mib.span) && spans.len() < SHOWN_MAX {
            spans.push((machine.memory_mib.span, machine));
        }
    }
    spans.sort_by_key(|(span, _)| std::cmp::Reverse(world.project.origins.place(*span)));
    let mut diagnostic = Diagnostic::new(Code(802), Severity::Warning, message);
    for (span, machine) in spans {
        let count = machines.iter().filter(|other| other.memory_mib.span == span).count();
        let size = show_size(machine.memory_mib.value);
        let is_default = span == machine.name.span;
        let text = match (count, is_default) {
            (1, true) => format!("{size}, the default"),
            (1, false) => size,
            (_, true) => format!("{size}, the default, for each of {count} machines"),
            (_, false) => format!("{size} for each of {count} machines"),
        };
        diagnostic = diagnostic.label(span, text);
    }
    Some(diagnostic.help(
        "as many boot as there is memory for, and the others wait: write less `memory:`, or let steps wait, with `needs:`",
    ))
}

/// The machines in a sentence, those of a matrix together.
fn names_of(machines: &[&Machine]) -> Option<String> {
    let kinds: Vec<&[&Machine]> =
        machines.chunk_by(|one, other| one.declared_name() == other.declared_name()).collect();
    let shown = kinds.iter().take(SHOWN_MAX).map(|kind| match kind {
        [one] => format!("`{}`", one.declared_name()),
        many => format!("`{}` ({} of its matrix)", many[0].declared_name(), many.len()),
    });
    let shown: Vec<String> = shown.collect();
    let more = kinds.len() - shown.len();
    let word = if machines.len() == 1 { "machine" } else { "machines" };
    Some(match shown.split_last()? {
        (last, rest) if more == 0 && !rest.is_empty() => format!("{word} {} and {last}", rest.join(", ")),
        _ if more == 0 => format!("{word} {}", shown.join(", ")),
        _ => format!("{word} {} and {more} more", shown.join(", ")),
    })
}
