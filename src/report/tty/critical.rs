//! The words of the critical path: `critical path: boot build 2.0s, compile 2.9s`. Deliberately not here: which it is
//! (`plan`).

use std::time::Duration;

use super::state::RunView;
use crate::plan::{Operation, OperationKind, critical_path};
use crate::report::words;

/// What is shorter is not worth a word.
const SHORTEST: Duration = Duration::from_millis(50);

/// Most operations that are named.
const MOST: usize = 5;

/// The chain of operations that a faster run would have to make shorter; nothing where none took long.
pub(super) fn render_critical_path(view: &RunView) -> Option<String> {
    let path = critical_path(&view.plan, &|operation| view.took(operation));
    let long: Vec<(&Operation, Duration)> = path.into_iter().filter(|(_, took)| *took >= SHORTEST).collect();
    // The longest ones stay, in their order, and what is left out between them is seen.
    let mut by_length: Vec<usize> = (0..long.len()).collect();
    by_length.sort_by_key(|place| std::cmp::Reverse(long[*place].1));
    by_length.truncate(MOST);
    let mut parts: Vec<String> = Vec::new();
    for (place, (operation, took)) in long.iter().enumerate() {
        if by_length.contains(&place) {
            parts.push(format!("{} {}", name(operation), words::render_seconds(took.as_secs_f64())));
        } else if parts.last().is_none_or(|last| last != "…") {
            parts.push("…".to_owned());
        }
    }
    (!parts.is_empty()).then(|| format!("critical path: {}", parts.join(", ")))
}

/// A step is known by its id, what is done to a machine by both.
fn name(operation: &Operation) -> String {
    match operation.kind {
        OperationKind::Step | OperationKind::Finally => {
            operation.id.split_once(':').map_or(operation.id.as_str(), |(_, id)| id).to_owned()
        }
        OperationKind::Prepare => format!("prepare {}", operation.machine),
        OperationKind::Service => format!("service {}", operation.machine),
        OperationKind::Boot => format!("boot {}", operation.machine),
        OperationKind::Stop => format!("stop {}", operation.machine),
    }
}
