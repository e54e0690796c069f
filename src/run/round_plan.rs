//! The plan of a run when a round goes on. Not here: how its machines become what it says (`round`).

use super::round::{Fate, RoundWish};
use super::view::shape;
use crate::plan::{MachinePlan, Plan};

/// The plan of the run when a round goes on: places of machines that it had stay, new ones come behind.
pub(super) fn merge(old: &Plan, before: &[Fate], wish: RoundWish) -> (Plan, Vec<Fate>) {
    let RoundWish { plan: mut new, known, .. } = wish;
    let mut wanted: Vec<Option<MachinePlan>> = std::mem::take(&mut new.machines).into_iter().map(Some).collect();
    let mut machines = Vec::new();
    let mut fates = Vec::new();
    for (place, earlier) in old.machines.iter().enumerate() {
        let found = wanted.iter_mut().find(|one| one.as_ref().is_some_and(|one| one.name == earlier.name));
        let (machine, fate) = match found.and_then(Option::take) {
            Some(machine) if before[place] != Fate::Removed && shape(&machine) == shape(earlier) => {
                (keep_ports(machine, earlier), Fate::Kept)
            }
            Some(machine) => (machine, Fate::Anew),
            None if before[place] != Fate::Removed && known.contains(&earlier.name) => {
                (earlier.clone(), Fate::Bystander)
            }
            None => (MachinePlan { ports: Vec::new(), ..earlier.clone() }, Fate::Removed),
        };
        machines.push(machine);
        fates.push(fate);
    }
    for machine in wanted.into_iter().flatten() {
        machines.push(machine);
        fates.push(Fate::Anew);
    }
    new.machines = machines;
    (new, fates)
}

/// The ports of the host that a machine has got stay.
fn keep_ports(mut machine: MachinePlan, earlier: &MachinePlan) -> MachinePlan {
    machine.ports.clone_from(&earlier.ports);
    machine
}
