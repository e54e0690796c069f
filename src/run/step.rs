//! The life of one step.
//!
//! ```text
//! Waiting ─begin─► Starting ─started─► Running ─ended with 0─► Checking ─► Giving ─► Done
//!    │                │ could not         │ ended otherwise       (outputs)  (owner)    ▲
//!    │ skip           └───────────────────┼──────────────────────────────────────────►─┤
//!    │                   time up, cancel  ▼                                            │
//!    └──────────────────────────────────► Ending ─ended, or machine killed─────────────┘
//! ```
//!
//! An attempt that failed is followed by another where `retry` says so: the step is `Resting` for its `delay`, and then
//! `Starting` again. Nothing follows a lost machine, an interrupt, or the failure of another step.
//!
//! Only a step with `chown` that ran is in `Giving`, however it ended; what comes of it changes an outcome that passed.
//!
//! A machine that is lost ends the step in any state. This module decides and does nothing: [`Step::on`] takes one
//! input and returns what must be done next.

use std::time::Duration;

pub(super) use self::ending::{Outcome, duration, signal_name};
use super::input::{Attempt, CancelReason, EndStage, StartFailure, StepInput, Timer};
use super::limits::{GRACE, TimeLimits};
use super::provide::GivenFiles;
use crate::event::StepStatus;
use crate::guest::ExitStatus;
use crate::plan::Retry;

mod ending;

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
    /// It failed, and is tried again after a while.
    Resting,
    /// What it made is given to its owner; how it ended is known.
    Giving,
    Done,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepEffect {
    /// An attempt begins.
    Begin,
    /// An attempt is over that is not the last.
    Rest,
    Exec,
    Signal(i32),
    Terminate(Duration),
    CheckOutputs,
    GiveFiles,
    /// So many entries were given, and so many left alone.
    Given(u64, u64),
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
    pub(super) retry: Option<Retry>,
    pub(super) has_outputs: bool,
    /// Whether what it makes is given to somebody.
    pub(super) gives_files: bool,
    /// Time between its polite end and its killing.
    pub(super) grace: Duration,
    /// Memory of its machine as the file says it.
    pub(super) memory: String,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    facts: StepFacts,
    state: StepState,
    /// The attempt that runs, or ran last, from 1.
    attempt: u32,
    /// Whether nothing may follow this attempt.
    is_last: bool,
    /// Whether the agent has said that this attempt started, or could not.
    is_start_known: bool,
    /// Earlier attempts that ended before the news of their start, which is still to come.
    late_starts: u32,
    end: Option<EndReason>,
    /// Whether it may have made something that is still to be given.
    owes_files: bool,
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
        Self {
            facts,
            state: At::Waiting,
            attempt: 1,
            is_last: false,
            is_start_known: false,
            late_starts: 0,
            end: None,
            owes_files: false,
            outcome: None,
            lost: None,
            limits,
        }
    }

    pub(super) fn state(&self) -> StepState {
        self.state
    }

    /// The attempt that runs, or ran last, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref().filter(|_| self.state == At::Done)
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
            (At::Giving, input) => self.giving(input),
            (_, In::MachineLost(cause)) => self.machine_lost(cause),
            (_, In::SourceLost(cause)) => {
                self.lost = Some(cause);
                Vec::new()
            }
            (_, In::Cancel(reason)) => self.cancel(reason),
            (_, In::Started(_)) if self.late_starts > 0 => {
                self.late_starts -= 1;
                Vec::new()
            }
            (At::Resting, In::Rested) => {
                self.attempt += 1;
                self.begin()
            }
            (At::Starting, In::Started(Ok(()))) => {
                self.is_start_known = true;
                self.state = At::Running;
                self.owes_files = self.facts.gives_files;
                self.end.clone().map_or_else(Vec::new, |end| self.start_ending(&end))
            }
            (At::Ending, In::Started(Ok(()))) => {
                self.is_start_known = true;
                self.owes_files = self.facts.gives_files;
                vec![Do::Terminate(Duration::ZERO)]
            }
            (At::Starting | At::Ending, In::Started(Err(failure))) => {
                self.is_start_known = true;
                self.not_started(failure)
            }
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
        self.is_start_known = false;
        let timer = self.facts.timeout.map(|timeout| Do::Arm(Timer::StepTime(self.this_attempt()), timeout));
        [Do::Begin, Do::Exec, self.arm(EndStage::Unstarted, self.limits.start())].into_iter().chain(timer).collect()
    }

    fn this_attempt(&self) -> Attempt {
        Attempt { step: self.facts.index, number: self.attempt }
    }

    fn not_started(&mut self, failure: StartFailure) -> Vec<StepEffect> {
        match self.end.clone() {
            Some(end) => self.ended(&end, None),
            // Not the command failed, but what is around it.
            None if failure.exit_code == 125 => self.finish_as(StepStatus::Failed, Some(125), Some(failure.cause)),
            None => self.attempt_failed(StepStatus::Failed, failure.exit_code, Some(failure.cause)),
        }
    }

    fn cancel(&mut self, reason: CancelReason) -> Vec<StepEffect> {
        self.is_last = true;
        match reason {
            CancelReason::Kill => {
                self.owes_files = false;
                self.finish_as(StepStatus::Canceled, None, None)
            }
            // A step that ended already only has its outputs looked for.
            _ if self.state == At::Checking => Vec::new(),
            _ if self.state == At::Resting => self.ended(&EndReason::Canceled(reason), None),
            CancelReason::FinallyTimeUp | CancelReason::Hurry => {
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
            return vec![self.arm(EndStage::Unanswered, self.facts.grace + self.limits.answer())];
        }
        self.start_ending(&reason)
    }

    fn start_ending(&mut self, reason: &EndReason) -> Vec<StepEffect> {
        let EndReason::Canceled(CancelReason::Interrupt(signal)) = reason else {
            return self.terminate(self.facts.grace);
        };
        self.state = At::Ending;
        vec![Do::Signal(signal.number()), self.arm(EndStage::Interrupted, self.facts.grace)]
    }

    fn terminate(&mut self, grace: Duration) -> Vec<StepEffect> {
        self.state = At::Ending;
        vec![Do::Terminate(grace), self.arm(EndStage::Terminated, grace + self.limits.answer())]
    }

    fn arm(&self, stage: EndStage, after: Duration) -> StepEffect {
        Do::Arm(Timer::StepEnd(self.this_attempt(), stage), after)
    }

    fn exited(&mut self, status: ExitStatus, is_out_of_memory: bool) -> Vec<StepEffect> {
        let code = status.shell_code();
        self.owes_files = self.facts.gives_files;
        if !self.is_start_known {
            self.late_starts += 1;
        }
        if let Some(end) = self.end.clone() {
            return self.ended(&end, Some(code));
        }
        match (status, is_out_of_memory) {
            (ExitStatus::Code(0), _) => self.passed(is_out_of_memory),
            (_, true) => {
                let cause = format!("out of memory (memory: {})", self.facts.memory);
                self.attempt_failed(StepStatus::Failed, 137, Some(cause))
            }
            (ExitStatus::Code(_), false) => self.attempt_failed(StepStatus::Failed, code, None),
            (ExitStatus::Signal(signal), false) => {
                self.attempt_failed(StepStatus::Failed, code, Some(format!("killed by {}", signal_name(signal))))
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
                self.attempt_failed(StepStatus::Failed, 1, Some(cause))
            }
            Err(cause) => self.finish_as(StepStatus::Failed, Some(125), Some(cause)),
        }
    }

    fn machine_lost(&mut self, cause: String) -> Vec<StepEffect> {
        self.is_last = true;
        let warning = std::mem::take(&mut self.owes_files).then(|| self.not_given("its machine is gone"));
        let end = match self.end.clone() {
            Some(end) => self.ended(&end, None),
            None => self.finish_as(StepStatus::Failed, Some(125), Some(cause)),
        };
        warning.into_iter().chain(end).collect()
    }

    fn not_given(&self, why: &str) -> StepEffect {
        Do::Warn(format!("what step `{}` made was not given to its owner: {why}", self.facts.id))
    }

    /// How it ended is known. Only a second interrupt, and the loss of the machine, end the giving.
    fn giving(&mut self, input: StepInput) -> Vec<StepEffect> {
        let (given, problem) = match input {
            In::Given(Ok(GivenFiles { changed, linked, failure })) => {
                (Some(Do::Given(changed, linked)), failure.map(|failure| (1, failure)))
            }
            In::Given(Err(cause)) => (None, Some((125, cause))),
            In::MachineLost(_) | In::Cancel(CancelReason::Kill) => {
                (None, Some((125, "its machine is gone".to_owned())))
            }
            // The host's own work, bounded by what the step made: neither a time limit nor an interrupt cuts it short.
            _ => return Vec::new(),
        };
        let mut effects: Vec<StepEffect> = given.into_iter().collect();
        match (problem, &mut self.outcome) {
            (Some((code, problem)), Some(outcome)) if outcome.status == StepStatus::Passed => {
                let cause = Some(format!("what it made could not be given to its owner: {problem}"));
                *outcome = Outcome { status: StepStatus::Failed, exit_code: Some(code), cause };
            }
            (Some((_, problem)), _) => effects.push(self.not_given(&problem)),
            (None, _) => {}
        }
        self.state = At::Done;
        effects.push(Do::Done);
        effects
    }
}

#[cfg(test)]
mod tests;
