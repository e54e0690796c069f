//! The critical path of a run: what a faster run would have to make shorter. Deliberately not here: how long anything
//! took (it comes as a function), and the words.

use std::collections::HashMap;
use std::time::Duration;

use super::model::{Operation, Plan};

/// The chain of operations, each after the one before it, whose durations add up to the most; `None` where an operation
/// did not happen. Of chains that are equally long, that of the operations which the plan names first.
pub fn critical_path<'a>(
    plan: &'a Plan,
    duration: &dyn Fn(&Operation) -> Option<Duration>,
) -> Vec<(&'a Operation, Duration)> {
    // Operations are sorted, so that what comes before one is known when it is reached.
    let places: HashMap<&str, usize> =
        plan.operations.iter().enumerate().map(|(place, operation)| (operation.id.as_str(), place)).collect();
    let own: Vec<Duration> =
        plan.operations.iter().map(|operation| duration(operation).unwrap_or(Duration::ZERO)).collect();
    let mut sums: Vec<(Duration, Option<usize>)> = Vec::with_capacity(own.len());
    for (place, operation) in plan.operations.iter().enumerate() {
        let before = operation.after.iter().filter_map(|id| places.get(id.as_str()).copied());
        let known = before.filter(|before| *before < place);
        let longest = known.min_by_key(|before| (std::cmp::Reverse(sums[*before].0), *before));
        let sum = longest.map_or(Duration::ZERO, |before| sums[before].0).saturating_add(own[place]);
        sums.push((sum, longest));
    }
    let mut next = (0..sums.len()).min_by_key(|place| (std::cmp::Reverse(sums[*place].0), *place));
    let mut path = Vec::new();
    while let Some(place) = next {
        path.push((&plan.operations[place], own[place]));
        next = sums[place].1;
    }
    path.reverse();
    path.retain(|(operation, _)| duration(operation).is_some());
    path
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::model::{Limits, OperationKind};
    use super::*;

    fn plan(operations: &[(&str, &[&str])]) -> Plan {
        let operation = |(id, after): &(&str, &[&str])| Operation {
            id: (*id).to_owned(),
            kind: OperationKind::Step,
            machine: "m".to_owned(),
            after: after.iter().map(|id| (*id).to_owned()).collect(),
            why: String::new(),
        };
        Plan {
            project: "acme".to_owned(),
            folder: PathBuf::from("/project"),
            machines: Vec::new(),
            steps: Vec::new(),
            skipped: Vec::new(),
            operations: operations.iter().map(operation).collect(),
            limits: Limits { steps_at_once: 2, memory_mib: 1024 },
        }
    }

    fn path(plan: &Plan, seconds: &[(&str, u64)]) -> String {
        let duration = |operation: &Operation| {
            let found = seconds.iter().find(|(id, _)| *id == operation.id);
            found.map(|(_, seconds)| Duration::from_secs(*seconds))
        };
        let path = critical_path(plan, &duration);
        path.iter()
            .map(|(operation, took)| format!("{} {}", operation.id, took.as_secs()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn the_longest_chain_wins_not_the_longest_operation() {
        let plan = plan(&[("a", &[]), ("b", &["a"]), ("long", &[]), ("c", &["b"]), ("end", &["c", "long"])]);
        assert_eq!(path(&plan, &[("a", 2), ("b", 2), ("c", 2), ("long", 5), ("end", 1)]), "a 2, b 2, c 2, end 1");
        assert_eq!(path(&plan, &[("a", 2), ("b", 2), ("c", 2), ("long", 7), ("end", 1)]), "long 7, end 1");
    }

    #[test]
    fn what_did_not_happen_is_not_on_it() {
        let plan = plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        assert_eq!(path(&plan, &[("a", 3)]), "a 3");
        assert_eq!(path(&plan, &[]), "");
    }

    #[test]
    fn equal_chains_are_told_by_their_place() {
        let plan = plan(&[("a", &[]), ("b", &[]), ("c", &["b", "a"])]);
        assert_eq!(path(&plan, &[("a", 1), ("b", 1), ("c", 1)]), "a 1, c 1");
    }
}
