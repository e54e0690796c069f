//! Every fact that a run can report, as data; times are in the envelope that `run` adds.
//!
//! Reporters are folds over these. The JSON form (`docs/forms.md`) is kept compatible: new fields may come,
//! old ones never change. Deliberately not here: rendering, clocks, diagnostics of the file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Condition;

/// A fact and when it was known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Since the start of the run.
    pub at: Duration,
    /// The fact.
    pub event: Event,
}

/// Where a chunk of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output of a step, or of a machine's service.
    Stdout,
    /// Standard error of a step, or of a machine's service.
    Stderr,
    /// Serial console or log of a machine.
    Console,
}

/// Whose output a chunk is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutputOf {
    /// Id of a step.
    Step(String),
    /// Name of a machine: its console, or what its service writes.
    Machine(String),
}

/// Phase that a machine has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachinePhase {
    /// Kernel, initramfs and shares are at hand.
    Prepared,
    /// The engine was started.
    Booting,
    /// The agent answered.
    Agent,
    /// Every mount is in place and verified.
    Mounted,
    /// Steps can run.
    Ready,
    /// The machine was asked to power off.
    Stopping,
    /// It is gone.
    Stopped,
    /// It ended when it should not have; the cause is in the event.
    Failed,
}

impl MachinePhase {
    /// Its name, for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Booting => "booting",
            Self::Agent => "agent",
            Self::Mounted => "mounted",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// Phase that the service of a machine has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServicePhase {
    /// Its command runs.
    Started,
    /// A test of its health did not pass, and that decides nothing yet.
    Testing,
    /// It is ready.
    Healthy,
    /// As many tests as it may fail failed in a row.
    Unhealthy,
    /// Its command ended by itself, or could not be started.
    Exited,
    /// It is started again after a while.
    Restarting,
    /// Its command was asked to end.
    Stopping,
    /// It has ended as it was asked to.
    Stopped,
}

/// What a machine waits for before it boots: another one, in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// Name of the other machine.
    pub machine: String,
    /// The state.
    pub condition: Condition,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepStatus {
    /// It ended with 0 and its outputs are there.
    Passed,
    /// It ended otherwise, or could not run.
    Failed,
    /// Its time was up.
    TimedOut,
    /// It was ended by an interrupt, or because another step failed.
    Canceled,
    /// It never started.
    Skipped,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunStatus {
    /// Every step passed (or its failure was allowed).
    Passed,
    /// Something failed.
    Failed,
    /// A step's time was up, and it decided the exit code.
    TimedOut,
    /// A signal ended it.
    Interrupted,
    /// The file is wrong.
    Invalid,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The first event.
    RunStarted {
        /// Id of the run.
        run: String,
        /// Name of the project.
        project: String,
    },
    /// A machine reached a phase.
    Machine {
        /// Name.
        machine: String,
        /// Phase reached.
        phase: MachinePhase,
        /// Time since the phase before it.
        seconds: f64,
        /// Engine and accelerator that serve it, as `qemu (tcg)`; with `booting`.
        engine: Option<String>,
        /// Why, with `failed`: phase, cause, and what to do.
        cause: Option<String>,
    },
    /// A machine could boot, but for other machines that are not as far as it needs them. Told again when that changes;
    /// when nothing is left to wait for, the list is empty.
    Waiting {
        /// Name.
        machine: String,
        /// What it still waits for, in file order.
        on: Vec<Awaited>,
    },
    /// The service of a machine reached a phase.
    Service {
        /// Name of the machine.
        machine: String,
        /// Phase reached.
        phase: ServicePhase,
        /// Since its command was started, or, with `started`, since the machine was up.
        seconds: f64,
        /// With `testing` and `unhealthy` the failures in a row that count (0 in the start period), with `restarting`
        /// the number of the restart, from 1; the same with `exited`, where it is started again.
        attempt: Option<u32>,
        /// Failures in a row that make it unhealthy, with `testing` and `unhealthy`.
        of: Option<u32>,
        /// Code of the command with `exited` and `stopped`, of the test with `testing` and `unhealthy`; 128+n for
        /// signal n. None where no process ended.
        exit_code: Option<i32>,
        /// Seconds until it is started again, with `restarting`, and with `exited` where it is.
        delay: Option<f64>,
        /// What tests it, in a word, with `testing` and `unhealthy`: `pg_isready`.
        test: Option<String>,
        /// The last line that the test wrote, else what it has to say for itself in words: why the command ended, or
        /// what the test waits for.
        cause: Option<String>,
    },
    /// A machine that was to be up does not come: what it waits for never will, or the run ends before. Told once, as soon
    /// as it is known; where it boots all the same, what it waits for has come after all.
    NotStarted {
        /// Name.
        machine: String,
        /// Why.
        cause: String,
        /// The machine that keeps it from coming, where one does.
        by: Option<String>,
    },
    /// Something slow on the way to a boot, as a kernel download, in words.
    Progress {
        /// Machine that waits for it.
        machine: String,
        /// What is being done.
        text: String,
    },
    /// How much of a download has come.
    Pull {
        /// Machine that waits for it.
        machine: String,
        /// What is downloaded: the reference of an image, the package of a kernel.
        image: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the whole, where they are known.
        total: Option<u64>,
    },
    /// A step's attempt began.
    StepStarted {
        /// Id.
        step: String,
        /// Title, where the file gives one.
        title: Option<String>,
        /// Machine.
        machine: String,
        /// From 1.
        attempt: u32,
    },
    /// Bytes that a step or a machine wrote.
    Output {
        /// Whose.
        of: OutputOf,
        /// Which stream.
        stream: Stream,
        /// The bytes; no chunk ends inside a UTF-8 sequence.
        bytes: Vec<u8>,
    },
    /// What a step made in mounts with `owner: guest` was given to a user of the host.
    Ownership {
        /// Id of the step.
        step: String,
        /// Entries that were changed.
        changed: u64,
        /// Files left alone because they have more than one name.
        linked: u64,
    },
    /// A step ended, or will never start.
    StepFinished {
        /// Id.
        step: String,
        /// Machine.
        machine: String,
        /// How.
        status: StepStatus,
        /// Code of the process (128+n for signal n), where one ended.
        exit_code: Option<i32>,
        /// Duration of the attempt.
        seconds: f64,
        /// Why, in words, where it is not the code alone.
        cause: Option<String>,
        /// Whether the failure was allowed by `continue_on_error`.
        is_allowed: bool,
        /// The step's log file, where it has one.
        log: Option<String>,
    },
    /// Something worth knowing that stops nothing.
    Warning {
        /// In words.
        text: String,
    },
    /// A step failed, and the run waits until somebody has looked at it; `finally` comes afterwards.
    Paused {
        /// The step, the first in file order that failed.
        step: String,
        /// Its machine.
        machine: String,
        /// How the run stands.
        status: RunStatus,
        /// Exit code of what ran.
        exit_code: u8,
        /// Why, in words.
        cause: Option<String>,
        /// Time since the start.
        seconds: f64,
        /// Steps passed.
        passed: usize,
        /// Steps failed or timed out.
        failed: usize,
        /// Steps skipped or canceled.
        skipped: usize,
    },
    /// The steps are over, and the machines that stay are up; what is told after this changes nothing of it.
    RunHeld {
        /// How.
        status: RunStatus,
        /// Exit code of what ran.
        exit_code: u8,
        /// Why, in words, where it is not 0.
        cause: Option<String>,
        /// Time since the start.
        seconds: f64,
        /// Steps passed.
        passed: usize,
        /// Steps failed or timed out.
        failed: usize,
        /// Steps skipped or canceled.
        skipped: usize,
    },
    /// The last event.
    RunFinished {
        /// How.
        status: RunStatus,
        /// Our exit code.
        exit_code: u8,
        /// Why, in words, where it is not 0.
        cause: Option<String>,
        /// Duration of the whole run.
        seconds: f64,
        /// Steps passed.
        passed: usize,
        /// Steps failed or timed out.
        failed: usize,
        /// Steps skipped or canceled.
        skipped: usize,
        /// Steps taken from the cache.
        cached: usize,
    },
}
