//! Rules about names that refer to others: machines of steps (0201, 0210), `needs` (0202), ids given twice (0204),
//! machines that nothing uses (0207).

use std::collections::{HashMap, HashSet};

use super::words::list_names;
use super::world::World;
use crate::config::model::{Needs, Spanned, Step};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks every name that a step says.
pub(super) fn check_names(world: &World<'_>, out: &mut Diagnostics) {
    let mut usage = Usage::default();
    for step in world.project.steps.iter().chain(&world.project.finally) {
        check_machine_of(world, step, &mut usage, out);
    }
    check_unused(world, &usage, out);
    let first_steps = check_ids(world, out);
    for step in &world.project.steps {
        check_needs(world, step, &first_steps, out);
    }
}

/// Which machines are spoken for.
#[derive(Default)]
struct Usage<'a> {
    machines: HashSet<&'a str>,
    /// A step may be meant for any machine.
    is_open: bool,
}

fn check_machine_of<'a>(world: &World<'a>, step: &'a Step, usage: &mut Usage<'a>, out: &mut Diagnostics) {
    let name = step.machine.value.as_str();
    let names = || world.project.machines.iter().map(|machine| machine.name.value.as_str());
    if name.is_empty() {
        usage.is_open = true;
        if !step.gaps.machine && !world.project.gaps.machines && names().len() > 1 {
            out.push(left_out(step, &list_names(names())));
        }
        return;
    }
    if world.machine(name).is_some() {
        usage.machines.insert(name);
        return;
    }
    if world.project.gaps.machines {
        return;
    }
    let near = world.nearest.find(name, names());
    match near {
        Some(near) => {
            usage.machines.insert(near);
        }
        None => usage.is_open = true,
    }
    out.push(unknown_machine(step, near, &list_names(names())));
}

fn left_out(step: &Step, names: &str) -> Diagnostic {
    let message = format!("step `{}` does not say in which machine it runs, and there are several", step.id.value);
    Diagnostic::new(Code(210), Severity::Error, message)
        .label(step.machine.span, "`machine` is missing here")
        .help(format!("write `machine: NAME`; the machines are {names}"))
}

fn unknown_machine(step: &Step, near: Option<&str>, names: &str) -> Diagnostic {
    let message = format!("step `{}` runs in machine `{}`, which is not declared", step.id.value, step.machine.value);
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "declare it below `machines`".to_owned(),
        None => format!("declare it below `machines`, or use one of {names}"),
    };
    let diagnostic = Diagnostic::new(Code(201), Severity::Error, message);
    let diagnostic =
        diagnostic.label(step.machine.span, near.map_or("no machine has this name", |_| "unknown machine"));
    diagnostic.help(help)
}

fn check_unused(world: &World<'_>, usage: &Usage<'_>, out: &mut Diagnostics) {
    if usage.is_open || world.project.gaps.steps || world.project.gaps.machines {
        return;
    }
    let machines = &world.project.machines;
    let named = machines.iter().flat_map(|machine| {
        let waited_for = machine.depends_on.iter().map(|dependency| dependency.machine.value.as_str());
        waited_for.chain(machine.network.links.iter().map(|link| link.machine.value.as_str()))
    });
    // What is waited for and does nothing is told there (0209), and what is linked to (0703).
    let named: HashSet<&str> = named.collect();
    for machine in machines.iter().filter(|machine| !machine.gaps.purpose && machine.service.command.is_none()) {
        let name = machine.name.value.as_str();
        if usage.machines.contains(name) || named.contains(name) {
            continue;
        }
        out.push(
            Diagnostic::new(Code(207), Severity::Warning, format!("no step uses machine `{name}`, so it never boots"))
                .label(machine.name.span, "declared here, used nowhere")
                .help(format!("write a step with `machine: {name}`, or remove the machine")),
        );
    }
}

/// Reports ids given twice and returns the first step of each id of `steps`.
fn check_ids<'a>(world: &World<'a>, out: &mut Diagnostics) -> HashMap<&'a str, usize> {
    let project = world.project;
    let mut first: HashMap<&str, &Spanned<String>> = HashMap::new();
    let mut first_steps = HashMap::new();
    for (index, step) in project.steps.iter().chain(&project.finally).enumerate() {
        let id = step.id.value.as_str();
        if index < project.steps.len() {
            first_steps.entry(id).or_insert(index);
        }
        let earlier = *first.entry(id).or_insert(&step.id);
        if std::ptr::eq(earlier, &step.id) {
            continue;
        }
        out.push(
            Diagnostic::new(Code(204), Severity::Error, format!("two steps have the id `{id}`"))
                .label(step.id.span, "this one comes second")
                .label(earlier.span, "the first is here")
                .help(format!("give one of them another id, for example `{id}-2`")),
        );
    }
    first_steps
}

fn check_needs(world: &World<'_>, step: &Step, known: &HashMap<&str, usize>, out: &mut Diagnostics) {
    let Needs::Explicit(needs) = &step.needs else { return };
    for need in needs.iter().filter(|need| !known.contains_key(need.value.as_str())) {
        let name = need.value.as_str();
        if world.project.finally.iter().any(|entry| entry.id.value == name) {
            out.push(needs_finally(step, need));
            continue;
        }
        if world.project.gaps.steps {
            continue;
        }
        let ids = || world.project.steps.iter().map(|step| step.id.value.as_str());
        let help = match world.nearest.find(name, ids().filter(|id| *id != step.id.value)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if world.machine(name).is_some() => format!("`{name}` is a machine; `needs` takes ids of steps"),
            None => format!("the steps are {}", list_names(ids())),
        };
        out.push(
            Diagnostic::new(
                Code(202),
                Severity::Error,
                format!("step `{}` needs step `{name}`, which does not exist", step.id.value),
            )
            .label(need.span, "no step has this id")
            .help(help),
        );
    }
}

fn needs_finally(step: &Step, need: &Spanned<String>) -> Diagnostic {
    let message = format!("step `{}` needs `{}`, which stands in `finally`", step.id.value, need.value);
    Diagnostic::new(Code(202), Severity::Error, message)
        .label(need.span, "entries of `finally` run after all steps")
        .help("move that entry to `steps`, or remove this need")
}
