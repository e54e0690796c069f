//! What is told of a machine, and what follows for its service and its steps.
//!
//! Deliberately not here: the life of a machine (`machine`).

use super::dispatcher::Dispatcher;
use super::input::{Action, MachineTimer, StepInput, Timer};
use super::limits::HURRIED;
use super::machine::{Machine, MachineState};
use super::service::ServiceInput;
use crate::event::{Event, MachinePhase, OutputOf, Stream};

impl Dispatcher {
    pub(super) fn machine_phase(&mut self, machine: usize, phase: MachinePhase, cause: Option<String>) {
        if matches!(phase, MachinePhase::Stopped | MachinePhase::Failed) {
            for slot in 0..self.machine_chunks[machine].len() {
                if let Some(bytes) = self.machine_chunks[machine][slot].finish() {
                    let of = OutputOf::Machine(self.facts.plan.machines[machine].name.clone());
                    self.emit(Event::Output { of, stream: Stream::Console, bytes });
                }
            }
        }
        if phase == MachinePhase::Stopped {
            self.service_input(machine, ServiceInput::MachineGone);
        }
        let seconds = self.now.saturating_sub(self.phase_at[machine]).as_secs_f64();
        self.phase_at[machine] = self.now;
        let engine = (phase == MachinePhase::Booting).then(|| self.facts.engine.clone());
        let name = self.facts.plan.machines[machine].name.clone();
        self.emit(Event::Machine { machine: name, phase, seconds, engine, cause });
        if phase == MachinePhase::Ready {
            self.service_input(machine, ServiceInput::MachineReady);
        }
    }

    /// Says it, fails the step that was running, and stops the run where the machine is still needed.
    pub(super) fn machine_failed(&mut self, machine: usize) {
        let Some(death) = self.machines[machine].death() else { return };
        let name = &self.facts.plan.machines[machine].name;
        let one_line = format!("machine `{name}`: {}", death.cause);
        let culprit = format!("machine `{name}`");
        let mut cause = death.cause.clone();
        if !death.console.is_empty() {
            cause.push_str("\nthe end of its console:");
            for line in &death.console {
                cause.push_str("\n  ");
                cause.push_str(line);
            }
        }
        self.machine_phase(machine, MachinePhase::Failed, Some(cause));
        let own: Vec<usize> = (0..self.steps.len()).filter(|step| self.machine_of[*step] == machine).collect();
        self.tell_steps(machine, &StepInput::MachineLost(one_line.clone()));
        self.lose_users(machine, &one_line);
        self.service_input(machine, ServiceInput::MachineGone);
        let is_needed = |step: &usize| !self.steps[*step].is_done() && !self.facts.plan.steps[*step].is_finally;
        if own.iter().any(is_needed) {
            self.halt(culprit);
        }
    }

    /// What is being prepared is given up, but has a moment to take its temporary folders with it.
    pub(super) fn hurry_providers(&mut self) {
        for (machine, state) in self.machines.iter().map(Machine::state).enumerate() {
            if matches!(state, MachineState::Preparing | MachineState::Leaving) {
                let timer = Timer::Machine(machine, self.life(machine), MachineTimer::End);
                self.actions.push(Action::Arm(timer, HURRIED));
            }
        }
    }
}
