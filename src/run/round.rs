//! Rounds: other steps in the machines that a run holds, and machines that are another by now.
//!
//! ```text
//! Round ─► may it begin? ─► BeginRound ─► RoundBegun ─► what changed or is gone goes down ─► NextRound ─► its steps
//! ```
//!
//! - A machine is *kept* where its shape is the same, whatever it is; one that is another by now goes down and boots as
//!   what it is now. One that the file no longer has goes down for good. One that the round is not about is a
//!   *bystander*: it stays what it is, and changes nothing of what comes of the round.
//! - Places of machines stay for the life of the run, so that what is on its way still means the same; new ones come
//!   behind. Steps are others: their numbers go on where those of the last round end.
//! - A round that is canceled ends its steps, and no machine.
//!
//! Deliberately not here: the folder and the ports of a round ([`Rounds`]), who looks on (`control`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::asked::Tried;
use super::dispatcher::{Dispatcher, steps_of};
use super::handle::CommandError;
use super::held::{Held, Want};
use super::input::{Action, CancelReason};
use super::limits::{GRACE, TimeLimits};
use super::machine::{Machine, MachineState};
use super::options::Hold;
use super::pause::Pause;
use super::round_plan::merge;
use super::schedule::needs;
use super::service::{Service, ServiceInput};
use super::services::Services;
use super::signals::Signal;
use super::state::RunFolder;
use crate::event::{Event, Timed};
use crate::net::Published;
use crate::plan::{MachinePlan, Plan};

/// What a round is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundWish {
    /// Its steps, and the machines that they need.
    pub plan: Plan,
    /// All machines that the file has: one that the run holds and that is not among them ends.
    pub known: BTreeSet<String>,
    /// Whether steps that do not depend on a failed one go on.
    pub keep_going: bool,
    /// Steps that run at the same time; the plan's limit where none is given.
    pub parallel: Option<usize>,
    /// Whether the round waits where a step failed, before `finally`, until it is told that somebody has looked.
    pub looks: bool,
}

/// What a round needs of the world before it begins.
pub trait Rounds: Send + Sync {
    /// Takes ports (which are then in the plan) and makes a folder. From its [`Event::RunStarted`] on the round's events
    /// are to be given to `listener`, up to its end.
    ///
    /// # Errors
    /// Why it cannot begin, in words that say what to do; nothing has changed then.
    fn begin(
        &self,
        plan: &mut Plan,
        earlier: &Published,
        listener: mpsc::Sender<Timed>,
    ) -> Result<(Option<RunFolder>, Published), String>;
}

/// What becomes of a machine when a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as the round wants it.
    Kept,
    /// It is another by now, or new.
    Anew,
    /// The round is not about it.
    Bystander,
    /// The file no longer has it.
    Removed,
}

/// The round that goes on, or went on last; the first is the run itself.
#[derive(Debug)]
pub(super) struct Round {
    /// The command that asked for it; 0 for the first.
    id: u64,
    /// Number of its first step among all of the run.
    step_base: usize,
    began_at: Duration,
    /// The signal that ends its steps.
    canceled: Option<Signal>,
    /// Whether a second one came.
    pub(super) is_hurried: bool,
    fates: Vec<Fate>,
    /// Whether a machine has had steps.
    had_steps: Vec<bool>,
    next: Option<Next>,
}

/// A round that is about to begin.
#[derive(Debug)]
struct Next {
    id: u64,
    fates: Vec<Fate>,
    keep_going: bool,
    parallel: Option<usize>,
    looks: bool,
    /// The plan, once there is a folder and ports for it.
    plan: Option<Box<Plan>>,
}

impl Round {
    pub(super) fn first(plan: &Plan) -> Self {
        let has_steps = |machine: &MachinePlan| plan.steps.iter().any(|step| step.machine == machine.name);
        Self {
            id: 0,
            step_base: 0,
            began_at: Duration::ZERO,
            canceled: None,
            is_hurried: false,
            fates: vec![Fate::Kept; plan.machines.len()],
            had_steps: plan.machines.iter().map(has_steps).collect(),
            next: None,
        }
    }
}

impl Held {
    /// A machine more.
    pub(super) fn grow(&mut self) {
        self.wants.push(Want::Anything);
        self.graces.push(None);
        self.lives.push(0);
        self.tried.push(Tried::No);
    }
}

impl Dispatcher {
    /// The number of a step among all of the run.
    pub(super) fn number_of(&self, step: usize) -> usize {
        self.round.step_base + step
    }

    /// The place of a step by its number; none of an earlier round.
    pub(super) fn place_of(&self, number: usize) -> Option<usize> {
        number.checked_sub(self.round.step_base).filter(|step| *step < self.steps.len())
    }

    /// The number of the command that asked for the round.
    pub(super) fn round_id(&self) -> u64 {
        self.round.id
    }

    /// The signal that ends the steps, of the run or of the round.
    pub(super) fn ended_by(&self) -> Option<Signal> {
        self.interrupt.or(self.round.canceled)
    }

    /// Whether nothing is waited for any more as far as steps go.
    pub(super) fn is_hurried(&self) -> bool {
        self.is_killed || self.round.is_hurried
    }

    /// Whether a round has ended by its cancellation, whatever still comes up.
    pub(super) fn is_canceled(&self) -> bool {
        self.round.canceled.is_some() && self.round.next.is_none()
    }

    /// Whether another round is about to begin.
    pub(super) fn is_turning(&self) -> bool {
        self.round.next.is_some()
    }

    /// Since when the round goes on.
    pub(super) fn round_time(&self) -> Duration {
        self.now.saturating_sub(self.round.began_at)
    }

    /// Whether the round is about a machine.
    pub(super) fn is_concerned(&self, machine: usize) -> bool {
        matches!(self.round.fates[machine], Fate::Kept | Fate::Anew)
    }

    /// Whether the file had a machine once.
    pub(super) fn is_removed(&self, machine: usize) -> bool {
        self.round.fates[machine] == Fate::Removed
    }

    /// Whether steps have run in a machine, in this round or before.
    pub(super) fn has_had_steps(&self, machine: usize) -> bool {
        self.round.had_steps[machine]
    }

    /// Somebody wants a round.
    pub(super) fn want_round(&mut self, id: u64, wish: RoundWish) {
        match self.may_turn() {
            Ok(()) => {
                let RoundWish { keep_going, parallel, looks, .. } = wish;
                let (plan, fates) = merge(&self.facts.plan, &self.round.fates, wish);
                self.round.next = Some(Next { id, fates, keep_going, parallel, looks, plan: None });
                self.actions.push(Action::BeginRound(id, Box::new(plan)));
            }
            Err(error) => self.actions.push(Action::Answer(id, Err(error))),
        }
    }

    fn may_turn(&self) -> Result<(), CommandError> {
        if self.is_told_to_end() {
            return Err(CommandError::Refused("the run is ending".to_owned()));
        }
        let active = (0..self.steps.len()).find(|step| self.steps[*step].is_active());
        let what = match active {
            Some(step) => format!("step `{}` runs", self.facts.plan.steps[step].id),
            None if self.looked_at().is_some() => {
                format!("somebody looks at step `{}`, which failed", self.looked_at().unwrap_or_default())
            }
            None if self.is_turning() => "other steps are about to begin".to_owned(),
            None if !self.was_settled() => "its machines are still coming up".to_owned(),
            None => return Ok(()),
        };
        Err(CommandError::Busy(what))
    }

    /// Its folder and its ports are there, or cannot be had.
    pub(super) fn round_begun(&mut self, id: u64, begun: Result<(Box<Plan>, Option<RunFolder>), String>) {
        let Some(next) = self.round.next.take_if(|next| next.id == id) else { return };
        let begun = if self.is_told_to_end() { Err("the run is ending".to_owned()) } else { begun };
        let (mut plan, folder) = match begun {
            Ok(begun) => begun,
            Err(cause) => return self.actions.push(Action::Answer(id, Err(CommandError::Refused(cause)))),
        };
        if plan.steps.iter().all(|step| step.is_finally) {
            // Nothing is begun that it would follow.
            plan.steps.clear();
        }
        let leaves = |(_, fate): &(usize, &Fate)| matches!(fate, Fate::Anew | Fate::Removed);
        let leaving: Vec<usize> =
            next.fates.iter().enumerate().take(self.machines.len()).filter(leaves).map(|(place, _)| place).collect();
        (self.round.id, self.round.began_at) = (id, self.now);
        (self.round.canceled, self.round.is_hurried) = (None, false);
        self.begin_to_settle();
        // Whatever comes of these steps, the machines are somebody's by now.
        self.facts.options.hold = Hold::AfterAll;
        (self.facts.options.keep_going, self.facts.options.parallel) = (next.keep_going, next.parallel);
        self.pause = Pause::Never;
        self.round.next = Some(Next { plan: Some(plan), ..next });
        self.facts.folder.clone_from(&folder);
        let run = folder.as_ref().map(|folder| folder.id().to_owned()).unwrap_or_default();
        self.actions.push(Action::Record(folder));
        self.emit(Event::RunStarted { run, project: self.facts.plan.project.clone() });
        self.actions.push(Action::Answer(id, Ok(())));
        self.tell_down(&leaving, None);
    }

    /// Ends the steps of a round, and no machine; the second time at once.
    pub(super) fn cancel_round(&mut self, id: u64, signal: Signal) {
        if self.round.id != id || self.interrupt.is_some() || self.was_settled() {
            return;
        }
        if self.round.canceled.is_some() {
            if !std::mem::replace(&mut self.round.is_hurried, true) {
                self.emit(Event::Warning { text: format!("{} again: the steps end at once", signal.name()) });
            }
            self.cancel_all(&CancelReason::Hurry, true);
            return;
        }
        self.round.canceled = Some(signal);
        let name = signal.name();
        let text = format!("{name}: the steps end in order, the machines stay; a second signal ends the steps at once");
        self.emit(Event::Warning { text });
        self.cancel_all(&CancelReason::Interrupt(Signal::Interrupt), false);
    }

    /// Begins the round once all that is to be gone is; tells whether it did.
    pub(super) fn turn(&mut self) -> bool {
        let is_come = self.round.next.as_ref().is_some_and(|next| {
            let is_there = |(place, fate): (usize, &Fate)| match (fate, self.machines.get(place)) {
                (_, None) => true,
                (Fate::Anew | Fate::Removed, Some(machine)) => machine.is_at_rest(),
                (_, Some(machine)) => machine.is_at_rest() || machine.state() == MachineState::Ready,
            };
            next.plan.is_some() && next.fates.iter().enumerate().all(is_there)
        });
        if !is_come || self.is_told_to_end() {
            return false;
        }
        let Some(Next { fates, plan: Some(plan), looks, .. }) = self.round.next.take() else { return false };
        self.take_plan(Arc::from(plan), fates);
        self.pause = Pause::first(looks);
        true
    }

    fn take_plan(&mut self, plan: Arc<Plan>, fates: Vec<Fate>) {
        let limits = TimeLimits::new(self.facts.options.time_factor);
        self.round.step_base += self.steps.len();
        let (steps, machine_of) = steps_of(&plan, self.round.step_base, limits);
        let mut services = Services::new(&plan, limits);
        let to_restart = self.carry_over(&plan, &fates, &mut services);
        for place in &machine_of {
            self.round.had_steps[*place] = true;
        }
        self.services = services;
        self.needs = needs(&plan);
        self.lost = vec![None; steps.len()];
        self.told_lost = vec![false; plan.machines.len()];
        self.blamed = vec![false; steps.len()];
        self.started_at = vec![Duration::ZERO; steps.len()];
        self.step_chunks = steps.iter().map(|_| Default::default()).collect();
        (self.steps, self.machine_of) = (steps, machine_of);
        (self.halted_by, self.is_finally_over, self.is_finally_timed) = (None, false, false);
        let anew = fates.iter().map(|fate| *fate == Fate::Anew).collect();
        let removed = fates.iter().map(|fate| *fate == Fate::Removed).collect();
        self.round.fates = fates;
        self.facts.plan = Arc::clone(&plan);
        self.actions.push(Action::NextRound { plan, step_base: self.round.step_base, anew, removed });
        self.pass_over();
        for place in to_restart {
            if self.service(place).is_some_and(Service::is_over) {
                self.service_input(place, ServiceInput::MachineReady);
            }
        }
    }

    /// Has each machine be what the round says of it, and its service with it; tells which are up and go on as they are.
    fn carry_over(&mut self, plan: &Plan, fates: &[Fate], services: &mut Services) -> Vec<usize> {
        let limits = TimeLimits::new(self.facts.options.time_factor);
        let mut to_restart = Vec::new();
        for (place, machine) in plan.machines.iter().enumerate() {
            let grace = machine.stop_grace.unwrap_or(GRACE);
            if place >= self.machines.len() {
                self.machines.push(Machine::new(grace, limits));
                self.machine_chunks.push(Default::default());
                self.phase_at.push(self.now);
                self.round.had_steps.push(false);
                self.held.grow();
            }
            match fates[place] {
                Fate::Anew => self.renew_for_round(place, Some(grace)),
                Fate::Kept => {
                    services.keep(place, &mut self.services);
                    if self.machines[place].state() == MachineState::Ready {
                        to_restart.push(place);
                    } else {
                        self.renew_for_round(place, None);
                        services.renew(place);
                    }
                }
                // What is down stays down: nothing asks for it.
                Fate::Bystander | Fate::Removed => {
                    services.keep(place, &mut self.services);
                    self.leave_alone(place);
                }
            }
        }
        to_restart
    }

    /// What comes now counts again, until everything has come.
    fn begin_to_settle(&mut self) {
        self.held.is_settled = false;
    }

    /// A machine is to be up for a round, in a new life where it is down; with another grace where it is another machine.
    fn renew_for_round(&mut self, machine: usize, grace: Option<Duration>) {
        (self.held.wants[machine], self.held.graces[machine]) = (Want::Anything, None);
        if self.machines[machine].state() == MachineState::Gone {
            self.held.lives[machine] += 1;
        }
        self.machines[machine].begin_anew(grace);
    }

    /// A machine that is down stays down.
    fn leave_alone(&mut self, machine: usize) {
        if self.machines[machine].is_at_rest() {
            self.held.wants[machine] = Want::Down;
        }
    }
}
