//! What runs in a machine beside its steps, and what a machine waits for before it boots, with everything decided.
//!
//! Deliberately not here: when it is started, tested and ended (`run`), the image's share in it (`defaults`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Project;
use crate::config::model::{Command, Condition, Machine, Restart};

/// The command of a service; environment, folder and user are those of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// What runs.
    pub command: Command,
    /// Whether a list of words goes behind the image's entrypoint, and takes the place of the image's command.
    pub uses_entrypoint: bool,
    /// When it is started again.
    pub restart: Restart,
    /// Number of the signal that asks it to end; `None` is the image's, else SIGTERM.
    pub stop_signal: Option<u8>,
    /// How to know that it is ready.
    pub health: Option<HealthPlan>,
}

/// How to know that a service is ready: where both are given, the test passes and the line was printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPlan {
    /// Ends with 0 when the service is ready; runs with the service's environment, folder and user.
    pub test: Option<Command>,
    /// A text that a line of the command's output holds when the service is ready.
    pub log_line: Option<String>,
    /// Time between two tests.
    pub interval: Duration,
    /// Longest time one test may take.
    pub timeout: Duration,
    /// Failures in a row that make the service unhealthy.
    pub retries: u32,
    /// Time in which failures do not count.
    pub start_period: Duration,
    /// Time between two tests in the start period.
    pub start_interval: Duration,
}

/// What one machine waits for before it boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependencyPlan {
    /// Name of the other machine.
    pub machine: String,
    /// The state that is waited for.
    pub condition: Condition,
}

/// The service of a machine, where it has one.
pub(super) fn plan_service(machine: &Machine) -> Option<ServicePlan> {
    let service = &machine.service;
    let command = service.command.as_ref()?.value.clone();
    let health = service.healthcheck.as_ref().map(|check| HealthPlan {
        test: check.test.as_ref().map(|test| test.value.clone()),
        log_line: check.log_line.as_ref().map(|line| line.value.clone()),
        interval: check.interval,
        timeout: check.timeout,
        retries: check.retries,
        start_period: check.start_period,
        start_interval: check.start_interval,
    });
    Some(ServicePlan {
        uses_entrypoint: matches!(command, Command::List(_)),
        command,
        restart: service.restart.as_ref().map_or(Restart::No, |restart| restart.value),
        stop_signal: service.stop_signal.as_ref().map(|signal| signal.value.0),
        health,
    })
}

/// What a machine waits for, each with its condition decided.
pub(super) fn plan_dependencies(project: &Project, machine: &Machine) -> Vec<DependencyPlan> {
    let of = |dependency: &crate::config::model::Dependency| {
        let other = project.machines.iter().find(|other| other.name.value == dependency.machine.value)?;
        let condition = dependency.condition_of(&other.service);
        Some(DependencyPlan { machine: other.name.value.clone(), condition })
    };
    machine.depends_on.iter().filter_map(of).collect()
}
