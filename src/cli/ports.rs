//! Published ports of a run: taken before anything boots, and said.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::exit::{Class, Failure};
use super::printer::Printer;
use crate::net::{self, Published};
use crate::plan::Plan;

/// Listens on the ports of all machines of the plan, and writes into it which were taken where any would do.
pub(crate) fn publish(plan: &mut Plan, printer: &Printer) -> Result<Arc<Published>, Failure> {
    raise_for(plan);
    let published = net::publish(&mut plan.machines).map_err(|error| {
        let help = error.help(|address| {
            let holder = crate::host::holder(address)?;
            Some(format!("`{}` (process {})", holder.name, holder.pid))
        });
        Failure::new(Class::World, error).help(help)
    })?;
    for machine in &plan.machines {
        for port in &machine.ports {
            let address = SocketAddr::from((port.address, port.host));
            printer.note(&format!("port: {address} reaches port {} of machine `{}`\n", port.guest, machine.name));
        }
    }
    Ok(Arc::new(published))
}

/// Raises the limit of open files where a plan has ports or links.
pub(crate) fn raise_for(plan: &Plan) {
    if plan.machines.iter().any(|machine| !machine.ports.is_empty() || !machine.links.is_empty()) {
        raise_open_files();
    }
}

/// Each connection has a descriptor; the usual limit of 1024 is for programs that use select(2).
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised there are fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
