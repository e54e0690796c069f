//! One step or entry of `finally`. Deliberately not here: the order of steps (`checks`, `plan`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::input::Input;
use super::matrix::Combination;
use super::path::GuestPath;
use super::project::Spanned;
use super::retry::Retry;
use crate::diag::Span;

/// What of a step could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepGaps {
    /// `id` was there and could not be read; [`Step::id`] is the default.
    pub id: bool,
    /// `machine` was there and could not be read; [`Step::machine`] is empty.
    pub machine: bool,
    /// `run` is missing or could not be read; [`Step::command`] is an empty list (no 0505).
    pub command: bool,
    /// Entries are missing from [`Step::needs`], or all of it was.
    pub needs: bool,
}

/// To whom a step's results are given when it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chown {
    /// `true`: the user who ran smolvm.
    Invoker,
    /// Ids or names of this host as written.
    Named(String),
}

/// A declared command.
#[derive(Debug, Clone)]
pub struct Step {
    /// `id`, or `step-N` / `finally-N`, in a machine of a matrix with its combination (`unit[debian:12]`); the span is the
    /// id's, or the entry's first line.
    pub id: Spanned<String>,
    /// Number of the entry from 1: steps that one entry is in the machines of a matrix have the same, and stand together.
    pub place: usize,
    /// What it is of the matrix of its machine, where its entry names the whole matrix.
    pub combination: Option<Combination>,
    /// Title shown beside the id.
    pub title: Option<String>,
    /// Name of the machine; the span is the value's, or the entry's where it was left out. Left out, it is the only
    /// machine's name where there is one machine, else empty (0210, unless `gaps.machine`).
    pub machine: Spanned<String>,
    /// What runs.
    pub command: Spanned<Command>,
    /// The step's own environment (`env`), on top of the machine's.
    pub env: BTreeMap<String, String>,
    /// Working folder; default is the machine's.
    pub working_dir: Option<Spanned<GuestPath>>,
    /// User; default is the machine's.
    pub user: Option<Spanned<String>>,
    /// What must have passed before.
    pub needs: Needs,
    /// Longest time one attempt may take.
    pub timeout: Option<Duration>,
    /// How often it is tried; `None` is once.
    pub retry: Option<Retry>,
    /// Patterns of host files that it depends on.
    pub inputs: Vec<Input>,
    /// Guest paths or globs that must exist at the end.
    pub outputs: Vec<Spanned<GuestPath>>,
    /// Whether a failure is only a warning.
    pub continue_on_error: bool,
    /// When it runs; `None` is always.
    pub condition: Option<Spanned<When>>,
    /// It is left out unless one of these is asked for; empty is always in.
    pub profiles: Vec<Spanned<String>>,
    /// To whom what it made in mounts with `owner: guest` is given.
    pub chown: Option<Spanned<Chown>>,
    /// First line of the entry.
    pub span: Span,
    /// What could not be read.
    pub gaps: StepGaps,
}

/// What came of an `if`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// Whether the step runs.
    pub holds: bool,
    /// Whether it holds no variable, so that it never comes out otherwise.
    pub is_constant: bool,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// The step above, the default.
    Above,
    /// These ids; one that an entry has in several machines of a matrix means all of them ([`StepNames`](super::StepNames)).
    Explicit(Vec<Spanned<String>>),
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A script under a shell: its program and arguments, as `["sh", "-eu"]`.
    Script {
        /// The script's text.
        text: String,
        /// The shell's program and arguments; the script's file name is added last.
        shell: Vec<String>,
    },
    /// A program and its arguments, with no shell.
    List(Vec<String>),
}
