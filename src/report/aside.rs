//! What is told of a run while something else has the terminal, and after it: what went wrong, and how the steps ended that
//! came last. A line an event, and most events none.
//!
//! Deliberately not here: output, which is in the logs.

use super::readable::readable;
use super::words;
use crate::event::{Event, MachinePhase, StepStatus};

/// The line of an event, without its end; nothing where it says nothing that matters beside.
pub fn render_aside(event: &Event) -> Option<String> {
    let line = match event {
        Event::Warning { text } => format!("warning: {text}"),
        Event::Machine { machine, phase: MachinePhase::Failed, cause, .. } => {
            format!("machine {machine}: failed: {}", words::first_line(cause.as_deref()))
        }
        Event::StepFinished { step, status, exit_code, seconds, cause, log, .. } => {
            let end = words::step_end(*status, *exit_code, cause.as_deref());
            let took = match status {
                StepStatus::Skipped => String::new(),
                _ => format!(" in {}", words::render_seconds(*seconds)),
            };
            let has_failed = matches!(status, StepStatus::Failed | StepStatus::TimedOut);
            let log = log.as_ref().filter(|_| has_failed).map(|log| format!(", log: {log}")).unwrap_or_default();
            format!("step {step}: {end}{took}{log}")
        }
        _ => return None,
    };
    Some(readable(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_step_and_what_went_wrong_have_a_line() {
        let finished = |status, exit_code| Event::StepFinished {
            step: "clean".to_owned(),
            machine: "m".to_owned(),
            status,
            exit_code,
            seconds: 0.25,
            cause: None,
            is_allowed: false,
            log: Some("/state/clean.log".to_owned()),
        };
        assert_eq!(render_aside(&finished(StepStatus::Passed, Some(0))).unwrap(), "step clean: passed in 0.25s");
        let failed = render_aside(&finished(StepStatus::Failed, Some(3))).unwrap();
        assert_eq!(failed, "step clean: failed with exit code 3 in 0.25s, log: /state/clean.log");
        let warning = Event::Warning { text: "SIGTERM: \x1b[2Jending".to_owned() };
        assert_eq!(render_aside(&warning).unwrap(), "warning: SIGTERM: ending");
        assert_eq!(render_aside(&Event::RunStarted { run: String::new(), project: String::new() }), None);
    }
}
