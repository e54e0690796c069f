//! What machines came to while an order was carried out, in the words of a run: a line a machine.
//!
//! Deliberately not here: the orders (`order`).

use crate::run::{MachineView, RunView};

/// Lines about the machines that came up or went down since they were looked at last.
pub(super) fn lines(before: &RunView, now: &RunView) -> String {
    let mut lines = String::new();
    for machine in &now.machines {
        let is_news =
            before.machine(&machine.name).is_none_or(|old| (old.phase, old.since) != (machine.phase, machine.since));
        if let Some(word) = word(machine).filter(|_| is_news) {
            lines.push_str(&format!("machine {}: {word}\n", machine.name));
        }
    }
    lines
}

/// Where a machine is, when it is on no way to elsewhere.
fn word(machine: &MachineView) -> Option<&'static str> {
    match machine.is_up() {
        true => Some("ready"),
        false if machine.phase.is_none() || !machine.is_down() => None,
        false if machine.cause.is_some() => Some("failed"),
        false => Some("stopped"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::event::MachinePhase;

    fn view(machines: &[(&str, Option<MachinePhase>, u64)]) -> RunView {
        let machine = |(name, phase, second): &(&str, Option<MachinePhase>, u64)| MachineView {
            name: (*name).to_owned(),
            phase: *phase,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(*second),
            service: None,
            ports: Vec::new(),
            cause: None,
            shape: String::new(),
        };
        RunView { machines: machines.iter().map(machine).collect(), ..RunView::nothing() }
    }

    #[test]
    fn only_what_happened_is_told() {
        let (ready, stopping, stopped) =
            (Some(MachinePhase::Ready), Some(MachinePhase::Stopping), Some(MachinePhase::Stopped));
        let before = view(&[("a", ready, 1), ("b", ready, 1), ("c", stopped, 1), ("d", ready, 1), ("e", None, 1)]);
        assert_eq!(lines(&before, &before), "");
        let now = view(&[("a", stopped, 2), ("b", ready, 1), ("c", ready, 3), ("d", stopping, 2), ("e", None, 1)]);
        assert_eq!(lines(&before, &now), "machine a: stopped\nmachine c: ready\n");
        // One that was down between two looks.
        assert_eq!(lines(&now, &view(&[("b", ready, 4)])), "machine b: ready\n");
    }
}
