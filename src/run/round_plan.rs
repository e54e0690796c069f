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
            // Nothing is kept for it: neither its ports, nor its part of what the machines have that it was linked to.
            None => (MachinePlan { ports: Vec::new(), links: Vec::new(), ..earlier.clone() }, Fate::Removed),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::plans::{machine, plan, step};
    use super::*;
    use crate::net::ports_claim;
    use crate::plan::LinkPlan;

    #[test]
    fn a_machine_that_is_gone_leaves_its_part_of_what_it_was_linked_to() {
        let links = vec![LinkPlan { machine: "web".to_owned(), port: 80 }];
        let linked = |name: &str| MachinePlan { links: links.clone(), ..machine(name) };
        let mut first = plan(vec![step("a@web", &[])]);
        first.machines.extend([linked("one"), linked("two")]);
        let before = vec![Fate::Kept; 3];
        assert_eq!(ports_claim(&first.machines, 0).among, 2);
        let known = ["web", "two", "new"].map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
        let mut next = plan(vec![step("a@web", &[])]);
        next.machines.push(linked("new"));
        let wish = RoundWish { plan: next, known, keep_going: false, parallel: None, looks: false };
        let (merged, fates) = merge(&first, &before, wish);
        assert_eq!(fates, [Fate::Kept, Fate::Removed, Fate::Bystander, Fate::Anew]);
        assert_eq!(ports_claim(&merged.machines, 0).among, 2);
    }
}
