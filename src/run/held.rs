//! Machines that stay up when steps are over, and what is asked of a run from outside: which are to go down, and come
//! up again.
//!
//! - A machine is *kept* where the run holds its machines ([`Hold`]) or somebody has started it. One that somebody has
//!   stopped stays down, whatever needs it: its steps are passed over.
//! - A run is *settled* when its steps are over and all that is kept is up. What fails before counts for the run; after,
//!   it is told and changes nothing.
//! - A machine that is gone begins a new life when it is started again. Deadlines of an earlier life say nothing.
//!
//! Deliberately not here: the life of one machine (`machine`), what needs it (`schedule`), and when what was asked for has
//! come (`asked`).

use std::time::Duration;

use super::asked::{Asked, Goal, Tried};
use super::dispatcher::Dispatcher;
use super::handle::{CommandError, RunCommand};
use super::input::{Action, CancelReason, MachineInput, StepInput};
use super::machine::MachineState;
use super::options::Hold;
use super::signals::Signal;
use crate::event::Event;
use crate::plan::nearest;

/// The signal that nobody can refuse.
const SIGKILL: i32 = 9;

/// What is known of machines beside what the schedule wants of them.
#[derive(Debug)]
pub(super) struct Held {
    /// What somebody has asked of each machine.
    pub(super) wants: Vec<Want>,
    /// How long each machine has to go down, where somebody has said so.
    pub(super) graces: Vec<Option<Duration>>,
    /// How often each machine began to live, from 0.
    pub(super) lives: Vec<u32>,
    /// What came of the start of each machine's command since somebody asked for it.
    pub(super) tried: Vec<Tried>,
    pub(super) asked: Vec<Asked>,
    /// Whether everything was settled once.
    pub(super) is_settled: bool,
    is_going_down: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Nobody has said anything.
    Anything,
    Up,
    Down,
}

impl Held {
    pub(super) fn new(machines: usize) -> Self {
        Self {
            wants: vec![Want::Anything; machines],
            graces: vec![None; machines],
            lives: vec![0; machines],
            tried: vec![Tried::No; machines],
            asked: Vec::new(),
            is_settled: false,
            is_going_down: false,
        }
    }
}

impl Dispatcher {
    /// The life of a machine that its deadlines belong to.
    pub(super) fn life(&self, machine: usize) -> u32 {
        self.held.lives[machine]
    }

    /// Whether somebody has stopped a machine.
    pub(super) fn is_told_down(&self, machine: usize) -> bool {
        self.held.wants[machine] == Want::Down
    }

    /// How long a machine has to go down, where somebody has said so.
    pub(super) fn asked_grace(&self, machine: usize) -> Option<Duration> {
        self.held.graces[machine]
    }

    /// Whether the run goes on when its steps are over.
    pub(super) fn is_holding(&self) -> bool {
        if self.is_told_to_end() {
            return false;
        }
        match self.facts.options.hold {
            Hold::No => false,
            Hold::AfterAll => true,
            Hold::AfterSuccess => self.held.is_settled || !self.has_failed(),
            Hold::AfterFailure => self.has_failed(),
        }
    }

    /// Whether machines that were to stay up do not, because something failed before all of them were there.
    pub(super) fn is_given_up(&self) -> bool {
        self.facts.options.hold == Hold::AfterSuccess && !self.held.is_settled && self.has_failed()
    }

    /// Whether the run was told to end, by a signal or from outside.
    pub(super) fn is_told_to_end(&self) -> bool {
        self.interrupt.is_some() || self.held.is_going_down
    }

    /// Whether everything had come once, so that what fails now is no failure of the run.
    pub(super) fn was_settled(&self) -> bool {
        self.held.is_settled
    }

    pub(super) fn are_steps_over(&self) -> bool {
        self.steps.iter().all(super::step::Step::is_done)
    }

    /// Whether nothing comes up any more.
    pub(super) fn is_ending(&self) -> bool {
        let is_on = self.is_holding() || self.is_paused() || self.is_any_service_wanted();
        self.is_told_to_end() || (self.are_steps_over() && !is_on)
    }

    /// Whether a machine is to be up although no step needs it.
    pub(super) fn is_kept(&self, machine: usize) -> bool {
        if self.is_spent(machine) {
            return false;
        }
        let is_down = self.is_told_down(machine) || self.gives_way(machine);
        if !is_down && self.is_kept_for_a_look(machine) {
            return true;
        }
        match self.held.wants[machine] {
            Want::Down => false,
            Want::Up => !self.is_ending(),
            Want::Anything if self.facts.options.hold == Hold::AfterFailure => {
                // Until it is known what came of the steps; nothing boots for it, and nothing is looked at in a machine
                // that was not up yet.
                let machine_is = self.machines[machine].state();
                let is_there = match self.has_failed() {
                    true => machine_is == MachineState::Ready,
                    false => machine_is != MachineState::Planned,
                };
                is_there
                    && !self.gives_way(machine)
                    && (self.is_holding() || (!self.are_steps_over() && !self.is_ending()))
            }
            Want::Anything => self.is_holding() && !self.gives_way(machine),
        }
    }

    /// Whether nothing more comes by itself.
    pub(super) fn is_settled(&self) -> bool {
        let is_there = |machine: usize| {
            let is_up = self.machines[machine].state() == MachineState::Ready && self.is_service_settled(machine);
            let is_wanted = self.is_kept(machine) || self.is_service_wanted(machine);
            let has_failed = self.machines[machine].death().is_some() || self.never_boots(machine).is_some();
            is_up || if is_wanted { has_failed } else { self.machines[machine].is_at_rest() }
        };
        self.are_steps_over() && !self.is_turning() && !self.is_paused() && (0..self.machines.len()).all(is_there)
    }

    /// Notes that everything has come, the first time that it has while the run goes on, and what came of it.
    pub(super) fn note_settled(&mut self) {
        // Who has canceled a round need not wait for what comes up all the same.
        let has_come = self.is_settled() || (self.is_canceled() && self.are_steps_over());
        if !self.held.is_settled && self.is_holding() && has_come {
            self.tell_machines_left_out();
            self.held.is_settled = true;
            let summary = self.summary();
            self.emit(Event::RunHeld {
                status: summary.status,
                exit_code: summary.exit_code,
                cause: summary.cause,
                seconds: self.round_time().as_secs_f64(),
                passed: summary.passed,
                failed: summary.failed,
                skipped: summary.skipped,
            });
        }
    }

    /// Why the run failed by a machine that no step is blamed for, where its machines were to stay.
    pub(super) fn lost_machine(&self) -> Option<usize> {
        let is_meant = self.facts.options.hold != Hold::No && !self.held.is_settled;
        let is_lost = |machine: &usize| self.is_concerned(*machine) && self.machines[*machine].death().is_some();
        (0..self.machines.len()).find(|machine| is_meant && is_lost(machine))
    }

    /// Takes what somebody asks for.
    pub(super) fn command(&mut self, id: u64, command: RunCommand) {
        match self.begin_command(command) {
            Ok(Some((machines, goal))) => self.held.asked.push(Asked { id, machines, goal }),
            Ok(None) => self.actions.push(Action::Answer(id, Ok(()))),
            Err(error) => self.actions.push(Action::Answer(id, Err(error))),
        }
    }

    /// Begins what is asked for; what is to be waited for, if anything.
    fn begin_command(&mut self, command: RunCommand) -> Result<Option<(Vec<usize>, Goal)>, CommandError> {
        let ending = || CommandError::Refused("the run is ending".to_owned());
        let (machines, goal) = match command {
            RunCommand::Start { machines, is_healthy } => {
                let machines = self.named(&machines)?;
                if self.is_ending() {
                    return Err(ending());
                }
                self.begin_lives(&machines)?;
                (machines, if is_healthy { Goal::Healthy } else { Goal::Up })
            }
            RunCommand::Stop { machines, grace } => {
                let machines = self.named(&machines)?;
                self.tell_down(&machines, grace);
                (machines, Goal::Down)
            }
            RunCommand::Restart { machines, grace } => {
                let machines = self.named(&machines)?;
                if self.is_ending() {
                    return Err(ending());
                }
                self.tell_down(&machines, grace);
                (machines, Goal::Again)
            }
            RunCommand::Kill { machines, signal: SIGKILL } => {
                let machines = self.named(&machines)?;
                self.tell_down(&machines, None);
                for machine in &machines {
                    self.machine_input(*machine, MachineInput::Abandon);
                    // No agent is left that could tell of their end.
                    self.tell_steps(*machine, &StepInput::MachineLost(self.why_down(*machine)));
                }
                (machines, Goal::Down)
            }
            RunCommand::Kill { machines, signal } => {
                self.signal_services(&machines, signal)?;
                return Ok(None);
            }
            RunCommand::Cancel { round, signal } => {
                self.cancel_round(round, Signal::of_number(signal).unwrap_or(Signal::Hangup));
                return Ok(None);
            }
            RunCommand::Resume => {
                self.resume();
                return Ok(None);
            }
            RunCommand::Down => {
                self.go_down();
                (Vec::new(), Goal::End)
            }
        };
        Ok(Some((machines, goal)))
    }

    /// The machines of these names, all where there are none.
    pub(super) fn named(&self, names: &[String]) -> Result<Vec<usize>, CommandError> {
        let known = || (0..self.machines.len()).filter(|machine| !self.is_removed(*machine));
        let name_of = |machine: usize| self.facts.plan.machines[machine].name.as_str();
        if names.is_empty() {
            return Ok(known().collect());
        }
        let place = |name: &String| {
            known().find(|machine| name_of(*machine) == name).ok_or_else(|| CommandError::Unknown {
                name: name.clone(),
                near: nearest(name, known().map(name_of)).map(str::to_owned),
            })
        };
        names.iter().map(place).collect()
    }

    /// These machines, and what they depend on, are to be up; those that are gone live anew.
    pub(super) fn begin_lives(&mut self, machines: &[usize]) -> Result<(), CommandError> {
        let mut wanted = machines.to_vec();
        let mut next = 0;
        while let Some(machine) = wanted.get(next).copied() {
            let plan = &self.facts.plan;
            let needed = plan.machines[machine].depends_on.iter().map(|on| on.machine.as_str());
            let places = needed.filter_map(|name| plan.machines.iter().position(|machine| machine.name == name));
            for place in places {
                if !wanted.contains(&place) {
                    wanted.push(place);
                }
            }
            next += 1;
        }
        for machine in wanted {
            let is_asked = machines.contains(&machine);
            if !is_asked && self.machines[machine].state() != MachineState::Gone {
                continue;
            }
            self.held.wants[machine] = Want::Up;
            self.held.graces[machine] = None;
            self.held.tried[machine] = Tried::No;
            if self.machines[machine].state() == MachineState::Gone {
                self.begin_life(machine)?;
            }
        }
        Ok(())
    }

    pub(super) fn begin_life(&mut self, machine: usize) -> Result<(), CommandError> {
        if !self.machines[machine].renew() {
            let name = &self.facts.plan.machines[machine].name;
            let text = format!("machine `{name}` cannot be started again: what its last life held did not end");
            return Err(CommandError::Refused(text));
        }
        self.renew_service(machine);
        self.held.lives[machine] += 1;
        Ok(())
    }

    /// These machines are to go down, in order, and stay down.
    pub(super) fn tell_down(&mut self, machines: &[usize], grace: Option<Duration>) {
        for machine in machines {
            self.held.wants[*machine] = Want::Down;
            self.held.graces[*machine] = grace;
            self.tell_steps(*machine, &StepInput::Cancel(CancelReason::Lost(self.why_down(*machine))));
        }
    }

    /// Why a step of a machine that is told to go down does not run.
    pub(super) fn why_down(&self, machine: usize) -> String {
        format!("machine `{}` was stopped", self.facts.plan.machines[machine].name)
    }

    /// Tells it all steps that run in a machine.
    pub(super) fn tell_steps(&mut self, machine: usize, input: &StepInput) {
        for step in 0..self.steps.len() {
            if self.machine_of[step] == machine && self.steps[step].is_active() {
                self.step_input(step, input.clone());
            }
        }
    }

    /// The run ends: where steps or machines are still to come as by a signal, else in peace.
    fn go_down(&mut self) {
        if self.are_steps_over() && (self.held.is_settled || self.is_settled()) {
            if !std::mem::replace(&mut self.held.is_going_down, true) {
                self.emit(Event::Warning { text: "told to go down: ending in order".to_owned() });
            }
        } else if self.interrupt.is_none() {
            self.signal(Signal::Terminate);
        }
    }
}
