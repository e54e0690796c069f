//! How it stands with the health of a service: its test, again and again, and the line that it prints.
//!
//! The first test comes at once and its failure does not count; after it the rules are docker's: a test comes so long
//! after the end of the last one, failures before `start_period` is over do not count unless one has passed, and
//! `retries` of them in a row make the service unhealthy. Deliberately not here: what follows from it (`services`).

use std::time::Duration;

use super::super::chunk::{Source, Tail};
use super::super::limits::TimeLimits;
use super::{News, ServiceEffect, ServiceInput, ServiceTimer};
use crate::event::{ServicePhase, Stream};
use crate::guest::ExitStatus;
use crate::plan::{Command, HealthPlan};
use crate::run::step::duration;

/// Words with which a script begins that are no program.
const WORDS_OF_SHELLS: &[&str] = &["if", "for", "while", "until", "case", "set", "exec", "cd", "export"];

/// What the check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum HealthState {
    /// Nothing yet.
    Starting,
    Healthy,
    Unhealthy,
}

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TestResult {
    /// Its code, where a process ended.
    exit_code: Option<i32>,
    /// Its last line, or what went wrong.
    cause: Option<String>,
    /// Whether it is the test's, rather than a line's that did not come.
    is_of_test: bool,
}

/// The check of one service.
#[derive(Debug)]
pub(super) struct Health {
    plan: HealthPlan,
    limits: TimeLimits,
    state: HealthState,
    /// The test that runs, is due, or was the last one. Each has its own number.
    test: u32,
    is_testing: bool,
    /// Whether the test that runs was killed, because it took too long.
    is_late: bool,
    /// Whether the next failure is that of the test that came at once.
    is_first: bool,
    /// Failures in a row that count.
    failures: u32,
    /// What the test that runs has said.
    said: Tail,
    last: Option<TestResult>,
    line: Option<Line>,
}

use HealthState as Is;
use ServiceEffect as Do;
use ServiceInput as In;
use ServiceTimer as Time;

impl Health {
    pub(super) fn new(plan: HealthPlan, limits: TimeLimits) -> Self {
        Self {
            line: plan.log_line.as_deref().map(Line::new),
            plan,
            limits,
            state: Is::Starting,
            test: 0,
            is_testing: false,
            is_late: false,
            is_first: true,
            failures: 0,
            said: Tail::default(),
            last: None,
        }
    }

    pub(super) fn state(&self) -> HealthState {
        self.state
    }

    /// The last failure in words.
    pub(super) fn complaint(&self) -> String {
        let Some(last) = &self.last else { return String::new() };
        let code = last.exit_code.map(|code| format!("its test ended with exit code {code}"));
        code.into_iter().chain(last.cause.clone()).collect::<Vec<_>>().join(": ")
    }

    /// The command was started.
    pub(super) fn begin(&mut self) -> Vec<ServiceEffect> {
        (self.state, self.is_first, self.failures, self.last) = (Is::Starting, true, 0, None);
        self.line = self.plan.log_line.as_deref().map(Line::new);
        if self.plan.test.is_some() { self.run() } else { self.plan_next(Duration::ZERO) }
    }

    /// The command ended, or is about to.
    pub(super) fn end(&mut self) -> Option<ServiceEffect> {
        let running = std::mem::take(&mut self.is_testing).then_some(Do::KillTest(self.test));
        // What comes of it now is of no interest.
        self.test += 1;
        running
    }

    /// Takes an input of so long after the start.
    pub(super) fn on(&mut self, since: Duration, input: ServiceInput) -> Vec<ServiceEffect> {
        match input {
            In::Output(_, stream, bytes) => self.printed(since, stream, &bytes),
            In::Overdue(Time::Test(test)) if test == self.test && !self.is_testing => {
                if self.plan.test.is_some() {
                    self.run()
                } else {
                    self.missing_line(since)
                }
            }
            In::TestOutput(test, bytes) if self.runs(test) => {
                self.said.push(Source::Console, &bytes);
                Vec::new()
            }
            In::TestFailed(test, failure) if self.runs(test) => {
                let result =
                    TestResult { exit_code: Some(failure.exit_code), cause: Some(failure.cause), is_of_test: true };
                self.failed(since, result)
            }
            In::TestExited(test, status) if self.runs(test) => self.ended(since, status),
            In::Overdue(Time::TestTime(test)) if self.runs(test) => {
                self.is_late = true;
                vec![Do::KillTest(test), Do::Arm(Time::TestKill(test), self.limits.answer())]
            }
            In::Overdue(Time::TestKill(test)) if self.runs(test) => self.too_late(since),
            _ => Vec::new(),
        }
    }

    fn runs(&self, test: u32) -> bool {
        self.is_testing && test == self.test
    }

    fn run(&mut self) -> Vec<ServiceEffect> {
        self.test += 1;
        (self.is_testing, self.is_late) = (true, false);
        self.said = Tail::default();
        vec![Do::Test(self.test), Do::Arm(Time::TestTime(self.test), self.plan.timeout)]
    }

    fn plan_next(&mut self, since: Duration) -> Vec<ServiceEffect> {
        let is_starting = self.state == Is::Starting && since < self.plan.start_period;
        let after = if is_starting { self.plan.start_interval } else { self.plan.interval };
        self.test += 1;
        vec![Do::Arm(Time::Test(self.test), after)]
    }

    fn has_line(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.is_seen)
    }

    /// A line that makes it ready is looked for; with a test beside it, the test is asked at once.
    fn printed(&mut self, since: Duration, stream: Stream, bytes: &[u8]) -> Vec<ServiceEffect> {
        let is_news = self.line.as_mut().is_some_and(|line| line.take(stream, bytes));
        match (is_news, &self.plan.test) {
            (true, None) => self.passed(since),
            (true, Some(_)) if !self.is_testing => self.run(),
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, since: Duration, status: ExitStatus) -> Vec<ServiceEffect> {
        let cause = self.said.lines().pop();
        if self.is_late {
            return self.too_late(since);
        }
        let exit_code = status.shell_code();
        match exit_code {
            0 if self.has_line() => self.passed(since),
            0 => self.missing_line(since),
            _ => self.failed(since, TestResult { exit_code: Some(exit_code), cause, is_of_test: true }),
        }
    }

    fn too_late(&mut self, since: Duration) -> Vec<ServiceEffect> {
        let cause = Some(format!("it took longer than {}", duration(self.plan.timeout)));
        self.failed(since, TestResult { exit_code: None, cause, is_of_test: true })
    }

    fn missing_line(&mut self, since: Duration) -> Vec<ServiceEffect> {
        let line = self.plan.log_line.clone().unwrap_or_default();
        let cause = Some(format!("no line with `{line}` has come"));
        self.failed(since, TestResult { exit_code: None, cause, is_of_test: false })
    }

    fn passed(&mut self, since: Duration) -> Vec<ServiceEffect> {
        let was = std::mem::replace(&mut self.state, Is::Healthy);
        // Told again where a failure was told meanwhile.
        let is_news = was != Is::Healthy || self.failures > 0;
        (self.is_testing, self.is_first, self.failures) = (false, false, 0);
        let told = is_news.then(|| Do::Tell(self.news(since, ServicePhase::Healthy)));
        let next = if self.plan.test.is_some() {
            self.plan_next(since)
        } else {
            // There is nothing more to ask: what is still due comes too late.
            self.test += 1;
            Vec::new()
        };
        told.into_iter().chain(next).collect()
    }

    fn failed(&mut self, since: Duration, result: TestResult) -> Vec<ServiceEffect> {
        self.is_testing = false;
        let is_early = self.state == Is::Starting && since < self.plan.start_period;
        let is_first = std::mem::take(&mut self.is_first) && self.plan.test.is_some();
        if !is_early && !is_first {
            self.failures = self.failures.saturating_add(1);
        }
        let was = self.state;
        if self.failures >= self.plan.retries.max(1) {
            self.state = Is::Unhealthy;
        }
        let phase = if self.state == Is::Unhealthy { ServicePhase::Unhealthy } else { ServicePhase::Testing };
        let told = News {
            attempt: Some(self.failures),
            of: Some(self.plan.retries),
            exit_code: result.exit_code,
            test: self.plan.test.as_ref().filter(|_| result.is_of_test).and_then(tester),
            cause: result.cause.clone(),
            ..self.news(since, phase)
        };
        self.last = Some(result);
        let told = (was != Is::Unhealthy).then_some(Do::Tell(told));
        told.into_iter().chain(self.plan_next(since)).collect()
    }

    fn news(&self, since: Duration, phase: ServicePhase) -> News {
        News { phase, since, attempt: None, of: None, exit_code: None, delay: None, test: None, cause: None }
    }
}

/// The program that a test runs, as its name; none where it is not plain.
fn tester(test: &Command) -> Option<String> {
    let word = match test {
        Command::List(words) => words.first()?.as_str(),
        Command::Script { text, .. } => text.split_whitespace().next()?,
    };
    let name = word.rsplit('/').next()?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+".contains(letter);
    let is_program = !name.is_empty() && name.chars().all(is_plain) && !WORDS_OF_SHELLS.contains(&name);
    is_program.then(|| name.to_owned())
}

/// A text that is looked for in what a command prints. It has no line's end in it, so that it lies in one line.
#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    is_seen: bool,
    /// The end of what each stream printed, in which the text may begin.
    ends: [Vec<u8>; 2],
}

impl Line {
    fn new(text: &str) -> Self {
        Self { text: text.as_bytes().to_vec(), is_seen: false, ends: Default::default() }
    }

    /// Tells whether the text has come now.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        if self.is_seen {
            return false;
        }
        let end = &mut self.ends[usize::from(stream == Stream::Stderr)];
        end.extend_from_slice(bytes);
        self.is_seen = self.text.is_empty() || end.windows(self.text.len()).any(|window| window == self.text);
        let kept = end.len().min(self.text.len().saturating_sub(1));
        end.drain(..end.len() - kept);
        self.is_seen
    }
}
