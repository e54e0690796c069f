//! Whose turn it is: the users of a volume are up one after another, in an order that every step can wait for.
//!
//! A machine has its volumes while it is up. Of two that cannot be up together, the one goes first that the other waits for;
//! where none waits, the first in the file does, but for services, which go last because they run until the end. Those of
//! whom neither can be through before the other begins were told by the checks (0108).

use std::collections::{HashMap, HashSet};

use super::model::{DiskPlan, MachinePlan, MountPlanKind, Operation, OperationKind, StepPlan};
use crate::config::model::Condition;

/// Says of each machine which others must be gone before it boots.
pub(super) fn put_in_turn(machines: &mut [MachinePlan], steps: &[StepPlan]) {
    let users: Vec<usize> =
        (0..machines.len()).filter(|machine| volumes(&machines[*machine]).next().is_some()).collect();
    if users.len() < 2 {
        return;
    }
    let lives = Lives::new(machines, steps);
    let order = lives.order(&users);
    let mut after: Vec<Vec<String>> = vec![Vec::new(); machines.len()];
    for (place, later) in order.iter().enumerate() {
        for earlier in &order[..place] {
            let meet = cannot_meet(&machines[*earlier], &machines[*later]) && lives.may_precede(*earlier, *later);
            if meet {
                after[*later].push(machines[*earlier].name.clone());
            }
        }
    }
    for (machine, after) in machines.iter_mut().zip(after) {
        machine.after = after;
    }
}

/// Volumes of a machine, and whether it only reads them.
fn volumes(machine: &MachinePlan) -> impl Iterator<Item = (&str, bool)> {
    machine.mounts.iter().filter_map(|mount| match &mount.kind {
        MountPlanKind::Disk { disk: DiskPlan::Volume(name), readonly, .. } => Some((name.as_str(), *readonly)),
        _ => None,
    })
}

/// Whether two machines have a volume that one of them writes.
fn cannot_meet(a: &MachinePlan, b: &MachinePlan) -> bool {
    volumes(a).any(|(name, reads)| volumes(b).any(|(other, other_reads)| name == other && !(reads && other_reads)))
}

/// When a machine is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    /// After the entry of `finally` at this place.
    Finally(usize),
    /// Its command runs until the end of the run.
    Never,
}

/// What is waited for, by what.
struct Lives<'a> {
    machines: &'a [MachinePlan],
    steps: &'a [StepPlan],
    place_of_machine: HashMap<&'a str, usize>,
    place_of_step: HashMap<&'a str, usize>,
    /// Steps of each machine, those of `finally` left out.
    own: Vec<Vec<usize>>,
}

impl<'a> Lives<'a> {
    fn new(machines: &'a [MachinePlan], steps: &'a [StepPlan]) -> Self {
        let place_of_machine: HashMap<&str, usize> =
            machines.iter().enumerate().map(|(place, machine)| (machine.name.as_str(), place)).collect();
        let of_file = || steps.iter().enumerate().filter(|(_, step)| !step.is_finally);
        let place_of_step = of_file().map(|(place, step)| (step.id.as_str(), place)).collect();
        let mut own = vec![Vec::new(); machines.len()];
        for (place, step) in of_file() {
            if let Some(machine) = place_of_machine.get(step.machine.as_str()) {
                own[*machine].push(place);
            }
        }
        Self { machines, steps, place_of_machine, place_of_step, own }
    }

    fn end(&self, machine: usize) -> End {
        let name = self.machines[machine].name.as_str();
        let last = self.steps.iter().rposition(|step| step.is_finally && step.machine == name);
        let is_awaited = || {
            let waits = self.machines.iter().flat_map(|other| &other.depends_on);
            waits.into_iter().any(|wait| wait.machine == name && wait.condition == Condition::Completed)
        };
        match last {
            _ if self.machines[machine].service.is_some() && !is_awaited() => End::Never,
            Some(last) => End::Finally(last),
            None => End::Completed,
        }
    }

    /// The entry of `finally` before which it is not needed, if it is not needed before all of them.
    fn first_finally(&self, machine: usize) -> Option<usize> {
        let name = self.machines[machine].name.as_str();
        let is_late = self.own[machine].is_empty() && self.machines[machine].service.is_none();
        is_late.then(|| self.steps.iter().position(|step| step.is_finally && step.machine == name)).flatten()
    }

    /// Whether one machine can be through before another one begins.
    fn may_precede(&self, a: usize, b: usize) -> bool {
        match (self.end(a), self.first_finally(b)) {
            (End::Never, _) | (End::Finally(_), None) => false,
            (End::Completed, None) => !self.waits_for(a, b),
            (End::Completed, Some(_)) => true,
            (End::Finally(last), Some(first)) => last < first,
        }
    }

    /// Whether the end of one machine waits for another one to be up.
    fn waits_for(&self, waiting: usize, machine: usize) -> bool {
        let mut seen: HashSet<usize> = HashSet::new();
        let mut booted: HashSet<usize> = HashSet::new();
        let mut steps: Vec<usize> = self.own[waiting].clone();
        let mut boots: Vec<usize> = vec![waiting];
        loop {
            if let Some(step) = steps.pop() {
                if !seen.insert(step) {
                    continue;
                }
                let found = &self.steps[step];
                boots.extend(self.place_of_machine.get(found.machine.as_str()));
                steps.extend(found.needs.iter().filter_map(|need| self.place_of_step.get(need.as_str())));
            } else if let Some(boot) = boots.pop() {
                if !booted.insert(boot) {
                    continue;
                }
                if boot == machine {
                    return true;
                }
                for wait in &self.machines[boot].depends_on {
                    let Some(other) = self.place_of_machine.get(wait.machine.as_str()) else { continue };
                    boots.push(*other);
                    if wait.condition == Condition::Completed {
                        steps.extend(&self.own[*other]);
                    }
                }
            } else {
                return false;
            }
        }
    }

    /// The users of volumes, those first that others wait for, else in file order.
    fn order(&self, users: &[usize]) -> Vec<usize> {
        let is_first = |a: usize, b: usize| self.may_precede(a, b) && !self.may_precede(b, a);
        let mut before: HashMap<usize, HashSet<usize>> = HashMap::new();
        for later in users {
            let earlier = users.iter().copied().filter(|other| other != later && is_first(*other, *later));
            before.insert(*later, earlier.collect());
        }
        let (mut left, mut order) = (users.to_vec(), Vec::new());
        while !left.is_empty() {
            let is_free = |user: &usize| before[user].iter().all(|other| order.contains(other));
            // A circle is of machines that the checks have told.
            let next = left.iter().position(is_free).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }
}

/// Lets the preparation of a machine come after the end of those that are up before it.
pub(super) fn order_operations(machines: &[MachinePlan], operations: &mut [Operation]) {
    for operation in operations.iter_mut().filter(|operation| operation.kind == OperationKind::Prepare) {
        let Some(machine) = machines.iter().find(|machine| machine.name == operation.machine) else { continue };
        operation.after.extend(machine.after.iter().map(|other| format!("stop:{other}")));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::model::{HostFacts, Invoker, Plan};
    use super::super::selection::Selection;
    use crate::config::{FileRequest, LoadRequest, MemoryFiles, Mode, load};

    fn plan(file: &str) -> Plan {
        let bytes = file.as_bytes().to_vec();
        let request = LoadRequest {
            files: vec![FileRequest::Stdin { bytes, folder: PathBuf::from("/project") }],
            current_folder: PathBuf::from("/project"),
            mode: Mode::Run,
            ..LoadRequest::default()
        };
        let project = load(request, &MemoryFiles::new().folder("/project")).project.expect("can be lowered");
        let invoker = Invoker { uid: 1, gid: 1, groups: Vec::new(), name: None, home: None, is_process_root: false };
        let host = HostFacts { cpus: 4, memory_mib: 8192, invoker };
        super::super::build(&project, &host, &Selection::all()).expect("everything is selected")
    }

    /// What each machine comes after, in file order.
    fn turns(file: &str) -> Vec<String> {
        plan(file).machines.iter().map(|machine| format!("{}: {}", machine.name, machine.after.join(" "))).collect()
    }

    #[test]
    fn users_of_a_volume_come_in_file_order_and_readers_together() {
        let file = "volumes: { v: , w: }
machines:
  a: { mounts: ['v:/v'] }
  b: { mounts: ['v:/v:ro'] }
  c: { mounts: ['v:/v:ro', 'w:/w'] }
  d: { mounts: ['w:/w'] }
  e: {}
steps: [{ machine: a, run: x, needs: [] }, { machine: b, run: x, needs: [] }, { machine: c, run: x, needs: [] },
  { machine: d, run: x, needs: [] }, { machine: e, run: x, needs: [] }]
";
        assert_eq!(turns(file), ["a: ", "b: a", "c: a", "d: c", "e: "]);
        let plan = plan(file);
        let prepare = plan.operations.iter().find(|operation| operation.id == "prepare:b").unwrap();
        assert_eq!(prepare.after, ["stop:a"]);
    }

    #[test]
    fn whoever_is_waited_for_comes_first_also_through_others() {
        let file = "volumes: { v: , w: }
machines:
  a: { mounts: ['v:/v'] }
  b: { mounts: ['v:/v'] }
  c: { mounts: ['w:/w'] }
  d: { mounts: ['w:/w'] }
  e: {}
steps:
  - { id: d, machine: d, run: x, needs: [] }
  - { id: e, machine: e, run: x, needs: [d] }
  - { id: a0, machine: a, run: x, needs: [] }
  - { id: a, machine: a, run: x, needs: [e] }
  - { id: b, machine: b, run: x, needs: [] }
  - { id: c, machine: c, run: x, needs: [b] }
";
        // `c` waits for `b` and `a` for `d`: whoever has `v` first must not wait for whoever has `w` last.
        assert_eq!(turns(file), ["a: b", "b: ", "c: ", "d: c", "e: "]);
    }

    #[test]
    fn whoever_finally_needs_comes_last() {
        let file = "volumes: { v: }
machines:
  a: { mounts: ['v:/v'] }
  b: { mounts: ['v:/v'] }
  c: { mounts: ['v:/v'] }
steps: [{ machine: a, run: x, needs: [] }, { machine: b, run: x, needs: [] }]
finally: [{ machine: a, run: x }, { machine: c, run: x }]
";
        assert_eq!(turns(file), ["a: b", "b: ", "c: b a"]);
    }
}
