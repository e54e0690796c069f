//! How the services of a run stand, as far as events tell, and the words for it: of the service itself, and of who waits
//! for it.
//!
//! Deliberately not here: where they are shown (`render`).

use std::time::Duration;

use super::line::Tint;
use super::state::RunView;
use crate::event::{Awaited, Event, MachinePhase, ServicePhase, Timed};
use crate::plan::Condition;
use crate::report::readable::readable;
use crate::report::words;

/// The service of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceView {
    phase: ServicePhase,
    /// Since when its command runs; where it does not, since when that is so.
    pub(super) since: Duration,
    health: Health,
    /// What its last test said, where that failed: `4/30, pg_isready exit 2: no response`.
    tested: String,
    /// What else is to be said of the phase.
    words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Unknown,
    Good,
    Bad,
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// What it means.
    pub(super) tint: Tint,
    /// Whether it is about to be something else.
    pub(super) is_moving: bool,
    /// Whether it is what it should be.
    pub(super) is_up: bool,
    /// In words.
    pub(super) text: String,
}

impl ServiceView {
    /// Takes what is told of a service; `before` is what was known of it.
    pub(super) fn next(before: Option<Self>, timed: &Timed) -> Option<Self> {
        let Event::Service { phase, .. } = &timed.event else { return before };
        let fresh = || Self {
            phase: *phase,
            since: timed.at,
            health: Health::Unknown,
            tested: String::new(),
            words: String::new(),
        };
        let mut view = match (before, phase) {
            (_, ServicePhase::Started) | (None, _) => fresh(),
            (Some(before), _) => before,
        };
        view.phase = *phase;
        if matches!(phase, ServicePhase::Exited | ServicePhase::Restarting | ServicePhase::Stopping) {
            view.since = timed.at;
        }
        view.words = readable(words::service(&timed.event).as_bytes());
        view.tested = readable(words::service_test(&timed.event).as_bytes());
        view.health = match phase {
            ServicePhase::Healthy => Health::Good,
            ServicePhase::Unhealthy => Health::Bad,
            _ => view.health,
        };
        Some(view)
    }

    /// How it stands; `is_checked` where it has a health check.
    pub(super) fn standing(&self, is_checked: bool) -> Option<Standing> {
        let is = |tint, is_moving, is_up, text: String| Some(Standing { tint, is_moving, is_up, text });
        let tested =
            |before: &str| if self.tested.is_empty() { String::new() } else { format!("{before}{}", self.tested) };
        match self.phase {
            ServicePhase::Stopped => None,
            ServicePhase::Stopping => is(Tint::Live, true, false, "stopping".to_owned()),
            ServicePhase::Restarting => is(Tint::Bad, true, false, self.words.clone()),
            ServicePhase::Exited => is(Tint::Bad, false, false, self.words.clone()),
            ServicePhase::Started | ServicePhase::Testing | ServicePhase::Healthy | ServicePhase::Unhealthy => {
                match self.health {
                    Health::Good => is(Tint::Good, false, true, format!("healthy{}", tested(", but: "))),
                    Health::Bad => is(Tint::Bad, false, false, format!("unhealthy{}", tested(": "))),
                    Health::Unknown if is_checked => {
                        is(Tint::Live, true, false, format!("not healthy yet{}", tested(": ")))
                    }
                    Health::Unknown => is(Tint::Good, false, true, "up".to_owned()),
                }
            }
        }
    }
}

/// Services of the plan that are what they should be, and all of them.
pub(super) fn counts(view: &RunView) -> (usize, usize) {
    let all = (0..view.machines.len()).filter(|machine| view.plan.machines[*machine].service.is_some());
    let is_up = |machine: &usize| standing(view, *machine).is_some_and(|standing| standing.is_up);
    (all.clone().filter(is_up).count(), all.count())
}

/// How the service of a machine stands, where something was told of it.
pub(super) fn standing(view: &RunView, machine: usize) -> Option<Standing> {
    let service = view.plan.machines.get(machine)?.service.as_ref()?;
    let machine = view.machines.get(machine).filter(|machine| machine.phase == Some(MachinePhase::Ready))?;
    machine.service.as_ref()?.standing(service.health.is_some())
}

/// What a machine waits for before it boots, each with how it stands: `db healthy: 4/30, pg_isready exit 2`.
pub(super) fn awaited(view: &RunView, on: &[Awaited]) -> String {
    let one = |on: &Awaited| {
        let state = state(view, on);
        let state = if state.is_empty() { state } else { format!(": {state}") };
        format!("{} {}{state}", on.machine, on.condition.word())
    };
    on.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn state(view: &RunView, on: &Awaited) -> String {
    let Some(place) = view.machine(&on.machine) else { return String::new() };
    let machine = &view.machines[place];
    if on.condition == Condition::Completed {
        let steps = view.steps_of(place).collect::<Vec<_>>();
        let open = steps.iter().filter(|step| view.is_running(**step) || view.is_waiting(**step)).count();
        if !steps.is_empty() && machine.service.is_none() {
            return format!("{}/{} steps", steps.len() - open, steps.len());
        }
    }
    match (machine.phase, &machine.service) {
        (None, _) if !machine.awaits.is_empty() => "waits itself".to_owned(),
        (None, _) => machine.news.clone().unwrap_or_default(),
        (Some(MachinePhase::Ready), Some(service)) if !service.tested.is_empty() => service.tested.clone(),
        (Some(MachinePhase::Ready), Some(service)) => match service.phase {
            ServicePhase::Restarting | ServicePhase::Exited => service.words.clone(),
            _ => String::new(),
        },
        (Some(phase), _) if phase != MachinePhase::Ready => phase.name().to_owned(),
        _ => String::new(),
    }
}
