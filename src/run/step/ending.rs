//! How an attempt of a step ends: tried again, or with an outcome, and the words for it.
//!
//! Deliberately not here: what happens before it has ended (`step`).

use std::time::Duration;

use super::super::input::{CancelReason, Timer};
use super::{At, Do, EndReason, Step, StepEffect};
use crate::event::StepStatus;
use crate::plan::Retry;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Outcome {
    pub(in crate::run) status: StepStatus,
    /// Code for people and for the run.
    pub(in crate::run) exit_code: Option<i32>,
    /// Why, where it is not the code alone.
    pub(in crate::run) cause: Option<String>,
}

impl Step {
    /// It was ended, and now it has.
    pub(super) fn ended(&mut self, end: &EndReason, code: Option<i32>) -> Vec<StepEffect> {
        match end {
            EndReason::TimeUp => {
                let limit = self.facts.timeout.unwrap_or_default();
                let cause = format!("its time is up (timeout: {})", duration(limit));
                self.attempt_failed(StepStatus::TimedOut, 124, Some(cause))
            }
            EndReason::Canceled(reason) => {
                if let CancelReason::Lost(cause) = reason {
                    return self.finish_as(StepStatus::Failed, Some(125), Some(cause.clone()));
                }
                let cause = match reason {
                    CancelReason::Failure(id) => Some(format!("{id} failed")),
                    CancelReason::FinallyTimeUp => Some("the time for `finally` after an interrupt is up".to_owned()),
                    CancelReason::Interrupt(_) | CancelReason::Kill | CancelReason::Hurry | CancelReason::Lost(_) => {
                        None
                    }
                };
                self.finish_as(StepStatus::Canceled, code, cause)
            }
        }
    }

    /// Tries again, where that is asked for and can be.
    pub(super) fn attempt_failed(&mut self, status: StepStatus, code: i32, cause: Option<String>) -> Vec<StepEffect> {
        let Some(Retry { attempts, delay }) = self.facts.retry else {
            return self.finish_as(status, Some(code), cause);
        };
        // A source that is gone stays gone.
        if self.is_last || self.lost.is_some() || self.attempt >= attempts {
            return self.finish_as(status, Some(code), cause);
        }
        let why = cause.unwrap_or_else(|| format!("exit code {code}"));
        let again = if delay.is_zero() { "again".to_owned() } else { format!("again in {}", duration(delay)) };
        let text = format!("step `{}`: attempt {} of {attempts} failed: {why}; {again}", self.facts.id, self.attempt);
        self.state = At::Resting;
        self.end = None;
        let mut effects = vec![Do::Rest, Do::Warn(text)];
        if delay.is_zero() {
            self.attempt += 1;
            effects.extend(self.begin());
        } else {
            effects.push(Do::Arm(Timer::StepRest(self.this_attempt()), delay));
        }
        effects
    }

    pub(super) fn finish_as(
        &mut self,
        status: StepStatus,
        exit_code: Option<i32>,
        cause: Option<String>,
    ) -> Vec<StepEffect> {
        self.outcome = Some(match self.lost.take() {
            Some(lost) => Outcome { status, exit_code, cause }.with_lost_source(lost),
            None => Outcome { status, exit_code, cause },
        });
        if std::mem::take(&mut self.owes_files) {
            self.state = At::Giving;
            return vec![Do::GiveFiles];
        }
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
pub(in crate::run) fn duration(time: Duration) -> String {
    let (seconds, milliseconds) = (time.as_secs(), time.subsec_millis());
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (u64::from(milliseconds), "ms")];
    let text: String =
        parts.iter().filter(|(value, _)| *value > 0).map(|(value, unit)| format!("{value}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The name of a signal, or its number.
pub(in crate::run) fn signal_name(number: i32) -> String {
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
