//! Plain lines for people, pipes and CI: `HH:MM:SS step │ text`.
//!
//! What steps print, of both streams, goes to standard output; our own words go to standard error. Under a CI
//! service that folds its log, the lines of one step are a group. Deliberately not here: redrawn blocks.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::SignedDuration;

use crate::event::{Awaited, Event, MachinePhase, OutputOf, RunStatus, ServicePhase, StepStatus, Stream, Timed};
use crate::plan::Condition;

use super::failure::{Beside, Failures};
use super::lines::OutputLines;
use super::names::Names;
use super::readable::readable;
use super::reporter::{ReportOptions, Reporter, Sink, Verbosity};
use super::service_news::ServiceNews;
use super::style::Style;
use super::words;

/// How often a service that is not healthy yet is told of, at most.
const TESTS_TOLD: Duration = Duration::from_secs(10);

/// How the lines of a step are folded by the service that shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Not at all.
    None,
    /// `::group::` and `::endgroup::`.
    GitHub,
    /// `section_start` and `section_end`.
    GitLab,
}

/// Prints plain lines.
#[derive(Debug)]
pub struct PlainReporter {
    options: ReportOptions,
    grouping: Grouping,
    stdout: Sink,
    stderr: Sink,
    failures: Failures,
    names: Names,
    open: OutputLines,
    news: ServiceNews,
    /// When a failed test of a service was told.
    tests_told: HashMap<String, Duration>,
    /// What machines wait for.
    waiting: BTreeMap<String, Vec<Awaited>>,
    /// Step whose group is open.
    group: Option<String>,
}

impl PlainReporter {
    /// A reporter that writes to these two.
    pub fn new(options: ReportOptions, grouping: Grouping, stdout: Sink, stderr: Sink) -> Self {
        Self {
            options,
            grouping,
            stdout,
            stderr,
            failures: Failures::default(),
            names: Names::default(),
            open: OutputLines::default(),
            news: ServiceNews::default(),
            tests_told: HashMap::new(),
            waiting: BTreeMap::new(),
            group: None,
        }
    }

    /// What is shown before the lines of whom.
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    fn clock(&self, timed: &Timed) -> String {
        let since = SignedDuration::try_from(timed.at).unwrap_or(SignedDuration::ZERO);
        self.options.start.checked_add(since).map_or_else(
            |_| "--:--:--".to_owned(),
            |now| format!("{:02}:{:02}:{:02}", now.hour(), now.minute(), now.second()),
        )
    }

    fn say(&mut self, timed: &Timed, text: &str) {
        let line = format!("{} {text}\n", self.options.stderr_style.dim(&self.clock(timed)));
        self.stderr.write(line.as_bytes());
    }

    fn output(&mut self, timed: &Timed, of: &OutputOf, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Console && self.options.verbosity < Verbosity::Verbose {
            return;
        }
        let prefix = self.prefix(timed, of);
        let mut text = Vec::with_capacity(bytes.len() + 64);
        self.open.push(of, stream, bytes, |line| add_line(&mut text, &prefix, line));
        self.print(timed, of, stream, &text);
    }

    fn prefix(&self, timed: &Timed, of: &OutputOf) -> String {
        let (OutputOf::Step(name) | OutputOf::Machine(name)) = of;
        let style = self.options.stdout_style;
        format!("{} {}", style.dim(&self.clock(timed)), self.names.prefix(name, '│', style))
    }

    /// Prints whole lines, where they belong.
    fn print(&mut self, timed: &Timed, of: &OutputOf, stream: Stream, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if stream == Stream::Console {
            self.stderr.write(text);
            return;
        }
        let mut out = match of {
            OutputOf::Step(step) => self.open_group(timed, step),
            // Lines of a service do not belong to the step whose group is open.
            OutputOf::Machine(_) => self.close_group(timed),
        }
        .into_bytes();
        out.extend_from_slice(text);
        self.stdout.write(&out);
    }

    /// Prints what of this step (or machine) was held back for want of a line's end.
    fn flush(&mut self, timed: &Timed, of: &OutputOf) {
        let prefix = self.prefix(timed, of);
        for stream in [Stream::Stdout, Stream::Stderr, Stream::Console] {
            let mut text = Vec::new();
            self.open.end(of, stream, |line| add_line(&mut text, &prefix, line));
            self.print(timed, of, stream, &text);
        }
    }

    fn open_group(&mut self, timed: &Timed, step: &str) -> String {
        if self.grouping == Grouping::None || self.group.as_deref() == Some(step) {
            return String::new();
        }
        let mut text = self.close_group(timed);
        match self.grouping {
            Grouping::None => {}
            Grouping::GitHub => {
                let _ = writeln!(text, "::group::{step}");
            }
            Grouping::GitLab => {
                let _ = write!(text, "\x1b[0Ksection_start:{}:{step}\r\x1b[0K{step}\n", self.unix_seconds(timed));
            }
        }
        self.group = Some(step.to_owned());
        text
    }

    fn close_group(&mut self, timed: &Timed) -> String {
        match (self.group.take(), self.grouping) {
            (Some(_), Grouping::GitHub) => "::endgroup::\n".to_owned(),
            (Some(step), Grouping::GitLab) => {
                format!("\x1b[0Ksection_end:{}:{step}\r\x1b[0K\n", self.unix_seconds(timed))
            }
            _ => String::new(),
        }
    }

    fn unix_seconds(&self, timed: &Timed) -> i64 {
        let since = i64::try_from(timed.at.as_secs()).unwrap_or(0);
        self.options.start.timestamp().as_second().saturating_add(since)
    }

    fn machine(&mut self, timed: &Timed, machine: &str, phase: MachinePhase) {
        let Event::Machine { seconds, engine, cause, .. } = &timed.event else { return };
        let took = words::render_seconds(*seconds);
        let text = match phase {
            MachinePhase::Booting => match engine {
                Some(engine) => format!("machine {machine}: booting, {engine}"),
                None => format!("machine {machine}: booting"),
            },
            MachinePhase::Failed => {
                self.flush(timed, &OutputOf::Machine(machine.to_owned()));
                let cause = words::first_line(cause.as_deref());
                let word = self.options.stderr_style.bad("failed");
                format!("machine {machine}: {word}: {cause}")
            }
            MachinePhase::Ready => format!("machine {machine}: ready"),
            MachinePhase::Stopped => {
                self.flush(timed, &OutputOf::Machine(machine.to_owned()));
                format!("machine {machine}: stopped")
            }
            _ if self.options.verbosity == Verbosity::Verbose => {
                format!("machine {machine}: {} after {took}", phase.name())
            }
            _ => return,
        };
        self.say(timed, &text);
    }

    fn service(&mut self, timed: &Timed, machine: &str, phase: ServicePhase) {
        let told = self.news.words(&timed.event, self.options.verbosity == Verbosity::Verbose);
        if matches!(phase, ServicePhase::Exited | ServicePhase::Stopped) {
            self.flush(timed, &OutputOf::Machine(machine.to_owned()));
        }
        let Some(words) = told.map(|words| readable(words.as_bytes())) else { return };
        if phase == ServicePhase::Testing {
            if self.is_test_due(timed.at, machine) {
                self.tested(timed, machine, &words);
            }
            return;
        }
        let style = self.options.stderr_style;
        let words = match phase {
            ServicePhase::Healthy => style.good(&words),
            ServicePhase::Unhealthy => style.bad(&words),
            ServicePhase::Stopping => style.dim(&words),
            ServicePhase::Exited => style.warn(&words),
            _ => words,
        };
        self.say(timed, &format!("service {machine}: {words}"));
    }

    /// A test has failed: who waits for the service waits on, and for what is told with it.
    fn tested(&mut self, timed: &Timed, service: &str, words: &str) {
        let style = self.options.stderr_style;
        let is_waited_for = |on: &Awaited| on.machine == service && on.condition == Condition::Healthy;
        let waits = |(machine, on): (&String, &Vec<Awaited>)| on.iter().any(is_waited_for).then(|| machine.clone());
        let waiting: Vec<String> = self.waiting.iter().filter_map(waits).collect();
        let test = readable(words::service_test(&timed.event).as_bytes());
        for machine in &waiting {
            self.say(timed, &style.dim(&format!("machine {machine}: waiting for {service} healthy: {test}")));
        }
        if waiting.is_empty() {
            self.say(timed, &format!("service {service}: {}", style.dim(words)));
        }
    }

    fn waits(&mut self, timed: &Timed, machine: &str, on: &[Awaited]) {
        self.waiting.insert(machine.to_owned(), on.to_vec());
        if !on.is_empty() {
            self.say(timed, &format!("machine {machine}: waiting for {}", words::awaited(on)));
        }
    }

    /// A test that fails every second is told now and then.
    fn is_test_due(&mut self, at: Duration, machine: &str) -> bool {
        let last = self.tests_told.get(machine).copied();
        let is_due = last.is_none_or(|last| at.saturating_sub(last) >= TESTS_TOLD);
        if is_due || self.options.verbosity == Verbosity::Verbose {
            self.tests_told.insert(machine.to_owned(), at);
            return true;
        }
        false
    }

    fn step_finished(&mut self, timed: &Timed) {
        let Event::StepFinished { step, status, exit_code, seconds, cause, is_allowed, .. } = &timed.event else {
            return;
        };
        self.flush(timed, &OutputOf::Step(step.clone()));
        if self.group.as_deref() == Some(step.as_str()) {
            let end = self.close_group(timed);
            self.stdout.write(end.as_bytes());
        }
        let style = self.options.stderr_style;
        let end = words::step_end(*status, *exit_code, cause.as_deref());
        let end = match status {
            StepStatus::Passed => style.good(&end),
            StepStatus::Failed | StepStatus::TimedOut if *is_allowed => style.warn(&format!("{end} (allowed)")),
            StepStatus::Failed | StepStatus::TimedOut => style.bad(&end),
            StepStatus::Canceled | StepStatus::Skipped => style.dim(&end),
        };
        let text = match status {
            StepStatus::Skipped => format!("step {step}: {end}"),
            _ => format!("step {step}: {end} in {}", words::render_seconds(*seconds)),
        };
        self.say(timed, &text);
    }

    fn run_finished(&mut self, timed: &Timed) {
        let mut left = Vec::new();
        self.open.end_all(|of, stream, line| left.push((of.clone(), stream, line.to_vec())));
        for (of, stream, line) in left {
            let mut text = Vec::new();
            add_line(&mut text, &self.prefix(timed, &of), &line);
            self.print(timed, &of, stream, &text);
        }
        let end = self.close_group(timed);
        self.stdout.write(end.as_bytes());
        let style = self.options.stderr_style;
        let mut text = self.failures.render(style, &self.options.again, self.options.offers_shell);
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&render_summary(&timed.event, &self.failures.beside(), style));
        self.stderr.write(text.as_bytes());
    }
}

/// Adds a line with what stands before it.
fn add_line(text: &mut Vec<u8>, prefix: &str, line: &[u8]) {
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(line);
    text.push(b'\n');
}

/// The last line of a run: how it ended, the counts, the time, the cause.
pub(super) fn render_summary(event: &Event, beside: &Beside, style: Style) -> String {
    let Event::RunFinished { status, cause, seconds, passed, failed, skipped, cached, .. } = event else {
        return String::new();
    };
    let word = match status {
        RunStatus::Passed => style.good("passed"),
        RunStatus::TimedOut => style.bad("timed out"),
        status => style.bad(words::run_status(*status)),
    };
    let counts = words::counts(*status, [*passed, *failed, *skipped, *cached], beside);
    let took = words::render_seconds(*seconds);
    match cause {
        Some(cause) => format!("{word}: {counts} in {took}: {}\n", words::first_line(Some(cause))),
        None => format!("{word}: {counts} in {took}\n"),
    }
}

impl Reporter for PlainReporter {
    fn on(&mut self, timed: &Timed) {
        self.failures.on(timed);
        match &timed.event {
            Event::RunStarted { run, project } => {
                if self.options.verbosity == Verbosity::Verbose {
                    self.say(timed, &format!("project {project}: run {run}"));
                }
            }
            Event::Machine { machine, phase, .. } => self.machine(timed, machine, *phase),
            Event::Waiting { machine, on } => self.waits(timed, machine, on),
            Event::NotStarted { machine, cause, .. } => {
                let word = self.options.stderr_style.bad("not started");
                self.say(timed, &format!("machine {machine}: {word}: {}", readable(cause.as_bytes())));
                self.waiting.remove(machine);
            }
            Event::Service { machine, phase, .. } => self.service(timed, machine, *phase),
            Event::Progress { machine, text } => self.say(timed, &format!("machine {machine}: {text}")),
            Event::Pull { .. } | Event::Paused { .. } | Event::RunHeld { .. } => {}
            Event::StepStarted { step, title, machine, attempt } => {
                let title = title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default();
                let attempt = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                self.say(timed, &format!("step {step}{title}: started in machine {machine}{attempt}"));
            }
            Event::Output { of, stream, bytes } => self.output(timed, of, *stream, bytes),
            Event::StepFinished { .. } => self.step_finished(timed),
            Event::Ownership { step, changed, linked } => {
                self.say(timed, &format!("step {step}: {}", words::ownership(*changed, *linked)));
            }
            Event::Warning { text } => {
                let word = self.options.stderr_style.warn("warning:");
                self.say(timed, &format!("{word} {text}"));
            }
            Event::RunFinished { .. } => self.run_finished(timed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reporter::testing::{Shared, options};
    use super::*;

    struct Bench {
        out: Shared,
        err: Shared,
        reporter: PlainReporter,
    }

    fn bench(grouping: Grouping) -> Bench {
        let (out, err) = (Shared::default(), Shared::default());
        let reporter = PlainReporter::new(options(Verbosity::Normal), grouping, out.sink(), err.sink());
        Bench { out, err, reporter }
    }

    fn at(seconds: u64, event: Event) -> Timed {
        Timed { at: Duration::from_secs(seconds), event }
    }

    fn started(step: &str) -> Event {
        Event::StepStarted { step: step.to_owned(), title: None, machine: "m".to_owned(), attempt: 1 }
    }

    fn output(step: &str, stream: Stream, text: &str) -> Event {
        Event::Output { of: OutputOf::Step(step.to_owned()), stream, bytes: text.as_bytes().to_vec() }
    }

    fn finished(step: &str, status: StepStatus, exit_code: Option<i32>) -> Event {
        Event::StepFinished {
            step: step.to_owned(),
            machine: "m".to_owned(),
            status,
            exit_code,
            seconds: 1.25,
            cause: None,
            is_allowed: false,
            log: None,
        }
    }

    fn end(status: RunStatus, cause: Option<&str>) -> Event {
        Event::RunFinished {
            status,
            exit_code: 0,
            cause: cause.map(str::to_owned),
            seconds: 3.0,
            passed: 1,
            failed: usize::from(status != RunStatus::Passed),
            skipped: 0,
            cached: 0,
        }
    }

    #[test]
    fn steps_print_on_stdout_and_our_words_go_to_stderr() {
        let mut bench = bench(Grouping::None);
        bench.reporter.on(&at(0, started("a")));
        bench.reporter.on(&at(1, output("a", Stream::Stdout, "one\ntw")));
        bench.reporter.on(&at(1, output("a", Stream::Stderr, "oops\n")));
        bench.reporter.on(&at(2, output("a", Stream::Stdout, "o\nend")));
        bench.reporter.on(&at(2, finished("a", StepStatus::Passed, Some(0))));
        bench.reporter.on(&at(3, end(RunStatus::Passed, None)));
        assert_eq!(bench.out.text(), "12:00:01 a │ one\n12:00:01 a │ oops\n12:00:02 a │ two\n12:00:02 a │ end\n");
        assert_eq!(
            bench.err.text(),
            "12:00:00 step a: started in machine m\n12:00:02 step a: passed in 1.2s\npassed: 1 step in 3.0s\n"
        );
    }

    #[test]
    fn a_failure_ends_with_its_block_and_the_summary() {
        let mut bench = bench(Grouping::None);
        bench.reporter.on(&at(1, output("a", Stream::Stdout, "no\n")));
        bench.reporter.on(&at(1, finished("a", StepStatus::Failed, Some(3))));
        bench.reporter.on(&at(3, end(RunStatus::Failed, Some("step `a` failed with exit code 3"))));
        assert_eq!(
            bench.err.text(),
            "12:00:01 step a: failed with exit code 3 in 1.2s\n\
             \nstep `a` failed with exit code 3\n  its last lines:\n  │ no\n  shell: smolvm up -i a\n  again: smolvm up a\n\
             \nfailed: 1 failed, 1 passed in 3.0s: step `a` failed with exit code 3\n"
        );
    }

    fn service(phase: ServicePhase, attempt: Option<u32>, exit_code: Option<i32>, cause: Option<&str>) -> Event {
        Event::Service {
            machine: "db".to_owned(),
            phase,
            seconds: 2.0,
            attempt,
            of: attempt.map(|_| 30),
            exit_code,
            delay: matches!(phase, ServicePhase::Exited | ServicePhase::Restarting).then_some(0.1),
            test: (phase == ServicePhase::Testing).then(|| "pg_isready".to_owned()),
            cause: cause.map(str::to_owned),
        }
    }

    #[test]
    fn a_service_tells_its_phases_and_prints_on_stdout() {
        let mut bench = bench(Grouping::None);
        let of = OutputOf::Machine("db".to_owned());
        bench.reporter.on(&at(1, service(ServicePhase::Started, None, None, None)));
        bench.reporter.on(&at(1, Event::Output { of: of.clone(), stream: Stream::Stderr, bytes: b"up\nhal".to_vec() }));
        bench.reporter.on(&at(1, Event::Output { of, stream: Stream::Console, bytes: b"kernel\n".to_vec() }));
        let waits = Awaited { machine: "db".to_owned(), condition: crate::plan::Condition::Healthy };
        bench.reporter.on(&at(1, Event::Waiting { machine: "test".to_owned(), on: vec![waits] }));
        bench.reporter.on(&at(2, service(ServicePhase::Testing, Some(4), Some(2), Some("no \x1b[2Jresponse"))));
        bench.reporter.on(&at(2, service(ServicePhase::Testing, Some(5), Some(2), Some("said already"))));
        bench.reporter.on(&at(2, service(ServicePhase::Healthy, None, None, None)));
        bench.reporter.on(&at(2, Event::Waiting { machine: "test".to_owned(), on: Vec::new() }));
        bench.reporter.on(&at(3, service(ServicePhase::Testing, Some(1), Some(2), None)));
        bench.reporter.on(&at(13, service(ServicePhase::Testing, Some(1), Some(2), None)));
        bench.reporter.on(&at(13, service(ServicePhase::Exited, Some(1), Some(1), None)));
        bench.reporter.on(&at(13, service(ServicePhase::Restarting, Some(1), None, None)));
        assert_eq!(bench.out.text(), "12:00:01 db │ up\n12:00:13 db │ hal\n");
        assert_eq!(
            bench.err.text(),
            "12:00:01 service db: started\n12:00:01 machine test: waiting for db healthy\n\
             12:00:02 machine test: waiting for db healthy: 4/30, pg_isready exit 2: no response\n\
             12:00:02 service db: healthy after 2.0s\n\
             12:00:13 service db: healthy, but: 1/30, pg_isready exit 2\n\
             12:00:13 service db: exited with exit code 1, restarting in 0.10s (restart 1)\n"
        );
    }

    #[test]
    fn a_machine_that_does_not_come_is_told_at_once_and_in_the_summary() {
        let mut bench = bench(Grouping::None);
        bench.reporter.on(&at(1, service(ServicePhase::Started, None, None, None)));
        bench.reporter.on(&at(2, service(ServicePhase::Unhealthy, Some(30), Some(2), Some("no response"))));
        let cause = "service `db` is unhealthy".to_owned();
        let by = Some("db".to_owned());
        bench.reporter.on(&at(2, Event::NotStarted { machine: "web".to_owned(), cause, by }));
        let mut end = end(RunStatus::Failed, Some("machine `web` did not boot"));
        if let Event::RunFinished { passed, failed, .. } = &mut end {
            (*passed, *failed) = (0, 0);
        }
        bench.reporter.on(&at(3, end));
        assert_eq!(
            bench.err.text(),
            "12:00:01 service db: started\n12:00:02 service db: unhealthy: 30/30, exit code 2: no response\n\
             12:00:02 machine web: not started: service `db` is unhealthy\n\
             \nservice `db` unhealthy: 30/30, exit code 2: no response\n  not started because of it: web\n  \
             again: smolvm up db\n\
             \nfailed: 1 service failed, 1 not started (web) in 3.0s: machine `web` did not boot\n"
        );
    }

    #[test]
    fn groups_follow_the_step_that_prints() {
        let mut bench = bench(Grouping::GitHub);
        bench.reporter.on(&at(1, output("a", Stream::Stdout, "1\n")));
        bench.reporter.on(&at(1, output("b", Stream::Stdout, "2\n")));
        bench.reporter.on(&at(1, finished("b", StepStatus::Passed, Some(0))));
        bench.reporter.on(&at(1, output("a", Stream::Stdout, "3\n")));
        bench.reporter.on(&at(2, end(RunStatus::Passed, None)));
        assert_eq!(
            bench.out.text(),
            "::group::a\n12:00:01 a │ 1\n::endgroup::\n::group::b\n12:00:01 b │ 2\n::endgroup::\n\
             ::group::a\n12:00:01 a │ 3\n::endgroup::\n"
        );
    }

    #[test]
    fn a_section_of_gitlab_has_its_seconds() {
        let mut bench = bench(Grouping::GitLab);
        bench.reporter.on(&at(1, output("a", Stream::Stdout, "1\n")));
        bench.reporter.on(&at(2, finished("a", StepStatus::Passed, Some(0))));
        assert_eq!(
            bench.out.text(),
            "\x1b[0Ksection_start:1772366401:a\r\x1b[0Ka\n12:00:01 a │ 1\n\x1b[0Ksection_end:1772366402:a\r\x1b[0K\n"
        );
    }
}
