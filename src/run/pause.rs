//! A run that waits where a step failed, until somebody has looked at what is there.
//!
//! ```text
//! Never                        nobody is there to look
//! Due ─steps over, one failed─► On ─Resume, signal─► Over ─► `finally`, and the end as without
//!    └──────steps over, none failed──────────────────────► `finally`
//! ```
//!
//! Machines that are up when a step fails stay meanwhile, with their services. Deliberately not here: who looks (`cli`).

use super::dispatcher::Dispatcher;
use super::machine::MachineState;
use crate::event::Event;

/// Where the run is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    Never,
    Due,
    On,
    Over,
}

impl Pause {
    /// At the beginning of a run, or of a round.
    pub(super) fn first(is_looked_at: bool) -> Self {
        if is_looked_at { Self::Due } else { Self::Never }
    }
}

impl Dispatcher {
    /// Whether the run waits for who looks.
    pub(super) fn is_paused(&self) -> bool {
        self.pause == Pause::On && self.ended_by().is_none()
    }

    /// The step at which somebody looks.
    pub(super) fn looked_at(&self) -> Option<&str> {
        let step = self.failed_step().filter(|_| self.is_paused())?;
        Some(self.facts.plan.steps[step].id.as_str())
    }

    /// The first step in file order that failed by itself, and that the run failed by.
    fn failed_step(&self) -> Option<usize> {
        let is_meant = |step: &usize| {
            let plan = &self.facts.plan.steps[*step];
            !plan.is_finally && !plan.continue_on_error && self.is_failed(*step)
        };
        (0..self.steps.len()).find(is_meant)
    }

    /// Whether every step but those of `finally` is over.
    fn are_own_steps_over(&self) -> bool {
        (0..self.steps.len()).all(|step| self.facts.plan.steps[step].is_finally || self.steps[step].is_done())
    }

    /// Begins to wait, once there is something to look at.
    pub(super) fn begin_pause(&mut self) {
        if self.pause != Pause::Due || self.is_told_to_end() || self.ended_by().is_some() || !self.are_own_steps_over()
        {
            return;
        }
        let Some(step) = self.failed_step() else { return };
        self.pause = Pause::On;
        let plan = &self.facts.plan.steps[step];
        let (id, machine) = (plan.id.clone(), plan.machine.clone());
        let summary = self.summary();
        self.emit(Event::Paused {
            step: id,
            machine,
            status: summary.status,
            exit_code: summary.exit_code,
            cause: summary.cause,
            seconds: self.round_time().as_secs_f64(),
            passed: summary.passed,
            failed: summary.failed,
            skipped: summary.skipped,
        });
    }

    /// Somebody has looked.
    pub(super) fn resume(&mut self) {
        if self.pause == Pause::On {
            self.pause = Pause::Over;
        }
    }

    /// Whether a machine stays for who looks, or may look.
    pub(super) fn is_kept_for_a_look(&self, machine: usize) -> bool {
        let state = self.machines[machine].state();
        match self.pause {
            Pause::Never | Pause::Over => false,
            Pause::On => self.is_paused() && state == MachineState::Ready,
            // Nothing is looked at in a machine that was not up when a step failed.
            Pause::Due if self.failed_step().is_some() => !self.are_own_steps_over() && state == MachineState::Ready,
            Pause::Due => !self.are_own_steps_over() && state != MachineState::Planned,
        }
    }
}
