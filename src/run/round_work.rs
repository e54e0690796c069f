//! The hands of a run, as far as rounds go: what is another thing in each, and what the next one needs. Nothing is decided
//! here.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use tokio::sync::mpsc;

use super::input::RunInput;
use super::worker::Workers;
use crate::event::Timed;
use crate::net::Published;
use crate::plan::{Plan, StepPlan};

/// What is another thing in each round.
pub(super) struct Current {
    pub(super) plan: Arc<Plan>,
    /// Number of its first step.
    pub(super) step_base: usize,
    pub(super) published: Arc<Published>,
}

impl Workers {
    /// The plan of the round that goes on. Places of machines are the same in each.
    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.current().plan)
    }

    /// The step of this number; none of an earlier round.
    pub(super) fn step(&self, number: usize) -> Option<StepPlan> {
        let current = self.current();
        current.plan.steps.get(number.checked_sub(current.step_base)?).cloned()
    }

    /// The sockets of the published ports.
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.current().published)
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets a folder and ports for a round.
    pub(super) fn begin_round(self: &Arc<Self>, id: u64, mut plan: Box<Plan>, listener: mpsc::Sender<Timed>) {
        let workers = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let begun = match &workers.deps.rounds {
                Some(rounds) => rounds.begin(&mut plan, &workers.published(), listener),
                None => Err("what runs takes no other steps".to_owned()),
            };
            let begun = begun.map(|(folder, published)| {
                *workers.next_ports.lock().unwrap_or_else(PoisonError::into_inner) = Some(published);
                (plan, folder)
            });
            // Where the loop is gone, so is the run.
            let _ = workers.urgent.send(RunInput::RoundBegun(id, begun));
        });
    }

    /// The round that was begun goes on from here.
    pub(super) fn turn(&self, plan: Arc<Plan>, step_base: usize) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.resize_with(plan.machines.len(), Arc::default);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let ports = self.next_ports.lock().unwrap_or_else(PoisonError::into_inner).take();
        let published = ports.map_or_else(|| Arc::clone(&current.published), Arc::new);
        *current = Current { plan, step_base, published };
    }
}
