//! The project: what a checked `smolvm.yaml` says, in types that cannot say anything wrong.
//!
//! Input is what `lower` accepted; every place a later rule may point at keeps its span. Deliberately not
//! here: the YAML tree (it may be wrong), defaults that need the host (`plan`), any input or output.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::accounts::HostIds;
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
    /// Ids of the owners that mounts and steps name, by what is written; one that is missing is not known (0603 was said).
    pub owners: BTreeMap<String, HostIds>,
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

/// A place in a guest that comes from elsewhere.
#[derive(Debug, Clone)]
pub struct Mount {
    /// What is there.
    pub kind: MountKind,
    /// Mount point in the guest, normalised.
    pub target: Spanned<GuestPath>,
    /// Whether what is missing is made on the host: the source folder of a bind mount, and for every kind the mount
    /// point inside a writable parent share.
    pub create: bool,
    /// The whole entry.
    pub span: Span,
}

impl Mount {
    /// The host path, where there is one.
    pub fn source(&self) -> Option<&Spanned<PathBuf>> {
        match &self.kind {
            MountKind::Bind { source, .. } | MountKind::Overlay { source, .. } => Some(source),
            MountKind::Tmpfs { .. } => None,
        }
    }

    /// Whether what the guest writes here changes the host.
    pub fn is_writable_bind(&self) -> bool {
        matches!(self.kind, MountKind::Bind { readonly: false, .. })
    }

    /// Whether the guest may not write here.
    pub fn is_readonly(&self) -> bool {
        matches!(self.kind, MountKind::Bind { readonly: true, .. })
    }

    /// Whether a file of the host is mounted, rather than a folder.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, MountKind::Bind { is_file: true, .. })
    }

    /// The word of the file for this kind.
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            MountKind::Bind { .. } => "bind",
            MountKind::Overlay { .. } => "overlay",
            MountKind::Tmpfs { .. } => "tmpfs",
        }
    }
}

/// What a mount shows. (`type: volume` is not run yet and never becomes one.)
#[derive(Debug, Clone)]
pub enum MountKind {
    /// A folder or a file of the host.
    Bind {
        /// Absolute host path, as the file says it (links not followed).
        source: Spanned<PathBuf>,
        /// Whether a file is there, links followed. What is missing is made as a folder, if at all.
        is_file: bool,
        /// Whether the guest may not write; enforced on the host.
        readonly: bool,
        /// Who owns on the host what the guest creates.
        owner: Spanned<Owner>,
        /// The guest's user as whose the files appear, whoever runs the step.
        guest_owner: Option<Spanned<String>>,
        /// How long the guest may believe what it read.
        cache: Spanned<Cache>,
    },
    /// A folder of the host under a writable layer of the machine: the host never changes.
    Overlay {
        /// Absolute host path, as the file says it (links not followed).
        source: Spanned<PathBuf>,
        /// The guest's user as whose the files appear; by default the machine's.
        guest_owner: Option<Spanned<String>>,
    },
    /// A folder in the guest's memory.
    Tmpfs {
        /// Most that it may hold, in MiB; `None` is half of the memory.
        size_mib: Option<Spanned<u64>>,
    },
}

/// Who owns on the host what the guest creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The user who ran smolvm; under `sudo` the user who called it.
    Invoker,
    /// The guest's own ids, literally.
    Guest,
    /// Ids or names of this host as written: `1000:1000`, `www-data`, `user:group`.
    Named(String),
}

/// How long a guest may believe what it read of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// A second at most, so that edits on the host are seen.
    Auto,
    /// For ever: nothing changes. Read-only shares only.
    Always,
    /// Not at all.
    Never,
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
    /// To whom what it made in mounts with `owner: guest` is given.
    pub chown: Option<Spanned<Chown>>,
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
