//! The events of a simulated run as lines, so that a test can show what it expects.

use super::sim::Played;
use crate::event::{Event, MachinePhase};

/// The events as lines, without output and with the phases of a machine that matter to others.
pub(super) fn render(played: &Played) -> String {
    played.events.iter().filter_map(|(_, event)| render_event(event)).map(|line| format!("{line}\n")).collect()
}

/// The same, without machines: the order of the steps.
pub(super) fn render_steps(played: &Played) -> String {
    let is_step = |line: &String| !line.starts_with("machine");
    played
        .events
        .iter()
        .filter_map(|(_, event)| render_event(event))
        .filter(is_step)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn render_event(event: &Event) -> Option<String> {
    let because = |cause: &Option<String>| cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    match event {
        Event::Machine { machine, phase, cause, .. } => {
            let phase = match phase {
                MachinePhase::Booting => "booting",
                MachinePhase::Ready => "ready",
                MachinePhase::Stopping => "stopping",
                MachinePhase::Stopped => "stopped",
                MachinePhase::Failed => "failed",
                MachinePhase::Prepared | MachinePhase::Agent | MachinePhase::Mounted => return None,
            };
            Some(format!("machine {machine} {phase}{}", because(cause)))
        }
        Event::StepStarted { step, attempt: 1, .. } => Some(format!("{step} started")),
        Event::StepStarted { step, attempt, .. } => Some(format!("{step} started, attempt {attempt}")),
        Event::StepFinished { step, status, exit_code, cause, is_allowed, .. } => {
            let code = exit_code.filter(|code| *code != 0).map_or_else(String::new, |code| format!(" ({code})"));
            let allowed = if *is_allowed { " (allowed)" } else { "" };
            let status = format!("{status:?}").to_lowercase();
            Some(format!("{step} {status}{code}{allowed}{}", because(cause)))
        }
        Event::Ownership { step, .. } => Some(format!("{step} given")),
        Event::Warning { text } => Some(format!("warning: {text}")),
        Event::RunFinished { status, exit_code, cause, passed, failed, skipped, .. } => {
            let status = format!("{status:?}").to_lowercase();
            Some(format!("run {status} {exit_code}{} [{passed} {failed} {skipped}]", because(cause)))
        }
        Event::Waiting { machine, on } if !on.is_empty() => {
            let on: Vec<String> = on.iter().map(|on| format!("{} {}", on.machine, on.condition.word())).collect();
            Some(format!("machine {machine} waits for {}", on.join(", ")))
        }
        Event::Service { machine, phase, attempt, of, exit_code, cause, .. } => {
            let phase = format!("{phase:?}").to_lowercase();
            let count = attempt.map_or_else(String::new, |attempt| format!(" {attempt}"));
            let of = of.map_or_else(String::new, |of| format!("/{of}"));
            let code = exit_code.map_or_else(String::new, |code| format!(" ({code})"));
            Some(format!("service {machine} {phase}{count}{of}{code}{}", because(cause)))
        }
        Event::NotStarted { machine, cause, by } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            Some(format!("machine {machine} not started{by}: {cause}"))
        }
        Event::Paused { step, machine, exit_code, passed, failed, skipped, .. } => {
            Some(format!("paused at {step} in {machine}, {exit_code} [{passed} {failed} {skipped}]"))
        }
        Event::RunHeld { .. }
        | Event::RunStarted { .. }
        | Event::Progress { .. }
        | Event::Pull { .. }
        | Event::Waiting { .. }
        | Event::Output { .. } => None,
    }
}
