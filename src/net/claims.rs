//! For whom connections of a machine are: those who come to its published ports, its own links, and each machine that is
//! linked to it. Deliberately not here: how many each of them may have (`virtio::vsock`).

use crate::guest::Claim;
use crate::plan::MachinePlan;

/// Numbers of those who ask: ports, own links, and from here on the machines by their place.
const PORTS: u32 = 0;
const OWN_LINKS: u32 = 1;
const FIRST_MACHINE: u32 = 2;

/// Of connections to the published ports of a machine, by its place in the plan.
pub fn ports_claim(machines: &[MachinePlan], machine: usize) -> Claim {
    Claim { by: PORTS, among: among(machines, machine) }
}

/// Of connections that a machine makes itself.
pub fn own_links_claim(machines: &[MachinePlan], machine: usize) -> Claim {
    Claim { by: OWN_LINKS, among: among(machines, machine) }
}

/// Of connections that a machine gets from another one.
pub fn link_claim(machines: &[MachinePlan], machine: usize, from: usize) -> Claim {
    let place = u32::try_from(from).unwrap_or(u32::MAX);
    Claim { by: FIRST_MACHINE.saturating_add(place), among: among(machines, machine) }
}

fn among(machines: &[MachinePlan], machine: usize) -> u32 {
    let Some(own) = machines.get(machine) else { return 1 };
    let is_linked = |other: &&MachinePlan| other.links.iter().any(|link| link.machine == own.name);
    let linked = machines.iter().filter(is_linked).count();
    let all = linked + usize::from(!own.ports.is_empty()) + usize::from(!own.links.is_empty());
    u32::try_from(all.max(1)).unwrap_or(u32::MAX)
}
