//! What waits for what, read from the plan and how far the run is: the same reasons by which the schedule of a run
//! starts things, as far as events tell them.
//!
//! Deliberately not here: any decision; a reason that cannot be known is not invented.

use super::services;
use super::state::{RunView, StepPhase};
use crate::event::MachinePhase;
use crate::report::words::names;

/// What a step that has not started waits for, in words that go on after "waits for".
pub(super) fn step_waits(view: &RunView, step: usize) -> String {
    let Some(plan) = view.plan.steps.get(step) else { return String::new() };
    if plan.is_finally {
        return if has_open_steps(view) { "the end of all steps".to_owned() } else { before_finally(view, step) };
    }
    let open = open_needs(view, step);
    if !open.is_empty() {
        return names(&open);
    }
    let machine = view.machine(&plan.machine);
    if let Some(other) = machine.and_then(|machine| view.steps_of(machine).find(|other| view.is_running(*other))) {
        return format!("{}, which runs on {}", view.plan.steps[other].id, plan.machine);
    }
    let phase = machine.and_then(|machine| view.machines.get(machine)).and_then(|machine| machine.phase);
    match phase {
        Some(MachinePhase::Ready) if are_places_taken(view) => "a free place".to_owned(),
        Some(MachinePhase::Ready) => "its start".to_owned(),
        _ => format!("machine {}", plan.machine),
    }
}

/// What a machine without a phase waits for.
pub(super) fn machine_waits(view: &RunView, machine: usize) -> String {
    let Some(plan) = view.plan.machines.get(machine) else { return String::new() };
    let awaits = &view.machines[machine].awaits;
    if !awaits.is_empty() {
        return services::awaited(view, awaits);
    }
    let waiting: Vec<usize> = view.steps_of(machine).filter(|step| view.is_waiting(*step)).collect();
    let could_start =
        waiting.iter().any(|step| !view.plan.steps[*step].is_finally && open_needs(view, *step).is_empty());
    let first = waiting.first().copied();
    if !could_start && let Some(first) = first {
        return step_waits(view, first);
    }
    let fetching = |other: &usize| *other != machine && view.machines[*other].news.is_some();
    if let Some(other) = (0..view.machines.len()).find(fetching) {
        return format!("the kernel, as {} does", view.plan.machines[other].name);
    }
    let live = |other: &usize| view.machines[*other].is_live();
    let claimed: u64 = (0..view.machines.len()).filter(live).map(|other| view.plan.machines[other].memory_mib).sum();
    if claimed > 0 && claimed.saturating_add(plan.memory_mib) > view.plan.limits.memory_mib {
        return "memory that other machines have".to_owned();
    }
    if are_places_taken(view) {
        return "a free place".to_owned();
    }
    "its kernel and shares".to_owned()
}

/// What a ready machine on which nothing runs waits for.
pub(super) fn idle_waits(view: &RunView, machine: usize) -> Option<String> {
    let mut waiting = view.steps_of(machine).filter(|step| view.is_waiting(*step));
    waiting.next().map(|step| step_waits(view, step))
}

fn open_needs(view: &RunView, step: usize) -> Vec<&str> {
    let needs = view.plan.steps[step].needs.iter();
    let is_open =
        |need: &&String| view.step(need).is_some_and(|place| !matches!(view.steps[place].phase, StepPhase::Done(_)));
    needs.filter(is_open).map(String::as_str).collect()
}

fn has_open_steps(view: &RunView) -> bool {
    let is_open = |(step, plan): (&super::state::StepView, &crate::plan::StepPlan)| {
        !plan.is_finally && !matches!(step.phase, StepPhase::Done(_))
    };
    view.steps.iter().zip(&view.plan.steps).any(is_open)
}

/// Entries of `finally` come one after the other.
fn before_finally(view: &RunView, step: usize) -> String {
    let open = |other: &usize| view.is_running(*other) || view.is_waiting(*other);
    match (0..step).rev().find(|other| view.plan.steps[*other].is_finally && open(other)) {
        Some(other) => view.plan.steps[other].id.clone(),
        None => format!("machine {}", view.plan.steps[step].machine),
    }
}

fn are_places_taken(view: &RunView) -> bool {
    (0..view.steps.len()).filter(|step| view.is_running(*step)).count() >= view.places
}
