//! What a simulated run is told: how machines and steps behave, and what is asked of it when.

use std::collections::BTreeMap;

use super::service_world::{Life, ServiceScript};
use crate::engine::VmExit;
use crate::plan::Plan;
use crate::run::{Hold, Options, RoundWish, RunCommand, Signal};

/// How a machine behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Boot {
    #[default]
    Works,
    CannotPrepare,
    /// The provider takes a minute, and does not listen when it is told to stop.
    PrepareHangs,
    CannotStart,
    KernelPanics,
    AgentSilent,
    MountFails,
    /// It ignores the request to power off.
    StopHangs,
    /// Its VM does not end when it is killed.
    Immortal,
}

/// How a step behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Does {
    Exit(i32),
    Signal(i32),
    OutOfMemory,
    NotFound,
    /// Ends with 0, but an output is missing.
    LacksOutput,
    /// Runs until it is told to end.
    Sleeps,
    /// Only KILL ends it.
    IgnoresTerm,
    /// The agent no longer carries out what it is told.
    AgentDeaf,
    Vm(VmExit),
    Silent,
    AgentGone,
    ShareDies,
}

/// The script of a simulated run.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) boots: BTreeMap<String, Boot>,
    pub(super) steps: BTreeMap<String, (u64, Does)>,
    /// What earlier attempts of a step do, first to last.
    pub(super) attempts: BTreeMap<String, Vec<(u64, Does)>>,
    pub(super) signals: Vec<(u64, Signal)>,
    pub(super) services: ServiceScript,
    pub(super) commands: Vec<(u64, RunCommand)>,
    pub(super) rounds: Vec<(u64, RoundWish)>,
    pub(super) options: Option<Options>,
}

impl Script {
    pub(super) fn boot(mut self, machine: &str, boot: Boot) -> Self {
        self.boots.insert(machine.to_owned(), boot);
        self
    }

    /// The step ends after so many milliseconds.
    pub(super) fn step(mut self, step: &str, after_ms: u64, does: Does) -> Self {
        self.steps.insert(step.to_owned(), (after_ms, does));
        self
    }

    /// The first attempts of a step; those after them do as [`Script::step`] says.
    pub(super) fn attempts(mut self, step: &str, attempts: &[(u64, Does)]) -> Self {
        self.attempts.insert(step.to_owned(), attempts.to_vec());
        self
    }

    /// What the starts of a machine's service do.
    pub(super) fn lives(mut self, machine: &str, lives: &[Life]) -> Self {
        self.services.lives(machine, lives);
        self
    }

    /// How the tests of a machine's service end.
    pub(super) fn tests(mut self, machine: &str, codes: &[Option<i32>]) -> Self {
        self.services.tests(machine, codes);
        self
    }

    pub(super) fn signal(mut self, at_ms: u64, signal: Signal) -> Self {
        self.signals.push((at_ms, signal));
        self
    }

    /// What is asked from outside; the answers are numbered from 1.
    pub(super) fn command(mut self, at_ms: u64, command: RunCommand) -> Self {
        self.commands.push((at_ms, command));
        self
    }

    /// A round that is asked for; its answers are numbered from [`ROUND`].
    pub(super) fn round(mut self, at_ms: u64, plan: &Plan, known: &[&str]) -> Self {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        self.rounds
            .push((at_ms, RoundWish { plan: plan.clone(), known, keep_going: false, parallel: None, looks: false }));
        self
    }

    pub(super) fn hold(mut self, hold: Hold) -> Self {
        self.options = Some(Options { hold, ..options() });
        self
    }

    /// Somebody looks where a step fails.
    pub(super) fn looks(mut self) -> Self {
        self.options = Some(Options { looks: true, ..self.options.unwrap_or_else(options) });
        self.rounds.iter_mut().for_each(|(_, wish)| wish.looks = true);
        self
    }

    pub(super) fn keep_going(mut self) -> Self {
        self.options = Some(Options { keep_going: true, ..options() });
        self
    }
}

pub(super) fn options() -> Options {
    let hold = Hold::No;
    Options { keep_going: false, parallel: None, time_factor: 1, passes_signals: false, hold, looks: false }
}
