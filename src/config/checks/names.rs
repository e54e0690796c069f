//! Rules about names that refer to others: machines of steps (0201, 0210), `needs` (0202), ids given twice (0204),
//! machines that nothing uses (0207).

use std::collections::{HashMap, HashSet};

use super::words::list_names;
use super::world::World;
use crate::config::model::{Machine, Needs, Spanned, Step, StepNames};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks every name that a step says.
pub(super) fn check_names(world: &World<'_>, out: &mut Diagnostics) {
    let declared = Declared::new(world);
    let mut usage = Usage::default();
    for step in world.project.steps.iter().chain(&world.project.finally) {
        check_machine_of(world, step, &declared.machines, &mut usage, out);
    }
    check_unused(world, &usage, out);
    check_ids(world, out);
    for step in &world.project.steps {
        check_needs(world, step, &declared, out);
    }
}

/// Which machines are spoken for.
#[derive(Default)]
struct Usage<'a> {
    machines: HashSet<&'a str>,
    /// A step may be meant for any machine.
    is_open: bool,
}

fn check_machine_of<'a>(
    world: &World<'a>,
    step: &'a Step,
    declared: &[&'a str],
    usage: &mut Usage<'a>,
    out: &mut Diagnostics,
) {
    let name = step.machine.value.as_str();
    if name.is_empty() {
        usage.is_open = true;
        if !step.gaps.machine && !world.project.gaps.machines && declared.len() > 1 {
            out.push(left_out(step, &list_names(declared.iter().copied())));
        }
        return;
    }
    if let Some((machine, _)) = world.machine(name) {
        usage.machines.insert(machine.declared_name());
        return;
    }
    if world.project.gaps.machines {
        return;
    }
    let machines = world.project.machines.iter();
    let of_matrix = machines.filter(|machine| machine.combination.is_some() && name.contains('['));
    let of_matrix = of_matrix.map(|machine| machine.name.value.as_str());
    let near = world.nearest.find(name, declared.iter().copied().chain(of_matrix));
    match near {
        Some(near) => {
            usage.machines.insert(near.split('[').next().unwrap_or(near));
        }
        None => usage.is_open = true,
    }
    out.push(unknown_machine(step, near, &list_names(declared.iter().copied())));
}

/// The names that the file says, those of a matrix once.
struct Declared<'a> {
    machines: Vec<&'a str>,
    ids: Vec<&'a str>,
    steps: StepNames<'a>,
}

impl<'a> Declared<'a> {
    fn new(world: &World<'a>) -> Self {
        let project = world.project;
        let mut machines: Vec<&str> = project.machines.iter().map(Machine::declared_name).collect();
        machines.dedup();
        let mut ids: Vec<&str> = project.steps.iter().map(Step::declared_id).collect();
        ids.dedup();
        Self { machines, ids, steps: StepNames::new(&project.steps) }
    }
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
    if named
        .iter()
        .any(|name| world.machine(name).is_none() && !machines.iter().any(|one| one.declared_name() == *name))
    {
        return;
    }
    for machine in machines.iter().filter(|machine| !machine.gaps.purpose && machine.service.command.is_none()) {
        let name = machine.declared_name();
        if usage.machines.contains(name) || named.contains(name) || named.contains(machine.name.value.as_str()) {
            continue;
        }
        out.push(
            Diagnostic::new(
                Code(207),
                Severity::Warning,
                format!("no step uses machine `{name}`, so only `up -d` boots it"),
            )
            .label(machine.name.span, "declared here, used nowhere")
            .help(format!("write a step with `machine: {name}`, give it a `command`, or remove it")),
        );
    }
}

/// Reports ids given twice; what one entry is in the machines of a matrix is one step here.
fn check_ids(world: &World<'_>, out: &mut Diagnostics) {
    let project = world.project;
    let mut first: HashMap<&str, (bool, &Step)> = HashMap::new();
    let all = project.steps.iter().map(|step| (false, step));
    for (is_finally, step) in all.chain(project.finally.iter().map(|step| (true, step))) {
        let id = step.declared_id();
        let (is_earlier_finally, earlier) = *first.entry(id).or_insert((is_finally, step));
        if (is_earlier_finally, earlier.place) == (is_finally, step.place) {
            continue;
        }
        let earlier = &earlier.id;
        out.push(
            Diagnostic::new(Code(204), Severity::Error, format!("two steps have the id `{id}`"))
                .label(step.id.span, "this one comes second")
                .label(earlier.span, "the first is here")
                .help(format!("give one of them another id, for example `{id}-2`")),
        );
    }
}

fn check_needs(world: &World<'_>, step: &Step, declared: &Declared<'_>, out: &mut Diagnostics) {
    let Needs::Explicit(needs) = &step.needs else { return };
    for need in needs.iter().filter(|need| declared.steps.find(&need.value).is_none()) {
        let name = need.value.as_str();
        if world.project.finally.iter().any(|entry| entry.declared_id() == name || entry.id.value == name) {
            out.push(needs_finally(step, need));
            continue;
        }
        if world.project.gaps.steps {
            continue;
        }
        let of_matrix = world.project.steps.iter().filter(|step| step.combination.is_some() && name.contains('['));
        let of_matrix = of_matrix.map(|step| step.id.value.as_str());
        let others = declared.ids.iter().copied().filter(|id| *id != step.declared_id());
        let help = match world.nearest.find(name, others.chain(of_matrix)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if declared.machines.contains(&name) || world.machine(name).is_some() => {
                format!("`{name}` is a machine; `needs` takes ids of steps")
            }
            None => other_steps(step, declared),
        };
        out.push(
            Diagnostic::new(
                Code(202),
                Severity::Error,
                match name {
                    "" => format!("step `{}` needs a step without a name", step.declared_id()),
                    _ => format!("step `{}` needs step `{name}`, which does not exist", step.declared_id()),
                },
            )
            .label(need.span, "no step has this id")
            .help(help),
        );
    }
}

/// What a step may need, for one that names nothing like it.
fn other_steps(step: &Step, declared: &Declared<'_>) -> String {
    // An id given twice (0204) is one name; no more are looked at than are shown.
    let mut others: Vec<&str> = Vec::new();
    for id in declared.ids.iter().copied().filter(|id| *id != step.declared_id()) {
        if others.len() < 7 && !others.contains(&id) {
            others.push(id);
        } else if others.len() == 7 {
            break;
        }
    }
    match others.as_slice() {
        [] => "remove this need: there is no other step".to_owned(),
        [one] => format!("the only other step is `{one}`"),
        _ => format!("the other steps are {}", list_names(others.into_iter())),
    }
}

fn needs_finally(step: &Step, need: &Spanned<String>) -> Diagnostic {
    let message = format!("step `{}` needs `{}`, which stands in `finally`", step.id.value, need.value);
    Diagnostic::new(Code(202), Severity::Error, message)
        .label(need.span, "entries of `finally` run after all steps")
        .help("move that entry to `steps`, or remove this need")
}
