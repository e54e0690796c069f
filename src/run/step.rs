//! The life of one step.
//!
//! ```text
//! Waiting ─begin─► Starting ─started─► Running ─ended with 0─► Checking ─► Done
//!    │                │ could not         │ ended otherwise       (outputs)   ▲
//!    │ skip           └───────────────────┼─────────────────────────────────►─┤
//!    │                   time up, cancel  ▼                                   │
//!    └──────────────────────────────────► Ending ─ended, or machine killed────┘
//! ```
//!
//! A machine that is lost ends the step in any state. This module decides and does nothing: [`Step::on`] takes one
//! input and returns what must be done next.

use std::time::Duration;

use super::input::{CancelReason, EndStage, StepInput, Timer};
use super::limits::{GRACE, TimeLimits};
use super::signals::Signal;
use crate::event::StepStatus;
use crate::guest::ExitStatus;

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepState {
    Waiting,
    /// The agent was asked to start it.
    Starting,
    Running,
    /// It was told to end.
    Ending,
    /// Its outputs are looked for.
    Checking,
    Done,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: StepStatus,
    /// Code for people and for the run.
    pub(super) exit_code: Option<i32>,
    /// Why, where it is not the code alone.
    pub(super) cause: Option<String>,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepEffect {
    Exec,
    Signal(i32),
    Terminate(Duration),
    CheckOutputs,
    Arm(Timer, Duration),
    /// The agent does not do what it is told.
    KillMachine(String),
    Warn(String),
    Done,
}

/// What is fixed for a step.
#[derive(Debug, Clone)]
pub(super) struct StepFacts {
    /// Its place in the plan.
    pub(super) index: usize,
    pub(super) id: String,
    pub(super) timeout: Option<Duration>,
    pub(super) has_outputs: bool,
    /// Memory of its machine as the file says it.
    pub(super) memory: String,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    facts: StepFacts,
    state: StepState,
    end: Option<EndReason>,
    outcome: Option<Outcome>,
    /// What became of a source of its machine, in words.
    lost: Option<String>,
    limits: TimeLimits,
}

/// Why a step is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EndReason {
    TimeUp,
    Canceled(CancelReason),
}

use StepEffect as Do;
use StepInput as In;
use StepState as At;

impl Step {
    pub(super) fn new(facts: StepFacts, limits: TimeLimits) -> Self {
        Self { facts, state: At::Waiting, end: None, outcome: None, lost: None, limits }
    }

    pub(super) fn state(&self) -> StepState {
        self.state
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether it occupies its machine.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.state, At::Waiting | At::Done)
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == At::Done
    }

    /// It will never start.
    pub(super) fn skip(&mut self, cause: String) {
        self.outcome = Some(Outcome { status: StepStatus::Skipped, exit_code: None, cause: Some(cause) });
        self.state = At::Done;
    }

    /// Takes one input; what makes no sense in a state is ignored.
    pub(super) fn on(&mut self, input: StepInput) -> Vec<StepEffect> {
        match (self.state, input) {
            (At::Waiting, In::Begin) => self.begin(),
            (At::Waiting | At::Done, _) => Vec::new(),
            (_, In::MachineLost(cause)) => self.machine_lost(cause),
            (_, In::SourceLost(cause)) => {
                self.lost = Some(cause);
                Vec::new()
            }
            (_, In::Cancel(reason)) => self.cancel(reason),
            (At::Starting, In::Started(Ok(()))) => {
                self.state = At::Running;
                self.end.clone().map_or_else(Vec::new, |end| self.start_ending(&end))
            }
            (At::Ending, In::Started(Ok(()))) => vec![Do::Terminate(Duration::ZERO)],
            (At::Starting | At::Ending, In::Started(Err(failure))) => match self.end.clone() {
                Some(end) => self.ended(&end, None),
                None => self.finish_as(StepStatus::Failed, Some(failure.exit_code), Some(failure.cause)),
            },
            (At::Starting | At::Running | At::Ending, In::Exited(status, is_out_of_memory)) => {
                self.exited(status, is_out_of_memory)
            }
            (At::Starting | At::Running, In::TimeUp) if self.end.is_none() => self.end_for(EndReason::TimeUp),
            (At::Ending, In::Overdue(EndStage::Interrupted)) => self.terminate(Duration::ZERO),
            (At::Ending, In::Overdue(EndStage::Terminated)) => {
                vec![Do::KillMachine(format!("the agent did not end step `{}`", self.facts.id))]
            }
            (At::Starting | At::Checking, In::Overdue(EndStage::Unanswered)) => {
                vec![Do::KillMachine(format!("the agent does not answer about step `{}`", self.facts.id))]
            }
            (At::Starting, In::Overdue(EndStage::Unstarted)) => {
                let limit = duration(self.limits.start());
                vec![Do::KillMachine(format!("the agent did not start step `{}` within {limit}", self.facts.id))]
            }
            (At::Checking, In::Outputs(result)) => self.checked(result),
            _ => Vec::new(),
        }
    }

    fn begin(&mut self) -> Vec<StepEffect> {
        self.state = At::Starting;
        let timer = self.facts.timeout.map(|timeout| Do::Arm(Timer::StepTime(self.facts.index), timeout));
        [Do::Exec, self.arm(EndStage::Unstarted, self.limits.start())].into_iter().chain(timer).collect()
    }

    fn cancel(&mut self, reason: CancelReason) -> Vec<StepEffect> {
        match reason {
            CancelReason::Kill => self.finish_as(StepStatus::Canceled, None, None),
            // A step that ended already only has its outputs looked for.
            _ if self.state == At::Checking => Vec::new(),
            CancelReason::FinallyTimeUp => {
                self.end = Some(EndReason::Canceled(reason));
                self.terminate(Duration::ZERO)
            }
            _ if self.end.is_some() => Vec::new(),
            _ => self.end_for(EndReason::Canceled(reason)),
        }
    }

    fn end_for(&mut self, reason: EndReason) -> Vec<StepEffect> {
        self.end = Some(reason.clone());
        if self.state == At::Starting {
            // The agent may not know it yet: it is ended when it has started. One that never starts ends its machine.
            return vec![self.arm(EndStage::Unanswered, GRACE + self.limits.answer())];
        }
        self.start_ending(&reason)
    }

    fn start_ending(&mut self, reason: &EndReason) -> Vec<StepEffect> {
        if *reason != EndReason::Canceled(CancelReason::Interrupt) {
            return self.terminate(GRACE);
        }
        self.state = At::Ending;
        vec![Do::Signal(Signal::Interrupt.number()), self.arm(EndStage::Interrupted, GRACE)]
    }

    fn terminate(&mut self, grace: Duration) -> Vec<StepEffect> {
        self.state = At::Ending;
        vec![Do::Terminate(grace), self.arm(EndStage::Terminated, grace + self.limits.answer())]
    }

    fn arm(&self, stage: EndStage, after: Duration) -> StepEffect {
        Do::Arm(Timer::StepEnd(self.facts.index, stage), after)
    }

    fn exited(&mut self, status: ExitStatus, is_out_of_memory: bool) -> Vec<StepEffect> {
        let code = match status {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => signal.saturating_add(128),
        };
        if let Some(end) = self.end.clone() {
            return self.ended(&end, Some(code));
        }
        match (status, is_out_of_memory) {
            (ExitStatus::Code(0), _) => self.passed(is_out_of_memory),
            (_, true) => {
                let cause = format!("out of memory (memory: {})", self.facts.memory);
                self.finish_as(StepStatus::Failed, Some(137), Some(cause))
            }
            (ExitStatus::Code(_), false) => self.finish_as(StepStatus::Failed, Some(code), None),
            (ExitStatus::Signal(signal), false) => {
                self.finish_as(StepStatus::Failed, Some(code), Some(format!("killed by {}", signal_name(signal))))
            }
        }
    }

    fn passed(&mut self, is_out_of_memory: bool) -> Vec<StepEffect> {
        let warning = is_out_of_memory.then(|| {
            Do::Warn(format!("step `{}` passed, but one of its processes was killed for want of memory", self.facts.id))
        });
        let mut effects: Vec<StepEffect> = warning.into_iter().collect();
        if self.facts.has_outputs {
            self.state = At::Checking;
            effects.extend([Do::CheckOutputs, self.arm(EndStage::Unanswered, GRACE + self.limits.answer())]);
        } else {
            effects.extend(self.finish_as(StepStatus::Passed, Some(0), None));
        }
        effects
    }

    fn checked(&mut self, result: Result<Vec<String>, String>) -> Vec<StepEffect> {
        match result {
            Ok(missing) if missing.is_empty() => self.finish_as(StepStatus::Passed, Some(0), None),
            Ok(missing) => {
                let names: Vec<String> = missing.iter().map(|path| format!("`{path}`")).collect();
                let verb = if names.len() == 1 { "output is missing" } else { "outputs are missing" };
                let cause = format!("{verb}: {}", names.join(", "));
                self.finish_as(StepStatus::Failed, Some(1), Some(cause))
            }
            Err(cause) => self.finish_as(StepStatus::Failed, Some(125), Some(cause)),
        }
    }

    fn machine_lost(&mut self, cause: String) -> Vec<StepEffect> {
        match self.end.clone() {
            Some(end) => self.ended(&end, None),
            None => self.finish_as(StepStatus::Failed, Some(125), Some(cause)),
        }
    }

    /// It was ended, and now it has.
    fn ended(&mut self, end: &EndReason, code: Option<i32>) -> Vec<StepEffect> {
        match end {
            EndReason::TimeUp => {
                let limit = self.facts.timeout.unwrap_or_default();
                let cause = format!("its time is up (timeout: {})", duration(limit));
                self.finish_as(StepStatus::TimedOut, Some(124), Some(cause))
            }
            EndReason::Canceled(reason) => {
                let cause = match reason {
                    CancelReason::Failure(id) => Some(format!("{id} failed")),
                    CancelReason::FinallyTimeUp => Some("the time for `finally` after an interrupt is up".to_owned()),
                    CancelReason::Interrupt | CancelReason::Kill => None,
                };
                self.finish_as(StepStatus::Canceled, code, cause)
            }
        }
    }

    fn finish_as(&mut self, status: StepStatus, exit_code: Option<i32>, cause: Option<String>) -> Vec<StepEffect> {
        self.outcome = Some(match self.lost.take() {
            Some(lost) => Outcome { status, exit_code, cause }.with_lost_source(lost),
            None => Outcome { status, exit_code, cause },
        });
        self.state = At::Done;
        vec![Do::Done]
    }
}

impl Outcome {
    /// The same, but nothing passes that wrote where nobody finds it.
    fn with_lost_source(self, lost: String) -> Self {
        match (self.status, self.exit_code, self.cause) {
            (StepStatus::Passed, ..) => Self { status: StepStatus::Failed, exit_code: Some(125), cause: Some(lost) },
            (status, exit_code, Some(cause)) => Self { status, exit_code, cause: Some(format!("{cause}; {lost}")) },
            (status @ StepStatus::Failed, Some(code), None) => {
                Self { status, exit_code: Some(code), cause: Some(format!("exit code {code}, and {lost}")) }
            }
            (status, exit_code, None) => Self { status, exit_code, cause: None },
        }
    }
}

/// A duration as the file would say it.
pub(super) fn duration(time: Duration) -> String {
    let (seconds, milliseconds) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(milliseconds), "ms")];
    let text: String =
        parts.iter().filter(|(value, _)| *value > 0).map(|(value, unit)| format!("{value}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The name of a signal, or its number.
fn signal_name(number: i32) -> String {
    let names = [
        (1, "HUP"),
        (2, "INT"),
        (3, "QUIT"),
        (4, "ILL"),
        (5, "TRAP"),
        (6, "ABRT"),
        (7, "BUS"),
        (8, "FPE"),
        (9, "KILL"),
        (10, "USR1"),
        (11, "SEGV"),
        (12, "USR2"),
        (13, "PIPE"),
        (14, "ALRM"),
        (15, "TERM"),
        (24, "XCPU"),
        (25, "XFSZ"),
        (31, "SYS"),
    ];
    let found = names.iter().find(|(known, _)| *known == number);
    found.map_or_else(|| format!("signal {number}"), |(_, name)| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::input::StartFailure;

    fn step(timeout: Option<Duration>, has_outputs: bool) -> Step {
        let facts = StepFacts { index: 0, id: "compile".to_owned(), timeout, has_outputs, memory: "1GiB".to_owned() };
        Step::new(facts, TimeLimits::new(1))
    }

    fn running() -> Step {
        let mut step = step(Some(Duration::from_secs(90)), false);
        step.on(In::Begin);
        step.on(In::Started(Ok(())));
        step
    }

    fn outcome(step: &Step) -> (StepStatus, Option<i32>, &str) {
        let outcome = step.outcome().expect("it is done");
        (outcome.status, outcome.exit_code, outcome.cause.as_deref().unwrap_or(""))
    }

    #[test]
    fn the_end_of_the_process_decides() {
        let cases = [
            (ExitStatus::Code(0), false, (StepStatus::Passed, Some(0), "")),
            (ExitStatus::Code(3), false, (StepStatus::Failed, Some(3), "")),
            (ExitStatus::Signal(11), false, (StepStatus::Failed, Some(139), "killed by SIGSEGV")),
            (ExitStatus::Signal(9), true, (StepStatus::Failed, Some(137), "out of memory (memory: 1GiB)")),
        ];
        for (status, is_out_of_memory, expected) in cases {
            let mut step = running();
            assert_eq!(step.on(In::Exited(status, is_out_of_memory)), [Do::Done]);
            assert_eq!(outcome(&step), expected);
        }
    }

    #[test]
    fn an_end_that_comes_before_the_news_of_the_start_counts() {
        let mut step = step(None, false);
        step.on(In::Begin);
        step.on(In::Exited(ExitStatus::Code(0), false));
        assert_eq!(step.on(In::Started(Ok(()))), []);
        assert_eq!(outcome(&step), (StepStatus::Passed, Some(0), ""));
    }

    #[test]
    fn a_missing_output_fails_a_step_that_ended_with_0() {
        let mut step = step(None, true);
        step.on(In::Begin);
        step.on(In::Started(Ok(())));
        assert!(step.on(In::Exited(ExitStatus::Code(0), false)).contains(&Do::CheckOutputs));
        step.on(In::Outputs(Ok(vec!["/output/app".to_owned()])));
        assert_eq!(outcome(&step), (StepStatus::Failed, Some(1), "output is missing: `/output/app`"));
    }

    #[test]
    fn a_program_that_is_not_there_is_127() {
        let mut step = step(None, false);
        step.on(In::Begin);
        step.on(In::Started(Err(StartFailure { exit_code: 127, cause: "no program `cargo`".to_owned() })));
        assert_eq!(outcome(&step), (StepStatus::Failed, Some(127), "no program `cargo`"));
    }

    #[test]
    fn time_up_ends_the_whole_step_and_then_its_machine() {
        let mut step = running();
        let ending = step.on(In::TimeUp);
        let timer = Timer::StepEnd(0, EndStage::Terminated);
        assert_eq!(ending, [Do::Terminate(GRACE), Do::Arm(timer, Duration::from_secs(15))]);
        let overdue = step.on(In::Overdue(EndStage::Terminated));
        assert_eq!(overdue, [Do::KillMachine("the agent did not end step `compile`".to_owned())]);
        step.on(In::MachineLost("killed".to_owned()));
        assert_eq!(outcome(&step), (StepStatus::TimedOut, Some(124), "its time is up (timeout: 1m30s)"));
    }

    #[test]
    fn an_interrupted_step_gets_sigint_and_after_the_grace_is_killed() {
        let mut step = running();
        let cancel = step.on(In::Cancel(CancelReason::Interrupt));
        assert_eq!(cancel, [Do::Signal(2), Do::Arm(Timer::StepEnd(0, EndStage::Interrupted), GRACE)]);
        let overdue = step.on(In::Overdue(EndStage::Interrupted));
        assert_eq!(overdue[0], Do::Terminate(Duration::ZERO));
        step.on(In::Exited(ExitStatus::Signal(9), false));
        assert_eq!(outcome(&step), (StepStatus::Canceled, Some(137), ""));
    }

    #[test]
    fn a_step_that_is_canceled_while_it_starts_is_ended_when_it_has_started() {
        let mut step = step(None, false);
        step.on(In::Begin);
        assert!(matches!(step.on(In::Cancel(CancelReason::Interrupt))[..], [Do::Arm(..)]));
        assert_eq!(step.on(In::Started(Ok(())))[0], Do::Signal(2));
    }

    #[test]
    fn an_agent_that_never_starts_a_step_ends_its_machine() {
        let mut silent = step(None, false);
        let timer = Timer::StepEnd(0, EndStage::Unstarted);
        assert_eq!(silent.on(In::Begin), [Do::Exec, Do::Arm(timer, Duration::from_secs(30))]);
        let cause = "the agent did not start step `compile` within 30s".to_owned();
        assert_eq!(silent.on(In::Overdue(EndStage::Unstarted)), [Do::KillMachine(cause)]);
        // It runs, or its outputs are looked for: the time of its start is no longer of interest.
        assert_eq!(running().on(In::Overdue(EndStage::Unstarted)), []);
    }

    #[test]
    fn a_lost_machine_fails_the_step_with_125() {
        let mut step = running();
        step.on(In::MachineLost("machine `build`: the guest powered off".to_owned()));
        assert_eq!(outcome(&step), (StepStatus::Failed, Some(125), "machine `build`: the guest powered off"));
    }

    #[test]
    fn a_step_whose_source_was_lost_does_not_pass() {
        let lost = || In::SourceLost("`/out` was removed".to_owned());
        let ends = [
            (ExitStatus::Code(0), (125, "`/out` was removed")),
            (ExitStatus::Code(3), (3, "exit code 3, and `/out` was removed")),
            (ExitStatus::Signal(11), (139, "killed by SIGSEGV; `/out` was removed")),
        ];
        for (status, (code, cause)) in ends {
            let mut step = running();
            assert_eq!(step.on(lost()), []);
            step.on(In::Exited(status, false));
            assert_eq!(outcome(&step), (StepStatus::Failed, Some(code), cause));
        }
        let mut checked = step(None, true);
        checked.on(In::Begin);
        checked.on(In::Started(Ok(())));
        checked.on(lost());
        checked.on(In::Exited(ExitStatus::Code(0), false));
        checked.on(In::Outputs(Ok(Vec::new())));
        assert_eq!(outcome(&checked), (StepStatus::Failed, Some(125), "`/out` was removed"));
    }

    #[test]
    fn a_second_interrupt_waits_for_nothing() {
        let mut step = running();
        step.on(In::Cancel(CancelReason::Interrupt));
        assert_eq!(step.on(In::Cancel(CancelReason::Kill)), [Do::Done]);
        assert_eq!(outcome(&step).0, StepStatus::Canceled);
    }

    #[test]
    fn durations_read_as_in_the_file() {
        assert_eq!(duration(Duration::from_millis(3_661_500)), "1h1m1s500ms");
        assert_eq!(duration(Duration::ZERO), "0s");
    }
}
