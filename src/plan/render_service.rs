//! Services and dependencies of a plan, as text for people and as JSON for programs.

use serde_json::{Value, json};

use super::model::MachinePlan;
use super::service::HealthPlan;
use crate::config::model::{Command, Restart};
use crate::config::show_duration;

/// Characters of a command that are shown.
const COMMAND_MAX: usize = 60;

/// The lines of a machine for people.
pub(super) fn render_service(machine: &MachinePlan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(service) = &machine.service {
        let restart = match service.restart {
            Restart::No => "",
            Restart::OnFailure => ", started again when it fails",
            Restart::Always => ", always started again",
        };
        lines.push(format!("command  {}{restart}", command_words(&service.command)));
        if let Some(health) = &service.health {
            lines.push(format!("health  {}", health_words(health)));
        }
    }
    for on in &machine.depends_on {
        lines.push(format!("depends on  {}, until it is {}", on.machine, on.condition.word()));
    }
    lines
}

fn health_words(health: &HealthPlan) -> String {
    let test = health.test.as_ref().map(|test| format!("`{}` passes", command_words(test)));
    let line = health.log_line.as_ref().map(|line| format!("a line with `{line}` has come"));
    let what = test.into_iter().chain(line).collect::<Vec<_>>().join(" and ");
    format!("{what}, every {}, at most {} failures", show_duration(milliseconds(health.interval)), health.retries)
}

/// The first line of a command.
fn command_words(command: &Command) -> String {
    let text = match command {
        Command::Script { text, .. } => text.trim().to_owned(),
        Command::List(words) => words.join(" "),
    };
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(COMMAND_MAX).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Adds what a machine has of a service and of dependencies to its object.
pub(super) fn add_service(object: &mut Value, machine: &MachinePlan) {
    if let Some(service) = &machine.service {
        let mut own = json!({ "command": json_command(&service.command), "restart": service.restart.word() });
        if let Some(signal) = service.stop_signal {
            own["stop_signal"] = signal.into();
        }
        if let Some(health) = &service.health {
            own["health"] = json!({
                "test": health.test.as_ref().map(json_command),
                "log_line": health.log_line,
                "interval_ms": milliseconds(health.interval),
                "timeout_ms": milliseconds(health.timeout),
                "retries": health.retries,
                "start_period_ms": milliseconds(health.start_period),
                "start_interval_ms": milliseconds(health.start_interval),
            });
        }
        object["service"] = own;
    }
    if let Some(grace) = machine.stop_grace {
        object["stop_grace_ms"] = milliseconds(grace).into();
    }
    if !machine.depends_on.is_empty() {
        let of = machine.depends_on.iter().map(|on| json!({ "machine": on.machine, "condition": on.condition.word() }));
        object["depends_on"] = of.collect::<Vec<_>>().into();
    }
}

fn json_command(command: &Command) -> Value {
    match command {
        Command::Script { text, .. } => text.as_str().into(),
        Command::List(words) => words.clone().into(),
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
