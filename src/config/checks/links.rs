//! The rule about `links` (0703): to a machine that is not there, is no service, or is the machine itself.

use super::words::list_names;
use super::world::World;
use crate::config::model::{Link, Machine, MachineNames};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks every link.
pub(super) fn check_links(world: &World<'_>, out: &mut Diagnostics) {
    let names = MachineNames::new(&world.project.machines);
    for machine in &world.project.machines {
        for link in &machine.network.links {
            let name = link.machine.value.as_str();
            if name == machine.name.value || name == machine.declared_name() {
                out.push(to_itself(machine, link));
                continue;
            }
            let found = names.find(name).and_then(|found| world.project.machines.get(found.start));
            match found {
                Some(other) if is_service(other) => {}
                Some(other) => out.push(no_service(machine, link, other)),
                None if world.project.gaps.machines => {}
                None => out.push(unknown(world, machine, link)),
            }
        }
    }
}

/// Whether something is started in it, or may be.
fn is_service(machine: &Machine) -> bool {
    machine.gaps.purpose || machine.gaps.service.command || machine.service.command.is_some()
}

fn error(link: &Link, message: String, label: &str) -> Diagnostic {
    Diagnostic::new(Code(703), Severity::Error, message).label(link.machine.span, label)
}

fn to_itself(machine: &Machine, link: &Link) -> Diagnostic {
    let message = format!("machine `{}` is linked to itself", machine.name.value);
    let help = format!("take it out: inside, the port is reached as `localhost:{}`", link.port);
    error(link, message, "this is the machine itself").help(help)
}

fn no_service(machine: &Machine, link: &Link, other: &Machine) -> Diagnostic {
    let name = other.declared_name();
    let message = format!("machine `{}` is linked to `{name}`, which is not a service", machine.name.value);
    error(link, message, "nothing is started there that could listen")
        .label(other.name.span, "declared without `command`")
        .help(format!("give `{name}` a `command:`, or take the link out"))
}

fn unknown(world: &World<'_>, machine: &Machine, link: &Link) -> Diagnostic {
    let name = &link.machine.value;
    let machines = world.project.machines.iter();
    let mut others: Vec<&Machine> = machines.filter(|other| other.declared_name() != machine.declared_name()).collect();
    // Of a matrix one is enough: they stand together, and have one name.
    others.dedup_by_key(|other| other.declared_name());
    let services: Vec<&str> =
        others.iter().filter(|other| is_service(other)).map(|other| other.declared_name()).collect();
    let near = world.nearest.find(name, others.iter().map(|other| other.declared_name()));
    let help = match near {
        Some(near) => format!("did you mean `{near}:{}`?", link.port),
        None if services.is_empty() => {
            format!("declare it below `machines`, with a `command:`, as `{name}: {{ command: […] }}`")
        }
        None => format!("the services are {}", list_names(services.into_iter())),
    };
    let message = format!("machine `{}` is linked to `{name}`, which is not declared", machine.name.value);
    error(link, message, "no machine has this name").help(help)
}
