//! Every fact that a run can report, as data; times are in the envelope that `run` adds.
//!
//! Reporters are folds over these. The JSON form (`docs/forms.md`) is kept compatible: new fields may come,
//! old ones never change. Deliberately not here: rendering, clocks, diagnostics of the file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// Standard output of a step.
    Stdout,
    /// Standard error of a step.
    Stderr,
    /// Serial console or log of a machine.
    Console,
}

/// Whose output a chunk is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutputOf {
    /// Id of a step.
    Step(String),
    /// Name of a machine.
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
