//! What a run is told beside its plan, and what it gives back.

use std::fmt;
use std::sync::Arc;

use super::attend::Attend;
use super::handle::RunDoor;
use super::provide::Provide;
use super::round::Rounds;
use super::state::RunFolder;
use crate::engine::{Accel, Engine};
use crate::event::{RunStatus, StepStatus};
use crate::net::Published;

/// How a run behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether steps that do not depend on a failed one go on.
    pub keep_going: bool,
    /// Steps that run at the same time (`--parallel`); the plan's limit where none is given.
    pub parallel: Option<usize>,
    /// By how much waiting for a guest is longer than on hardware: 1 with KVM, [`Options::EMULATION_FACTOR`] with TCG.
    pub time_factor: u32,
    /// Whether steps get the signal that ends the run, rather than SIGINT.
    pub passes_signals: bool,
    /// Whether machines stay up when the steps are over.
    pub hold: Hold,
    /// Whether the run waits where a step failed, before `finally`, until it is told that somebody has looked.
    pub looks: bool,
}

/// Whether machines stay up when the steps are over, until they are told to go down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hold {
    /// They go as soon as nothing needs them.
    #[default]
    No,
    /// They stay where every step has passed.
    AfterSuccess,
    /// They stay where a step has not passed.
    AfterFailure,
    /// They stay in any case.
    AfterAll,
}

impl Options {
    /// How much slower a guest may be under emulation.
    pub const EMULATION_FACTOR: u32 = 4;

    /// The defaults for an accelerator.
    pub fn for_accel(accel: Accel) -> Self {
        let time_factor = match accel {
            Accel::Kvm => 1,
            Accel::Tcg => Self::EMULATION_FACTOR,
        };
        let hold = Hold::No;
        Self { keep_going: false, parallel: None, time_factor, passes_signals: false, hold, looks: false }
    }
}

/// The parts of the world that a run uses.
#[derive(Clone)]
pub struct RunDeps {
    /// Runs the VMs.
    pub engine: Arc<dyn Engine>,
    /// With which accelerator.
    pub accel: Accel,
    /// Makes machines ready to boot.
    pub provider: Arc<dyn Provide>,
    /// Where logs go; its name is the id of the run. Without one nothing is kept.
    pub folder: Option<RunFolder>,
    /// Who sits at the only step, where somebody does.
    pub attendant: Option<Arc<dyn Attend>>,
    /// The sockets of the published ports.
    pub published: Arc<Published>,
    /// Through which the run is looked at and told from outside, where it is.
    pub door: Option<RunDoor>,
    /// What gives rounds their folders and ports, where the run takes other steps.
    pub rounds: Option<Arc<dyn Rounds>>,
}

impl fmt::Debug for RunDeps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("RunDeps");
        debug.field("engine", &self.engine).field("accel", &self.accel).field("folder", &self.folder);
        debug.finish_non_exhaustive()
    }
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// Id of the step.
    pub step: String,
    /// How.
    pub status: StepStatus,
    /// Code of its process, where one ended.
    pub exit_code: Option<i32>,
    /// Whether a failure was allowed by `continue_on_error`.
    pub is_allowed: bool,
}

/// The totals of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub status: RunStatus,
    /// Our exit code.
    pub exit_code: u8,
    /// Why, in words, where the code is not 0.
    pub cause: Option<String>,
    /// Steps passed.
    pub passed: usize,
    /// Steps failed or timed out, those that were allowed to among them.
    pub failed: usize,
    /// Steps skipped or canceled.
    pub skipped: usize,
    /// Every step of the plan, in its order.
    pub steps: Vec<StepOutcome>,
}
