//! The words that all reporters share: durations, statuses, counts.
//!
//! Deliberately not here: when they are shown.

use super::failure::Beside;
use crate::event::{Awaited, Event, RunStatus, ServicePhase, StepStatus};

/// Names of a list that are said before the rest is counted.
const NAMES_SAID: usize = 3;

/// `0.42s`, `4.2s`, `1m 05s`, `2h 03m`.
pub(super) fn render_seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 1.0 {
        return format!("{seconds:.2}s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    // The sum of a run fits: 2^53 seconds are longer than any machine lives.
    let whole = format!("{seconds:.0}").parse::<u64>().unwrap_or(u64::MAX);
    if whole < 3600 {
        return format!("{}m {:02}s", whole / 60, whole % 60);
    }
    format!("{}h {:02}m", whole / 3600, whole % 3600 / 60)
}

/// Name of a step's end, as in JSON and as people read it.
pub(super) fn step_status(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Passed => "passed",
        StepStatus::Failed => "failed",
        StepStatus::TimedOut => "timed-out",
        StepStatus::Canceled => "canceled",
        StepStatus::Skipped => "skipped",
    }
}

/// Name of a run's end.
pub(super) fn run_status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Passed => "passed",
        RunStatus::Failed => "failed",
        RunStatus::TimedOut => "timed-out",
        RunStatus::Interrupted => "interrupted",
        RunStatus::Invalid => "invalid",
    }
}

/// Name of a service's phase.
pub(super) fn service_phase(phase: ServicePhase) -> &'static str {
    match phase {
        ServicePhase::Started => "started",
        ServicePhase::Testing => "testing",
        ServicePhase::Healthy => "healthy",
        ServicePhase::Unhealthy => "unhealthy",
        ServicePhase::Exited => "exited",
        ServicePhase::Restarting => "restarting",
        ServicePhase::Stopping => "stopping",
        ServicePhase::Stopped => "stopped",
    }
}

/// What a service has reached, in words that go after its name: `unhealthy: 30/30, pg_isready exit 2: no response`. Empty
/// for another event. What the guest says in it is as it came.
pub(super) fn service(event: &Event) -> String {
    let Event::Service { phase, seconds, attempt, exit_code, delay, cause, .. } = event else {
        return String::new();
    };
    let said = said(None, *exit_code, cause.as_deref());
    let again = || {
        let (delay, number) = (render_seconds(delay.unwrap_or(0.0)), attempt.unwrap_or(1));
        format!("restarting in {delay} (restart {number})")
    };
    let and = |word: &str, said: &str| if said.is_empty() { word.to_owned() } else { format!("{word}: {said}") };
    match phase {
        ServicePhase::Testing => and("not healthy yet", &service_test(event)),
        ServicePhase::Unhealthy => and("unhealthy", &service_test(event)),
        ServicePhase::Healthy => format!("healthy after {}", render_seconds(*seconds)),
        ServicePhase::Exited => {
            let end = match (exit_code, cause) {
                (Some(code), None) => format!("exited with exit code {code}"),
                _ => and("exited", &said),
            };
            if attempt.is_some() { format!("{end}, {}", again()) } else { end }
        }
        ServicePhase::Restarting => again(),
        ServicePhase::Started | ServicePhase::Stopping | ServicePhase::Stopped => service_phase(*phase).to_owned(),
    }
}

/// What the last test of a service's health said: `4/30, pg_isready exit 2: no response`. Empty where the event tells of
/// none.
pub(super) fn service_test(event: &Event) -> String {
    let Event::Service {
        phase: ServicePhase::Testing | ServicePhase::Unhealthy,
        attempt,
        of,
        exit_code,
        test,
        cause,
        ..
    } = event
    else {
        return String::new();
    };
    let counted = match (attempt, of) {
        (Some(0), Some(_)) => "starting".to_owned(),
        (Some(attempt), Some(of)) => format!("{attempt}/{of}"),
        _ => String::new(),
    };
    let parts = [counted, said(test.as_deref(), *exit_code, cause.as_deref())];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// `pg_isready exit 2: no response`, or what of it is known.
fn said(test: Option<&str>, exit_code: Option<i32>, cause: Option<&str>) -> String {
    let code = match (test, exit_code) {
        (Some(test), Some(code)) => Some(format!("{test} exit {code}")),
        (Some(test), None) => Some(test.to_owned()),
        (None, code) => code.map(|code| format!("exit code {code}")),
    };
    let parts: Vec<&str> = code.as_deref().into_iter().chain(cause).collect();
    parts.join(": ")
}

/// What a machine waits for: `db healthy, seed completed`.
pub(super) fn awaited(on: &[Awaited]) -> String {
    let one = |on: &Awaited| format!("{} {}", on.machine, on.condition.word());
    on.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether a warning says that a signal has come, by which what runs ends.
pub(super) fn is_of_signal(warning: &str) -> bool {
    warning.starts_with("SIG")
}

/// Whether a warning says that the run was told to end, by somebody else.
pub(super) fn is_of_down(warning: &str) -> bool {
    warning.starts_with("told to go down")
}

/// `a`, `a and b`, `a, b and c`, `a, b, c and 4 more`.
pub(super) fn names(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if first.len() < NAMES_SAID => format!("{} and {last}", first.join(", ")),
        more => format!("{} and {} more", more[..NAMES_SAID].join(", "), more.len() - NAMES_SAID),
    }
}

/// How a step ended, in words that go on with "in 1.2s": `failed with exit code 3`.
pub(super) fn step_end(status: StepStatus, exit_code: Option<i32>, cause: Option<&str>) -> String {
    let cause = cause.map(|cause| first_line(Some(cause)));
    let base = match (status, exit_code) {
        (StepStatus::Passed, _) => return "passed".to_owned(),
        (StepStatus::Failed, Some(code)) if code > 128 && code < 160 => match cause {
            Some(cause) => return format!("failed: {cause}"),
            None => return format!("failed: killed by signal {}", code - 128),
        },
        (StepStatus::Failed, Some(0) | None) => "failed".to_owned(),
        (StepStatus::Failed, Some(code)) => format!("failed with exit code {code}"),
        (StepStatus::TimedOut, _) => "timed out".to_owned(),
        (StepStatus::Canceled, _) => "canceled".to_owned(),
        (StepStatus::Skipped, _) => "skipped".to_owned(),
    };
    match cause {
        Some(cause) => format!("{base}: {cause}"),
        None => base,
    }
}

/// `1 failed, 2 passed, 1 skipped, 1 service, 1 warning`, of the steps that passed, failed, were skipped, were taken from the cache;
/// counts of zero are left out, and machines that did not come are named. In a run that passed every failure was allowed, and
/// the rest need no word: `2 steps, 1 allowed to fail`.
pub(super) fn counts(status: RunStatus, [passed, failed, skipped, cached]: [usize; 4], beside: &Beside) -> String {
    let several =
        |count: usize, word: &'static str, words: &'static str| (count, if count == 1 { word } else { words });
    let steps = several(passed, "step", "steps").1;
    let all = match status {
        RunStatus::Passed => [(passed, steps), (failed, "allowed to fail"), (skipped, "skipped"), (cached, "cached")],
        _ => [(failed, "failed"), (passed, "passed"), (skipped, "skipped"), (cached, "cached")],
    };
    let other = match beside.failed_services {
        0 => several(beside.services, "service", "services"),
        _ => several(beside.services, "other service", "other services"),
    };
    let of_machines = [
        several(beside.failed_machines, "machine failed", "machines failed"),
        several(beside.failed_services, "service failed", "services failed"),
        other,
        several(beside.restarts, "restart", "restarts"),
    ];
    let count = |(count, word): (usize, &str)| (count > 0).then(|| format!("{count} {word}"));
    let mut parts: Vec<String> = all.into_iter().chain(of_machines).filter_map(count).collect();
    if !beside.not_started.is_empty() {
        let machines: Vec<&str> = beside.not_started.iter().map(String::as_str).collect();
        parts.push(format!("{} not started ({})", machines.len(), names(&machines)));
    }
    parts.extend(count(several(beside.warnings, "warning", "warnings")));
    if parts.is_empty() { "0 steps".to_owned() } else { parts.join(", ") }
}

/// The first line of a cause; what follows it is shown from what was kept.
pub(super) fn first_line(cause: Option<&str>) -> &str {
    cause.and_then(|cause| cause.lines().next()).unwrap_or("it ended when it should not have")
}

/// What a step's ownership pass did.
pub(super) fn ownership(changed: u64, linked: u64) -> String {
    let entries = if changed == 1 { "entry" } else { "entries" };
    match linked {
        0 => format!("gave {changed} {entries} to their owner"),
        1 => format!("gave {changed} {entries} to their owner, left 1 file with other names alone"),
        linked => format!("gave {changed} {entries} to their owner, left {linked} files with other names alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let said: Vec<String> = [0.0, 0.424, 4.24, 59.94, 59.96, 65.0, 3600.0, 7380.0].map(render_seconds).into();
        assert_eq!(said, ["0.00s", "0.42s", "4.2s", "59.9s", "1m 00s", "1m 05s", "1h 00m", "2h 03m"]);
    }

    #[test]
    fn the_end_of_a_step_names_code_signal_and_cause() {
        assert_eq!(step_end(StepStatus::Failed, Some(3), None), "failed with exit code 3");
        assert_eq!(step_end(StepStatus::Failed, Some(139), None), "failed: killed by signal 11");
        assert_eq!(step_end(StepStatus::Failed, Some(137), Some("out of memory")), "failed: out of memory");
        assert_eq!(
            step_end(StepStatus::Failed, Some(0), Some("output `/o` is missing")),
            "failed: output `/o` is missing"
        );
        assert_eq!(step_end(StepStatus::TimedOut, Some(143), Some("10s")), "timed out: 10s");
    }

    #[test]
    fn counts_leave_zeros_out() {
        let none = Beside::default();
        assert_eq!(counts(RunStatus::Passed, [0; 4], &none), "0 steps");
        assert_eq!(counts(RunStatus::Failed, [2, 1, 3, 0], &none), "1 failed, 2 passed, 3 skipped");
        let beside = Beside { services: 1, warnings: 2, ..Beside::default() };
        assert_eq!(
            counts(RunStatus::Passed, [2, 1, 0, 0], &beside),
            "2 steps, 1 allowed to fail, 1 service, 2 warnings"
        );
        let beside = Beside { services: 2, ..Beside::default() };
        assert_eq!(counts(RunStatus::Interrupted, [0; 4], &beside), "2 services");
    }

    #[test]
    fn counts_name_machines_that_did_not_come() {
        let beside = Beside {
            services: 2,
            failed_services: 1,
            restarts: 4,
            not_started: ["web", "worker"].map(str::to_owned).to_vec(),
            warnings: 1,
            ..Beside::default()
        };
        assert_eq!(
            counts(RunStatus::Failed, [0; 4], &beside),
            "1 service failed, 2 other services, 4 restarts, 2 not started (web and worker), 1 warning"
        );
        let beside = Beside { failed_machines: 1, not_started: vec!["web".to_owned()], ..Beside::default() };
        assert_eq!(counts(RunStatus::Failed, [0; 4], &beside), "1 machine failed, 1 not started (web)");
    }

    #[test]
    fn a_test_of_health_is_told_by_its_name() {
        let event = |exit_code, cause: &str| Event::Service {
            machine: "db".to_owned(),
            phase: ServicePhase::Testing,
            seconds: 1.0,
            attempt: Some(4),
            of: Some(30),
            exit_code,
            delay: None,
            test: Some("pg_isready".to_owned()),
            cause: Some(cause.to_owned()).filter(|cause| !cause.is_empty()),
        };
        assert_eq!(service_test(&event(Some(2), "")), "4/30, pg_isready exit 2");
        assert_eq!(service_test(&event(Some(2), "no response")), "4/30, pg_isready exit 2: no response");
        assert_eq!(service_test(&event(None, "it took longer than 2s")), "4/30, pg_isready: it took longer than 2s");
        let missing = "there is no program `pg_isready`";
        assert_eq!(service_test(&event(Some(127), missing)), format!("4/30, pg_isready exit 127: {missing}"));
    }

    #[test]
    fn long_lists_are_counted() {
        assert_eq!(names(&["a"]), "a");
        assert_eq!(names(&["a", "b"]), "a and b");
        assert_eq!(names(&["a", "b", "c"]), "a, b and c");
        assert_eq!(names(&["a", "b", "c", "d"]), "a, b, c and 1 more");
    }
}
