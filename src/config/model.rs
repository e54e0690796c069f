//! The project: what a checked `smolvm.yaml` says, in types that cannot say anything wrong.
//!
//! Input is what `lower` accepted; every place a later rule may point at keeps its span. Deliberately not
//! here: the YAML tree (it may be wrong), defaults that need the host (`plan`), any input or output.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::diag::Span;

/// A value and the place in the file that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was said.
    pub value: T,
    /// Where it was said.
    pub span: Span,
}

/// What of a file could not be read (its diagnostic was given), so that rules which would only follow stay silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectGaps {
    /// Machines are missing from [`Project::machines`]: say nothing about unknown (0201) or left-out (0210) machines.
    pub machines: bool,
    /// Steps or their ids are missing from [`Project::steps`]: say nothing about unknown steps (0202) or about
    /// machines that no step uses (0207).
    pub steps: bool,
}

/// What of a machine could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineGaps {
    /// Mounts are missing from [`Machine::mounts`]: say nothing about outputs outside every mount (0501).
    pub mounts: bool,
    /// A key that this smolvm does not run yet gives the machine another purpose (`command`, `matrix`, `depends_on`), or
    /// nothing of it could be read:
    /// say nothing about a machine that no step uses (0207).
    pub purpose: bool,
}

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

/// One `smolvm.yaml`, checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// Name of the project: `name`, or the folder's name made fit.
    pub name: String,
    /// Absolute folder of the first file; relative host paths of that file start here.
    pub folder: PathBuf,
    /// Environment of every step of every machine (`env` of the file).
    pub env: BTreeMap<String, String>,
    /// Machines in file order.
    pub machines: Vec<Machine>,
    /// Steps in file order.
    pub steps: Vec<Step>,
    /// Entries of `finally` in file order; they have no `needs`.
    pub finally: Vec<Step>,
    /// What could not be read.
    pub gaps: ProjectGaps,
}

/// A declared virtual machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Key below `machines`; the span is that key.
    pub name: Spanned<String>,
    /// Root file system.
    pub image: Spanned<Image>,
    /// Guest kernel.
    pub kernel: Spanned<KernelSource>,
    /// Folder of the kernel's modules (`modules:`), absolute.
    pub modules: Option<Spanned<PathBuf>>,
    /// Virtual CPUs; `None` is the default `min(2, host CPUs)`.
    pub cpus: Option<Spanned<u32>>,
    /// Memory in MiB, default 1024.
    pub memory_mib: Spanned<u64>,
    /// The machine's own environment (`env`), on top of the file's.
    pub env: BTreeMap<String, String>,
    /// Default working folder of steps, absolute in the guest.
    pub working_dir: Option<Spanned<GuestPath>>,
    /// Default user of steps; `None` is root for `host` and `dir:`.
    pub user: Option<Spanned<String>>,
    /// Host name inside; default is the machine's name.
    pub hostname: Option<String>,
    /// Mounts in file order.
    pub mounts: Vec<Mount>,
    /// What could not be read.
    pub gaps: MachineGaps,
}

/// Where a machine's read-only root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// The root file system of this computer, without what is private.
    Host,
    /// An unpacked root file system, absolute.
    Dir(PathBuf),
    /// A reference that this smolvm checks but does not run yet (0011 was said).
    Unsupported(String),
}

/// Where a machine's kernel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelSource {
    /// The order of `docs/architecture.md`.
    Auto,
    /// A bzImage or vmlinux, absolute.
    Path(PathBuf),
}

/// An absolute, normalised path in a guest: no `.`/`..`, no doubled or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(String);

impl GuestPath {
    /// Normalises an absolute path; `None` where it is relative, empty, has a `..` component or a NUL.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') || text.contains('\0') || text.split('/').any(|part| part == "..") {
            return None;
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        Some(Self(format!("/{}", parts.join("/"))))
    }

    /// The path as text, `/` for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        other.0 == "/" || self.0 == other.0 || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A host folder in a guest.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Absolute host path, as the file says it (links not followed).
    pub source: Spanned<PathBuf>,
    /// Mount point in the guest, normalised.
    pub target: Spanned<GuestPath>,
    /// Whether the guest may not write; enforced on the host.
    pub readonly: bool,
    /// Whether missing folders are made on the host.
    pub create: bool,
    /// Who owns on the host what the guest creates.
    pub owner: Spanned<Owner>,
    /// The whole entry.
    pub span: Span,
}

/// Who owns on the host what the guest creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The user who ran smolvm; under `sudo` the user who called it.
    Invoker,
    /// A form that this smolvm checks but does not run yet (0011 was said).
    Unsupported(String),
}

/// A declared command.
#[derive(Debug, Clone)]
pub struct Step {
    /// `id`, or `step-N` / `finally-N`; the span is the id's, or the entry's first line.
    pub id: Spanned<String>,
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
    /// Guest paths or globs that must exist at the end.
    pub outputs: Vec<Spanned<GuestPath>>,
    /// Whether a failure is only a warning.
    pub continue_on_error: bool,
    /// First line of the entry.
    pub span: Span,
    /// What could not be read.
    pub gaps: StepGaps,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// The step above, the default.
    Above,
    /// These ids.
    Explicit(Vec<Spanned<String>>),
}

/// What a step runs.
#[derive(Debug, Clone, PartialEq, Eq)]
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
