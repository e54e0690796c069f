//! What to start, skip and stop next. Called after every input; everything here follows from the state alone.
//!
//! - A step starts when all that it needs has passed, its machine is ready and idle, and a place is free. Where several
//!   could, the first in file order does.
//! - A machine boots when one of its steps could start, or ahead of time when a place and memory are free. Machines
//!   never claim more memory together than the plan allows, unless nothing else could go on.
//! - A machine that nothing needs any more is stopped at once, so that its memory is free for the next one.
//! - `finally` follows when every step is over, one entry after the other.

use std::collections::HashMap;

use super::dispatcher::Dispatcher;
use super::input::{Action, MachineInput, StepInput};
use super::machine::MachineState;
use super::outlook::Lost;
use super::step::StepState;
use crate::event::{Event, StepStatus};
use crate::plan::Plan;

/// Places of the steps that each step needs. One that is not in the plan cannot be waited for.
pub(super) fn needs(plan: &Plan) -> Vec<Vec<usize>> {
    let steps = plan.steps.iter().enumerate().filter(|(_, step)| !step.is_finally);
    let places: HashMap<&str, usize> = steps.map(|(place, step)| (step.id.as_str(), place)).collect();
    let of = |needs: &[String]| needs.iter().filter_map(|id| places.get(id.as_str()).copied()).collect();
    plan.steps.iter().map(|step| of(&step.needs)).collect()
}

impl Dispatcher {
    /// Does all that can be done now.
    pub(super) fn advance(&mut self) {
        loop {
            let before = self.actions.len();
            self.skip_steps();
            self.tell_lost_machines();
            self.begin_pause();
            self.retire_machines();
            if !self.is_killed {
                self.start_steps();
                self.boot_machines();
                self.run_finally();
            }
            self.skip_stuck();
            let is_anew = self.answer_commands() | self.turn();
            if self.actions.len() == before && !is_anew {
                break;
            }
        }
        let is_over = self.steps.iter().all(super::step::Step::is_done)
            && self.machines.iter().all(super::machine::Machine::is_at_rest)
            && !self.is_holding()
            && !self.is_paused();
        if is_over && !self.is_finished {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.is_finished = true;
        self.answer_commands();
        self.tell_machines_left_out();
        let summary = self.summary();
        self.emit(Event::RunFinished {
            status: summary.status,
            exit_code: summary.exit_code,
            cause: summary.cause.clone(),
            seconds: self.round_time().as_secs_f64(),
            passed: summary.passed,
            failed: summary.failed,
            skipped: summary.skipped,
            cached: 0,
        });
        self.actions.push(Action::Finish(summary));
    }

    fn is_finally(&self, step: usize) -> bool {
        self.facts.plan.steps[step].is_finally
    }

    fn is_waiting(&self, step: usize) -> bool {
        self.steps[step].state() == StepState::Waiting
    }

    /// Whether a step's end lets those that need it go on.
    pub(super) fn is_good(&self, step: usize) -> bool {
        let status = self.steps[step].outcome().map(|outcome| outcome.status);
        status == Some(StepStatus::Passed) || (self.is_failed(step) && self.facts.plan.steps[step].continue_on_error)
    }

    fn is_free_to_run(&self, step: usize) -> bool {
        self.is_waiting(step) && self.needs[step].iter().all(|need| self.is_good(*need))
    }

    fn skip_steps(&mut self) {
        let hopeless = self.hopeless();
        for step in 0..self.steps.len() {
            if self.is_waiting(step) && !self.is_finally(step) {
                self.skip_if_hopeless(step, &hopeless);
            }
            if self.is_waiting(step) && self.is_finally(step) && self.is_hurried() {
                self.skip(step, "interrupted".to_owned());
            }
        }
    }

    fn skip_if_hopeless(&mut self, step: usize, hopeless: &[Option<Lost>]) {
        let machine = self.machine_of[step];
        let machine_name = &self.facts.plan.machines[machine].name;
        let bad = self.needs[step].iter().copied().find(|need| self.steps[*need].is_done() && !self.is_good(*need));
        if let Some(signal) = self.ended_by() {
            self.skip(step, format!("interrupted by {}", signal.name()));
        } else if self.machines[machine].death().is_some() {
            let cause = format!("machine `{machine_name}` failed");
            self.blamed[step] = true;
            self.skip(step, cause);
        } else if self.is_told_down(machine) {
            self.lose_step(step, self.why_down(machine));
        } else if let Some(Lost { why, .. }) = &hopeless[machine] {
            self.lose_step(step, why.clone());
        } else if let Some(bad) = bad {
            self.skip(step, format!("it needs `{}`, which did not pass", self.facts.plan.steps[bad].id));
        } else if let Some(culprit) = self.halted_by.clone() {
            self.skip(step, format!("{culprit} failed"));
        } else if self.machines[machine].state() == MachineState::Gone {
            self.skip(step, format!("machine `{machine_name}` is gone"));
        }
    }

    /// A step that will not run for a reason that is a failure of the run.
    fn lose_step(&mut self, step: usize, why: String) {
        self.lost[step] = Some(why.clone());
        self.skip(step, why);
        if !self.facts.plan.steps[step].continue_on_error {
            self.halt(format!("step `{}`", self.facts.plan.steps[step].id));
        }
    }

    /// Steps that wait while nothing moves would wait for ever. The checks of a file let no such plan through.
    fn skip_stuck(&mut self) {
        if self.is_anything_moving() {
            return;
        }
        for step in 0..self.steps.len() {
            if self.is_waiting(step) && !self.is_finally(step) {
                self.skip(step, "what it needs never ends".to_owned());
            }
        }
    }

    fn places(&self) -> usize {
        self.facts.options.parallel.unwrap_or(self.facts.plan.limits.steps_at_once).max(1)
    }

    fn active_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.is_active()).count()
    }

    fn is_idle(&self, machine: usize) -> bool {
        let is_busy = |step: usize| self.machine_of[step] == machine && self.steps[step].is_active();
        self.machines[machine].state() == MachineState::Ready && !(0..self.steps.len()).any(is_busy)
    }

    fn start_steps(&mut self) {
        for step in 0..self.steps.len() {
            let is_next = !self.is_finally(step)
                && self.active_steps() < self.places()
                && self.is_free_to_run(step)
                && self.is_idle(self.machine_of[step])
                && self.has_service_up(self.machine_of[step]);
            if is_next {
                self.step_input(step, StepInput::Begin);
            }
        }
    }

    /// Machines that are planned and have a service, or steps to run: services and those that could run a step now
    /// first, then in file order of their first step. With each, whether it is one of those.
    fn boot_candidates(&self) -> Vec<(usize, bool)> {
        let is_run_on = self.ended_by().is_none() && self.halted_by.is_none();
        let is_candidate = |machine: &usize| {
            is_run_on && self.machines[*machine].state() == MachineState::Planned && self.is_service_wanted(*machine)
        };
        let services = (0..self.machines.len()).filter(is_candidate);
        let mut candidates: Vec<(usize, bool)> = services.map(|machine| (machine, true)).collect();
        for step in 0..self.steps.len() {
            let machine = self.machine_of[step];
            let is_wanted = self.is_waiting(step)
                && !self.is_finally(step)
                && self.machines[machine].state() == MachineState::Planned;
            if !is_wanted {
                continue;
            }
            let is_urgent = self.is_free_to_run(step);
            if self.is_told_down(machine) {
                continue;
            }
            match candidates.iter_mut().find(|(known, _)| *known == machine) {
                Some((_, urgent)) => *urgent |= is_urgent,
                None => candidates.push((machine, is_urgent)),
            }
        }
        for machine in 0..self.machines.len() {
            let is_wanted = self.is_kept(machine) && self.machines[machine].state() == MachineState::Planned;
            if is_wanted && candidates.iter().all(|(known, _)| *known != machine) {
                candidates.push((machine, true));
            }
        }
        candidates.retain(|(machine, _)| self.has_turn(*machine));
        candidates.sort_by_key(|(_, is_urgent)| !is_urgent);
        candidates
    }

    fn boot_machines(&mut self) {
        for (machine, is_urgent) in self.boot_candidates() {
            if !self.is_let_boot(machine) {
                continue;
            }
            let coming_up = self.machines.iter().filter(|machine| machine.is_coming_up()).count();
            if self.active_steps() + coming_up >= self.places() {
                return;
            }
            if self.has_memory_for(machine) {
                self.machine_input(machine, MachineInput::Boot);
            } else if is_urgent {
                // What runs will free memory. Where nothing runs, nothing ever will.
                if self.is_anything_moving() {
                    return;
                }
                let name = &self.facts.plan.machines[machine].name;
                let text = format!("machine `{name}` boots although the host's memory is claimed already");
                self.emit(Event::Warning { text });
                self.machine_input(machine, MachineInput::Boot);
            }
        }
    }

    fn has_memory_for(&self, machine: usize) -> bool {
        let plan = &self.facts.plan;
        let claimed: u64 = (0..self.machines.len())
            .filter(|other| !self.machines[*other].is_at_rest())
            .map(|other| plan.machines[other].memory_mib)
            .fold(0, u64::saturating_add);
        claimed == 0 || claimed.saturating_add(plan.machines[machine].memory_mib) <= plan.limits.memory_mib
    }

    fn is_anything_moving(&self) -> bool {
        let is_moving = |state| !matches!(state, MachineState::Planned | MachineState::Gone | MachineState::Ready);
        self.active_steps() > 0
            || self.machines.iter().any(|machine| is_moving(machine.state()))
            || (0..self.machines.len()).any(|machine| self.is_service_moving(machine))
    }

    fn run_finally(&mut self) {
        let is_open = |step: &usize| !self.steps[*step].is_done() && !self.is_finally(*step);
        if (0..self.steps.len()).any(|step| is_open(&step)) || self.is_serving() || self.is_paused() {
            return;
        }
        let next = (0..self.steps.len()).find(|step| self.is_finally(*step) && !self.steps[*step].is_done());
        let Some(step) = next else { return };
        self.time_finally();
        if !self.is_waiting(step) {
            return;
        }
        let machine = self.machine_of[step];
        let name = self.facts.plan.machines[machine].name.clone();
        if self.machines[machine].death().is_some() {
            self.blamed[step] = true;
            self.skip(step, format!("machine `{name}` failed"));
            return;
        }
        if self.is_finally_over {
            self.skip(step, "the time for `finally` after an interrupt is up".to_owned());
            return;
        }
        match self.machines[machine].state() {
            MachineState::Planned if !self.has_turn(machine) => {}
            MachineState::Planned if self.ended_by().is_none() && !self.is_told_down(machine) => {
                self.machine_input(machine, MachineInput::Boot);
            }
            MachineState::Ready => self.step_input(step, StepInput::Begin),
            MachineState::Planned | MachineState::Leaving | MachineState::Ending | MachineState::Gone => {
                self.skip(step, format!("machine `{name}` is not up"));
            }
            // It comes up, or its end is about to be known.
            MachineState::Preparing
            | MachineState::Starting
            | MachineState::Booting
            | MachineState::Mounting
            | MachineState::Lost
            | MachineState::Stopping => {}
        }
    }

    fn retire_machines(&mut self) {
        for machine in 0..self.machines.len() {
            let is_told_down = self.is_told_down(machine);
            let needs_it = |step: usize| match is_told_down {
                true => self.steps[step].is_active(),
                false => !self.steps[step].is_done(),
            };
            let is_needed = self.is_kept(machine)
                || self.is_service_wanted(machine)
                || (0..self.steps.len()).any(|step| self.machine_of[step] == machine && needs_it(step));
            let state = self.machines[machine].state();
            if self.is_killed || (self.interrupt.is_some() && self.machines[machine].is_coming_up()) {
                self.machine_input(machine, MachineInput::Abandon);
            } else if !is_needed && state == MachineState::Ready {
                self.wind_down(machine);
            } else if !is_needed && self.machines[machine].is_coming_up() {
                self.machine_input(machine, MachineInput::Abandon);
            }
        }
    }
}
