//! Rules about `depends_on`: machines that are not declared (0201), states that cannot come (0209).

use super::words::list_names;
use super::world::World;
use crate::config::model::{Condition, Dependency, Machine, MachineNames, Restart};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks what each machine waits for.
pub(super) fn check_waits(world: &World<'_>, out: &mut Diagnostics) {
    let project = world.project;
    let names = MachineNames::new(&project.machines);
    let has_steps = with_steps(world);
    for machine in &project.machines {
        for dependency in &machine.depends_on {
            match names.find(&dependency.machine.value) {
                None if project.gaps.machines => {}
                None => out.push(unknown(world, machine, dependency)),
                // The machines of a matrix have the same keys.
                Some(found) => {
                    let other = &project.machines[found.start];
                    let has_steps = has_steps.as_ref().is_none_or(|known| known[found].contains(&true));
                    if other.name.value != machine.name.value
                        && let Some(found) = never(machine, dependency, other, has_steps)
                    {
                        out.push(found);
                    }
                }
            }
        }
    }
}

/// Which machines have steps; `None` where a step may be meant for any machine.
fn with_steps(world: &World<'_>) -> Option<Vec<bool>> {
    let project = world.project;
    let mut has_steps = vec![false; project.machines.len()];
    for step in &project.steps {
        has_steps[world.machine_index(&step.machine.value)?] = true;
    }
    (!project.gaps.steps).then_some(has_steps)
}

fn unknown(world: &World<'_>, machine: &Machine, dependency: &Dependency) -> Diagnostic {
    let (name, wanted) = (machine.declared_name(), &dependency.machine.value);
    let mut names: Vec<&str> = world.project.machines.iter().map(Machine::declared_name).collect();
    names.dedup();
    names.retain(|other| *other != name);
    let near = world.nearest.find(wanted, names.iter().copied());
    let is_step = world.project.steps.iter().any(|step| step.declared_id() == wanted);
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if is_step => {
            format!(
                "`{wanted}` is a step; a machine waits for machines, and a step for steps, with `needs: [{wanted}]`"
            )
        }
        None if names.is_empty() => "declare it below `machines`".to_owned(),
        None => format!("declare it below `machines`, or use one of {}", list_names(names.iter().copied())),
    };
    let message = format!("machine `{name}` depends on machine `{wanted}`, which is not declared");
    let text = near.map_or("no machine has this name", |_| "unknown machine");
    Diagnostic::new(Code(201), Severity::Error, message).label(dependency.machine.span, text).help(help)
}

/// Rule 0209.
fn never(machine: &Machine, dependency: &Dependency, other: &Machine, has_steps: bool) -> Option<Diagnostic> {
    let (service, gaps) = (&other.service, other.gaps.service);
    let has_command = service.command.is_some() || gaps.command;
    let condition = dependency.condition_of(service);
    let name = other.declared_name();
    let instead = match (has_command, has_steps) {
        (true, _) => "`condition: started`",
        (false, true) => "`condition: completed`",
        (false, false) => "a `command:` in that machine",
    };
    let (lack, help) = match condition {
        Condition::Healthy if service.healthcheck.is_none() && !gaps.healthcheck => (
            "it has no `healthcheck`",
            match has_command {
                true => format!("write `healthcheck: {{ test: … }}` in machine `{name}`, or wait with {instead}"),
                false if has_steps => format!("`{name}` has no `command`: wait for its steps with {instead}"),
                false => format!("write `command:` and `healthcheck: {{ test: … }}` in machine `{name}`"),
            },
        ),
        Condition::Started if !has_command => (
            "it has no `command`",
            if has_steps {
                format!("wait for its steps with {instead}, or write `command:` in machine `{name}`")
            } else {
                format!("write `command:` in machine `{name}`, or take it out of `depends_on`")
            },
        ),
        Condition::Completed if !has_command && !has_steps => (
            "it has neither steps nor a `command`",
            format!("write a step with `machine: {name}`, or `command:` in that machine"),
        ),
        Condition::Completed
            if !has_steps && service.restart.as_ref().is_some_and(|it| it.value == Restart::Always) =>
        {
            (
                "its command is started again whenever it ends",
                format!("take `restart: always` out of machine `{name}`, or wait with {instead}"),
            )
        }
        _ => return None,
    };
    let said = dependency.condition.as_ref().map_or(dependency.machine.span, |condition| condition.span);
    let message = format!(
        "machine `{}` waits until machine `{name}` {}, which never comes: {lack}",
        machine.declared_name(),
        match condition {
            Condition::Completed => "has completed".to_owned(),
            _ => format!("is {}", condition.word()),
        }
    );
    Some(
        Diagnostic::new(Code(209), Severity::Error, message)
            .label(said, "waited for here")
            .label(other.name.span, lack)
            .help(help),
    )
}
