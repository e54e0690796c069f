//! What went wrong, kept while a run goes on and told at its end: the last lines, the log's place, how to look
//! at it from a shell and how to run it again.
//!
//! Memory is bounded whatever a guest prints (`tail`). Deliberately not here: whole logs (`run` writes them).

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::event::{Event, MachinePhase, OutputOf, ServicePhase, StepStatus, Stream, Timed};

use super::readable::readable;
use super::style::Style;
use super::tail::{LINES_KEPT, Tail};
use super::words;

/// One thing that went wrong.
#[derive(Debug)]
struct Failed {
    title: String,
    lines: Vec<String>,
    lines_are: &'static str,
    log: Option<String>,
    /// The step or machine that is to be selected to run it again.
    again: String,
    /// What it is.
    of: Of,
}

/// What has failed; a step is something in whose machine a shell can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Step,
    Machine,
    Service,
}

/// Keeps the last lines of everything that may fail, and what failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    tails: HashMap<OutputOf, Tail>,
    /// The same of consoles, whose machines may also have services.
    consoles: HashMap<String, Tail>,
    failed: Vec<Failed>,
    /// Services that were started.
    services: HashSet<String>,
    restarts: usize,
    /// Machines that did not come, in the order in which it was told.
    not_started: Vec<NotStarted>,
    /// The first warnings, each once.
    warnings: Vec<String>,
    warnings_told: usize,
}

/// A machine that did not come.
#[derive(Debug)]
struct NotStarted {
    machine: String,
    cause: String,
    /// The machine that kept it from coming.
    by: Option<String>,
}

/// What a summary counts beside steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// Machines that failed.
    pub(super) failed_machines: usize,
    /// Services that ended by themselves with another code than 0, or are unhealthy.
    pub(super) failed_services: usize,
    /// Other services that were started.
    pub(super) services: usize,
    /// How often services were started again.
    pub(super) restarts: usize,
    /// Machines that were to come and did not.
    pub(super) not_started: Vec<String>,
    /// Warnings that were told.
    pub(super) warnings: usize,
}

/// How many warnings the end of a run that did not pass says again.
const WARNINGS_KEPT: usize = 5;

impl Failures {
    /// Takes the next event.
    pub(super) fn on(&mut self, timed: &Timed) {
        match &timed.event {
            Event::Output { of: OutputOf::Machine(machine), stream: stream @ Stream::Console, bytes } => {
                self.consoles.entry(machine.clone()).or_default().push(*stream, bytes);
            }
            Event::Output { of, stream, bytes } => {
                self.tails.entry(of.clone()).or_default().push(*stream, bytes);
            }
            Event::StepStarted { step, .. } => {
                self.tails.remove(&OutputOf::Step(step.clone()));
            }
            Event::Machine { machine, phase: MachinePhase::Prepared | MachinePhase::Booting, .. } => {
                self.not_started.retain(|known| known.machine != *machine);
            }
            Event::NotStarted { machine, cause, by } => {
                let (machine, by) = (machine.clone(), by.clone());
                self.not_started.retain(|known| known.machine != machine);
                self.not_started.push(NotStarted { machine, cause: readable(cause.as_bytes()), by });
            }
            Event::Machine { machine, phase: MachinePhase::Failed, cause, .. } => {
                let lines = self.consoles.get(machine).map(|tail| tail.last(LINES_KEPT));
                let cause = words::first_line(cause.as_deref());
                self.failed.push(Failed {
                    title: readable(format!("machine `{machine}` failed: {cause}").as_bytes()),
                    lines: lines.unwrap_or_default(),
                    lines_are: "the end of its console",
                    log: None,
                    again: machine.clone(),
                    of: Of::Machine,
                });
            }
            Event::Service { machine, phase, exit_code, .. } => {
                self.service(machine, *phase, *exit_code, &words::service(&timed.event));
            }
            Event::StepFinished { step, status, exit_code, cause, is_allowed, log, .. } => {
                let tail = self.tails.remove(&OutputOf::Step(step.clone()));
                if matches!(status, StepStatus::Failed | StepStatus::TimedOut) && !is_allowed {
                    let end = words::step_end(*status, *exit_code, cause.as_deref());
                    self.failed.push(Failed {
                        title: readable(format!("step `{step}` {end}").as_bytes()),
                        lines: tail.map(|tail| tail.last(LINES_KEPT)).unwrap_or_default(),
                        lines_are: "its last lines",
                        log: log.clone(),
                        again: step.clone(),
                        of: Of::Step,
                    });
                }
            }
            // A signal is the cause that the summary names anyway.
            Event::Warning { text } if !words::is_of_signal(text) && !words::is_of_down(text) => {
                self.warnings_told += 1;
                let text = readable(text.as_bytes());
                if self.warnings.len() < WARNINGS_KEPT && !self.warnings.contains(&text) {
                    self.warnings.push(text);
                }
            }
            _ => {}
        }
    }

    /// A service that ended by itself, and not with 0, or is unhealthy has a block, unless it gets better.
    fn service(&mut self, machine: &str, phase: ServicePhase, exit_code: Option<i32>, words: &str) {
        let name = format!("service `{machine}` ");
        if phase == ServicePhase::Started {
            self.services.insert(machine.to_owned());
        }
        match phase {
            ServicePhase::Exited if exit_code == Some(0) => {}
            ServicePhase::Exited | ServicePhase::Unhealthy => {
                let tail = self.tails.get(&OutputOf::Machine(machine.to_owned()));
                self.failed.push(Failed {
                    title: readable(format!("{name}{words}").as_bytes()),
                    lines: tail.map(|tail| tail.last(LINES_KEPT)).unwrap_or_default(),
                    lines_are: "its last lines",
                    log: None,
                    again: machine.to_owned(),
                    of: Of::Service,
                });
            }
            ServicePhase::Restarting | ServicePhase::Healthy => {
                self.restarts += usize::from(phase == ServicePhase::Restarting);
                self.failed.retain(|failed| failed.of != Of::Service || failed.again != machine);
            }
            ServicePhase::Started | ServicePhase::Testing | ServicePhase::Stopping | ServicePhase::Stopped => {}
        }
    }

    /// What the summary counts beside steps.
    pub(super) fn beside(&self) -> Beside {
        let failed = |of: Of| {
            let all = self.failed.iter().filter(|failed| failed.of == of);
            all.map(|failed| failed.again.as_str()).collect::<HashSet<&str>>()
        };
        let failed_services = failed(Of::Service);
        Beside {
            failed_machines: failed(Of::Machine).len(),
            services: self.services.iter().filter(|service| !failed_services.contains(service.as_str())).count(),
            failed_services: failed_services.len(),
            restarts: self.restarts,
            not_started: self.not_started.iter().map(|one| one.machine.clone()).collect(),
            warnings: self.warnings_told,
        }
    }

    /// The last lines of a step that runs, at most so many.
    pub(super) fn last_lines(&self, step: &str, count: usize) -> Vec<String> {
        self.tails.get(&OutputOf::Step(step.to_owned())).map(|tail| tail.last(count)).unwrap_or_default()
    }

    /// Whether one of the blocks has this cause as its title.
    pub(super) fn tell(&self, cause: &str) -> bool {
        let cause = words::first_line(Some(cause));
        self.failed.iter().any(|failed| failed.title == cause)
    }

    /// Machines that did not come because of this one.
    fn kept_by(&self, machine: &str) -> impl Iterator<Item = &NotStarted> {
        self.not_started.iter().filter(move |one| one.by.as_deref() == Some(machine))
    }

    /// Whether a machine, or its service, has a block of its own.
    fn has_block(&self, machine: &str) -> bool {
        self.failed.iter().any(|failed| failed.of != Of::Step && failed.again == machine)
    }

    /// The blocks for the end of a run; empty where nothing failed.
    pub(super) fn render(&self, style: Style, again: &str, offers_shell: bool) -> String {
        let mut out = String::new();
        for failed in &self.failed {
            let _ = writeln!(out, "\n{}", style.bad(&failed.title));
            if !failed.lines.is_empty() {
                let _ = writeln!(out, "  {}:", failed.lines_are);
                for line in &failed.lines {
                    let _ = writeln!(out, "  {} {line}", style.dim("│"));
                }
            }
            if failed.of != Of::Step {
                let kept: Vec<&str> = self.kept_by(&failed.again).map(|one| one.machine.as_str()).collect();
                if !kept.is_empty() {
                    let _ = writeln!(out, "  not started because of it: {}", words::names(&kept));
                }
            }
            if let Some(log) = &failed.log {
                let _ = writeln!(out, "  log:   {log}");
            }
            let what = shell_word(&failed.again);
            if failed.of == Of::Step && offers_shell {
                let _ = writeln!(out, "  shell: {again} -i {what}");
            }
            let _ = writeln!(out, "  again: {again} {what}");
        }
        for one in self.not_started.iter().filter(|one| one.by.as_ref().is_some_and(|by| !self.has_block(by))) {
            let _ =
                writeln!(out, "\n{}", style.bad(&format!("machine `{}` was not started: {}", one.machine, one.cause)));
        }
        // What was said long ago may be why: a disk that was full, for one.
        if !self.failed.is_empty() && !self.warnings.is_empty() {
            out.push('\n');
            for warning in &self.warnings {
                let _ = writeln!(out, "{} {warning}", style.warn("warning:"));
            }
        }
        out
    }
}

/// A name as a shell takes it: brackets are a pattern of its.
fn shell_word(name: &str) -> String {
    if name.contains('[') { format!("'{name}'") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stream;
    use std::time::Duration;

    fn timed(event: Event) -> Timed {
        Timed { at: Duration::ZERO, event }
    }

    fn output(step: &str, stream: Stream, bytes: &[u8]) -> Timed {
        timed(Event::Output { of: OutputOf::Step(step.to_owned()), stream, bytes: bytes.to_vec() })
    }

    fn finished(step: &str, is_allowed: bool) -> Timed {
        timed(Event::StepFinished {
            step: step.to_owned(),
            machine: "m".to_owned(),
            status: StepStatus::Failed,
            exit_code: Some(3),
            seconds: 1.0,
            cause: None,
            is_allowed,
            log: Some("/state/unit.log".to_owned()),
        })
    }

    #[test]
    fn a_failure_shows_the_last_twenty_lines_the_log_and_the_command() {
        let mut failures = Failures::default();
        for number in 0..30 {
            failures.on(&output("unit", Stream::Stdout, format!("line {number}\n").as_bytes()));
        }
        failures.on(&output("unit", Stream::Stderr, b"unfin"));
        failures.on(&output("unit", Stream::Stderr, b"ished"));
        failures.on(&finished("unit", false));
        let mut expected = "\nstep `unit` failed with exit code 3\n  its last lines:\n".to_owned();
        for number in 11..30 {
            expected.push_str(&format!("  │ line {number}\n"));
        }
        expected.push_str(
            "  │ unfinished\n  log:   /state/unit.log\n  shell: smolvm up -i unit\n  again: smolvm up unit\n",
        );
        assert_eq!(failures.render(Style::plain(), "smolvm up", true), expected);
    }

    #[test]
    fn a_service_that_ended_shows_its_last_lines_unless_it_is_started_again() {
        let service = |phase, exit_code| {
            timed(Event::Service {
                machine: "db".to_owned(),
                phase,
                seconds: 1.0,
                attempt: None,
                of: None,
                exit_code,
                delay: None,
                test: None,
                cause: None,
            })
        };
        let machine = OutputOf::Machine("db".to_owned());
        let mut failures = Failures::default();
        for (stream, bytes) in [(Stream::Console, "kernel\n"), (Stream::Stderr, "no such folder\n")] {
            failures.on(&timed(Event::Output { of: machine.clone(), stream, bytes: bytes.into() }));
        }
        failures.on(&service(ServicePhase::Exited, Some(1)));
        let expected =
            "\nservice `db` exited with exit code 1\n  its last lines:\n  │ no such folder\n  again: smolvm up db\n";
        assert_eq!(failures.render(Style::plain(), "smolvm up", true), expected);
        failures.on(&service(ServicePhase::Restarting, None));
        failures.on(&service(ServicePhase::Exited, Some(0)));
        assert_eq!(failures.render(Style::plain(), "smolvm up", true), "");
    }

    #[test]
    fn a_failure_says_again_what_was_warned_of_before() {
        let warning = |text: &str| timed(Event::Warning { text: text.to_owned() });
        let mut failures = Failures::default();
        for text in
            ["the host has no room left", "the host has no room left", "the clock \x1b[2Jis wrong", "SIGINT: ending"]
        {
            failures.on(&warning(text));
        }
        assert_eq!(failures.render(Style::plain(), "smolvm up", true), "", "they were said when they came");
        failures.on(&finished("unit", false));
        let text = failures.render(Style::plain(), "smolvm up", true);
        let end = "again: smolvm up unit\n\nwarning: the host has no room left\nwarning: the clock is wrong\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(failures.beside(), Beside { warnings: 3, ..Beside::default() });
    }

    #[test]
    fn what_did_not_come_is_named_where_it_was_kept_from_it() {
        let not_started = |machine: &str, by: Option<&str>| {
            timed(Event::NotStarted {
                machine: machine.to_owned(),
                cause: "service `db` is unhealthy".to_owned(),
                by: by.map(str::to_owned),
            })
        };
        let mut failures = Failures::default();
        failures.on(&timed(Event::Service {
            machine: "db".to_owned(),
            phase: ServicePhase::Unhealthy,
            seconds: 1.0,
            attempt: Some(30),
            of: Some(30),
            exit_code: Some(2),
            delay: None,
            test: Some("pg_isready".to_owned()),
            cause: Some("no response".to_owned()),
        }));
        for (machine, by) in [("web", "db"), ("worker", "db"), ("report", "seed")] {
            failures.on(&not_started(machine, Some(by)));
        }
        failures.on(&not_started("idle", None));
        assert_eq!(
            failures.render(Style::plain(), "smolvm up", true),
            "\nservice `db` unhealthy: 30/30, pg_isready exit 2: no response\n  not started because of it: web and \
             worker\n  again: smolvm up db\n\nmachine `report` was not started: service `db` is unhealthy\n"
        );
        let beside = failures.beside();
        assert_eq!((beside.failed_services, beside.services), (1, 0));
        assert_eq!(beside.not_started, ["web", "worker", "report", "idle"]);
        // What it waits for has come after all.
        failures.on(&timed(Event::Machine {
            machine: "web".to_owned(),
            phase: MachinePhase::Prepared,
            seconds: 1.0,
            engine: None,
            cause: None,
        }));
        assert_eq!(failures.beside().not_started.len(), 3);
    }

    #[test]
    fn an_allowed_failure_has_no_block() {
        let mut failures = Failures::default();
        failures.on(&finished("unit", true));
        assert_eq!(failures.render(Style::plain(), "smolvm up", true), "");
    }

    #[test]
    fn a_machine_that_failed_shows_the_end_of_its_console() {
        let mut failures = Failures::default();
        failures.on(&timed(Event::Output {
            of: OutputOf::Machine("build".to_owned()),
            stream: Stream::Console,
            bytes: b"Kernel panic - not syncing\n".to_vec(),
        }));
        failures.on(&timed(Event::Machine {
            machine: "build".to_owned(),
            phase: MachinePhase::Failed,
            seconds: 0.5,
            engine: None,
            cause: Some("kernel: it panicked\nthe end of its console:\n  …".to_owned()),
        }));
        assert_eq!(
            failures.render(Style::plain(), "smolvm up", true),
            "\nmachine `build` failed: kernel: it panicked\n  the end of its console:\n  │ Kernel panic - not syncing\n  \
             again: smolvm up build\n"
        );
    }
}
