//! The totals of a run: how it ended, its exit code, and the cause in words.

use std::sync::Arc;

use super::dispatcher::Dispatcher;
use super::options::{StepOutcome, Summary};
use super::step::duration;
use crate::event::{Event, RunStatus, StepStatus};

/// smolvm, a machine or an image failed.
const EXIT_FAILED: u8 = 125;
/// A step ran out of time.
const EXIT_TIMED_OUT: u8 = 124;
/// This host cannot run machines.
const EXIT_HOST_UNFIT: u8 = 69;

/// What decides the exit code.
struct Verdict {
    status: RunStatus,
    exit_code: u8,
    cause: Option<String>,
}

impl Dispatcher {
    /// The totals, once everything is over.
    pub(super) fn summary(&self) -> Summary {
        let steps: Vec<StepOutcome> = (0..self.steps.len()).map(|step| self.outcome(step)).collect();
        // Before the end some may still be to come.
        let done =
            || steps.iter().zip(&self.steps).filter(|(_, step)| step.is_done()).map(|(outcome, _)| outcome.status);
        let count = |wanted: &[StepStatus]| done().filter(|status| wanted.contains(status)).count();
        let passed_over = self.facts.plan.skipped.iter().filter(|skipped| !skipped.is_profile).count();
        let verdict = self.verdict();
        Summary {
            status: verdict.status,
            exit_code: verdict.exit_code,
            cause: verdict.cause,
            passed: count(&[StepStatus::Passed]),
            failed: count(&[StepStatus::Failed, StepStatus::TimedOut]),
            skipped: count(&[StepStatus::Skipped, StepStatus::Canceled]) + passed_over,
            steps,
        }
    }

    /// Tells of the steps that the plan leaves out; those of a profile nobody asked for are not mentioned.
    pub(super) fn pass_over(&mut self) {
        let plan = Arc::clone(&self.facts.plan);
        for skipped in plan.skipped.iter().filter(|skipped| !skipped.is_profile) {
            self.emit(Event::StepFinished {
                step: skipped.id.clone(),
                machine: skipped.machine.clone(),
                status: StepStatus::Skipped,
                exit_code: None,
                seconds: 0.0,
                cause: Some(skipped.why.clone()),
                is_allowed: false,
                log: None,
            });
        }
    }

    fn outcome(&self, step: usize) -> StepOutcome {
        let plan = &self.facts.plan.steps[step];
        let outcome = self.steps[step].outcome();
        StepOutcome {
            step: plan.id.clone(),
            status: outcome.map_or(StepStatus::Skipped, |outcome| outcome.status),
            exit_code: outcome.and_then(|outcome| outcome.exit_code),
            is_allowed: self.is_failed(step) && plan.continue_on_error,
        }
    }

    /// A signal, else the first failure in file order (entries of `finally` stand last), else nothing.
    fn verdict(&self) -> Verdict {
        if let Some(signal) = self.ended_by() {
            let how = if self.is_hurried() { ", and again, so nothing was waited for" } else { "" };
            return Verdict {
                status: RunStatus::Interrupted,
                exit_code: signal.exit_code(),
                cause: Some(format!("interrupted by {}{how}", signal.name())),
            };
        }
        let of_steps = (0..self.steps.len()).find_map(|step| self.blame(step));
        let of_services = || (0..self.machines.len()).find_map(|machine| self.blame_service(machine));
        of_steps.or_else(|| self.blame_machine()).or_else(of_services).unwrap_or(Verdict {
            status: RunStatus::Passed,
            exit_code: 0,
            cause: None,
        })
    }

    /// What the service of a machine adds to the verdict: that of one that nothing needed any more only where there are
    /// no steps, and the failure of its machine always.
    fn blame_service(&self, machine: usize) -> Option<Verdict> {
        if self.was_settled() || !self.is_concerned(machine) {
            return None;
        }
        let service = self.service(machine)?;
        let name = &self.facts.plan.machines[machine].name;
        if let Some(death) = self.machines[machine].death() {
            return Some(Verdict {
                status: RunStatus::Failed,
                exit_code: if death.is_host_unfit { EXIT_HOST_UNFIT } else { EXIT_FAILED },
                cause: Some(format!("machine `{name}` failed: {}", death.cause)),
            });
        }
        if self.facts.plan.steps.iter().any(|step| !step.is_finally) {
            return None;
        }
        if let Some(lost) = self.never_boots(machine) {
            let cause = Some(format!("machine `{name}` did not boot: {}", lost.why));
            return Some(Verdict { status: RunStatus::Failed, exit_code: EXIT_FAILED, cause });
        }
        let end = service.end().filter(|end| end.exit_code != 0)?;
        let exit_code = u8::try_from(end.exit_code).unwrap_or(EXIT_FAILED);
        Some(Verdict { status: RunStatus::Failed, exit_code, cause: self.service_end(machine) })
    }

    /// Whether something failed.
    pub(super) fn has_failed(&self) -> bool {
        self.verdict().exit_code != 0
    }

    /// What a machine adds that was to stay up, and failed before all was settled.
    fn blame_machine(&self) -> Option<Verdict> {
        let machine = self.lost_machine()?;
        let death = self.machines[machine].death()?;
        Some(Verdict {
            status: RunStatus::Failed,
            exit_code: if death.is_host_unfit { EXIT_HOST_UNFIT } else { EXIT_FAILED },
            cause: Some(format!("machine `{}` failed: {}", self.facts.plan.machines[machine].name, death.cause)),
        })
    }

    /// What a step adds to the verdict, where it failed itself or was skipped because its machine did.
    fn blame(&self, step: usize) -> Option<Verdict> {
        let plan = &self.facts.plan.steps[step];
        let outcome = self.steps[step].outcome()?;
        if self.blamed[step] {
            let death = self.machines[self.machine_of[step]].death()?;
            return Some(Verdict {
                status: RunStatus::Failed,
                exit_code: if death.is_host_unfit { EXIT_HOST_UNFIT } else { EXIT_FAILED },
                cause: Some(format!("machine `{}` failed: {}", plan.machine, death.cause)),
            });
        }
        if plan.continue_on_error {
            return None;
        }
        if let Some(why) = &self.lost[step] {
            let cause = Some(format!("step `{}` could not run: {why}", plan.id));
            return Some(Verdict { status: RunStatus::Failed, exit_code: EXIT_FAILED, cause });
        }
        if !self.is_failed(step) {
            return None;
        }
        if outcome.status == StepStatus::TimedOut {
            let limit = plan.timeout.map_or_else(String::new, |limit| format!(" after {}", duration(limit)));
            return Some(Verdict {
                status: RunStatus::TimedOut,
                exit_code: EXIT_TIMED_OUT,
                cause: Some(format!("step `{}` ran out of time{limit}", plan.id)),
            });
        }
        let code = outcome.exit_code.unwrap_or(i32::from(EXIT_FAILED));
        let cause = match &outcome.cause {
            Some(cause) => format!("step `{}` failed: {cause}", plan.id),
            None => format!("step `{}` failed with exit code {code}", plan.id),
        };
        // The code comes from the guest; what is no code of a process still is a failure.
        let exit_code = u8::try_from(code).ok().filter(|code| *code != 0).unwrap_or(EXIT_FAILED);
        Some(Verdict { status: RunStatus::Failed, exit_code, cause: Some(cause) })
    }
}
