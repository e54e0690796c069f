//! The plan and what it is made from. Everything that `run` needs is in it: `run` never reads the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::defaults::ImageDefaults;
use super::network::{LinkPlan, NetworkPlan, PortPlan};
use super::service::{DependencyPlan, ServicePlan};
use crate::config::model::{Cache, Command, GuestPath, Image, KernelSource, Retry};

/// Who ran smolvm; under `sudo` the user who called it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoker {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Login name, where the host knows one.
    pub name: Option<String>,
    /// Home folder.
    pub home: Option<PathBuf>,
    /// Whether this process runs as root (so that it must drop rights for shares).
    pub is_process_root: bool,
}

/// What was found on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// CPUs this process may use.
    pub cpus: u32,
    /// Memory of the host, or of the cgroup we are in, in MiB.
    pub memory_mib: u64,
    /// Who owns the outputs.
    pub invoker: Invoker,
}

/// What will be done, in an order that respects every dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the project.
    pub project: String,
    /// Folder of the project, absolute.
    pub folder: PathBuf,
    /// Machines that will boot, in file order.
    pub machines: Vec<MachinePlan>,
    /// Steps that will run, in file order, `finally` last.
    pub steps: Vec<StepPlan>,
    /// Steps that will not run, in file order: told, and counted as skipped.
    pub skipped: Vec<SkippedStep>,
    /// The graph, sorted so that dependencies come first.
    pub operations: Vec<Operation>,
    /// How much may go on at the same time.
    pub limits: Limits,
}

/// A step that is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedStep {
    /// Id.
    pub id: String,
    /// Machine that it would have run in.
    pub machine: String,
    /// The cause in words.
    pub why: String,
    /// Whether only a profile keeps it out, which nobody needs to be told while it runs.
    pub is_profile: bool,
}

/// How much of a plan may go on at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Steps that run at the same time, at least 1.
    pub steps_at_once: usize,
    /// Memory that all live machines together may claim, in MiB.
    pub memory_mib: u64,
}

/// A machine with everything decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Name.
    pub name: String,
    /// Root file system.
    pub image: Image,
    /// Digest that the lock file gives for the image, where it has none of its own.
    pub image_lock: Option<String>,
    /// Kernel.
    pub kernel: KernelSource,
    /// Digest that the lock file gives for the kernel.
    pub kernel_lock: Option<String>,
    /// Folder of kernel modules, where the file names one.
    pub modules: Option<PathBuf>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Host name inside.
    pub hostname: String,
    /// Mounts, parents first.
    pub mounts: Vec<MountPlan>,
    /// User of steps that name none; `None` is the image's, which is root where it names none.
    pub user: Option<String>,
    /// Environment of its service, and of what is run in it from outside: file and machine merged; the image's is below it.
    pub env: BTreeMap<String, String>,
    /// Working folder of its service, and of what is run in it from outside; `None` is the image's, else `/`.
    pub working_dir: Option<GuestPath>,
    /// What runs in it beside its steps.
    pub service: Option<ServicePlan>,
    /// Time between the polite end of its command, or of a step, and its killing; `None` is 10 s.
    pub stop_grace: Option<Duration>,
    /// What it waits for before it boots.
    pub depends_on: Vec<DependencyPlan>,
    /// Machines that must be gone before it boots, because they have a volume of its own.
    pub after: Vec<String>,
    /// Published ports, in file order.
    pub ports: Vec<PortPlan>,
    /// Services that it reaches by name, in file order.
    pub links: Vec<LinkPlan>,
    /// What else it reaches.
    pub network: NetworkPlan,
}

#[cfg(test)]
impl MachinePlan {
    /// A machine of a test: of this computer's root, with one CPU and nothing else.
    pub(crate) fn bare(name: &str, memory_mib: u64) -> Self {
        Self {
            name: name.to_owned(),
            image: Image::Host,
            image_lock: None,
            kernel: KernelSource::Auto,
            kernel_lock: None,
            modules: None,
            cpus: 1,
            memory_mib,
            hostname: name.to_owned(),
            mounts: Vec::new(),
            user: None,
            env: BTreeMap::new(),
            working_dir: None,
            service: None,
            stop_grace: None,
            depends_on: Vec::new(),
            after: Vec::new(),
            ports: Vec::new(),
            links: Vec::new(),
            network: NetworkPlan::None,
        }
    }
}

/// A mount with everything decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPlan {
    /// Mount point.
    pub target: GuestPath,
    /// Whether what is missing is made on the host: the source folder of a bind mount, and the mount point inside a
    /// writable parent share.
    pub create: bool,
    /// What is there.
    pub kind: MountPlanKind,
}

impl MountPlan {
    /// Tag and host path of its share, where it has one.
    pub fn share(&self) -> Option<(&str, &Path)> {
        match &self.kind {
            MountPlanKind::Bind { tag, source, .. } | MountPlanKind::Overlay { tag, source, .. } => Some((tag, source)),
            MountPlanKind::Tmpfs { .. } | MountPlanKind::Disk { .. } => None,
        }
    }

    /// The guest's user as whose the files appear whatever step runs, where there is one. `defaults` are its image's.
    pub fn fixed_owner<'a>(&'a self, defaults: &'a ImageDefaults) -> Option<&'a str> {
        match &self.kind {
            MountPlanKind::Bind { guest_owner, .. } => guest_owner.as_deref(),
            MountPlanKind::Overlay { guest_owner, .. } => Some(defaults.user(guest_owner.as_deref())),
            MountPlanKind::Tmpfs { .. } | MountPlanKind::Disk { .. } => None,
        }
    }

    /// Whether it is the `/workspace` that every machine has unless the file says otherwise.
    pub fn is_default_workspace(&self) -> bool {
        matches!(self.kind, MountPlanKind::Disk { disk: DiskPlan::Workspace | DiskPlan::Scratch, size_mib: None, .. })
    }

    /// Whether its files are seen as owned by the user of the step that runs.
    pub fn follows_steps(&self) -> bool {
        matches!(self.kind, MountPlanKind::Bind { guest_owner: None, .. })
    }

    /// Whether the guest may not write here.
    pub fn is_readonly(&self) -> bool {
        matches!(self.kind, MountPlanKind::Bind { readonly: true, .. } | MountPlanKind::Disk { readonly: true, .. })
    }
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountPlanKind {
    /// A folder or a file of the host.
    Bind {
        /// Tag of the share, `share0`, `share1`, …
        tag: String,
        /// Host path, absolute.
        source: PathBuf,
        /// Whether it is a file.
        is_file: bool,
        /// Whether the guest may not write.
        readonly: bool,
        /// Who owns on the host what the guest creates.
        owner: OwnerPlan,
        /// The guest's user as whose the files appear; `None` is the step's.
        guest_owner: Option<String>,
        /// How long the guest may believe what it read.
        cache: Cache,
    },
    /// A folder of the host under a writable layer of the machine.
    Overlay {
        /// Tag of the share.
        tag: String,
        /// Host folder, absolute.
        source: PathBuf,
        /// The guest's user as whose the files appear, for the machine's life; `None` is the image's.
        guest_owner: Option<String>,
    },
    /// A folder in the guest's memory.
    Tmpfs {
        /// Most that it may hold, in MiB; `None` is half of the memory.
        size_mib: Option<u64>,
    },
    /// A disk with a file system of its own.
    Disk {
        /// Serial number, `disk0`, `disk1`, …; the mounts of one volume have the same.
        serial: String,
        /// Which disk.
        disk: DiskPlan,
        /// Least size in MiB, where the file says one.
        size_mib: Option<u64>,
        /// Whether the guest may not write.
        readonly: bool,
    },
}

/// A disk, by what it is to the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskPlan {
    /// The machine's own, which stays for its next start.
    Workspace,
    /// The machine's own, which goes with it.
    Scratch,
    /// The volume of this name.
    Volume(String),
}

/// Who owns on the host what the guest creates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnerPlan {
    /// The invoker.
    Invoker,
    /// The guest's own ids, literally.
    Guest,
    /// These ids of the host.
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
}

/// A step with everything decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Id.
    pub id: String,
    /// Title.
    pub title: Option<String>,
    /// Name of the machine.
    pub machine: String,
    /// What runs.
    pub command: Command,
    /// Whether a list of words goes behind the image's entrypoint, and takes the place of the image's command. Steps of
    /// a file run as they are written.
    pub uses_entrypoint: bool,
    /// Environment: file, machine and step merged; the image's is below it.
    pub env: BTreeMap<String, String>,
    /// Working folder; `None` is the image's, else `/`.
    pub working_dir: Option<GuestPath>,
    /// User as the file says it; `None` is the image's, which is root where it names none.
    pub user: Option<String>,
    /// Ids of the steps that must have passed.
    pub needs: Vec<String>,
    /// Longest time of an attempt.
    pub timeout: Option<Duration>,
    /// How often it is tried, where that is more than once.
    pub retry: Option<Retry>,
    /// Guest paths or globs that must exist at the end.
    pub outputs: Vec<GuestPath>,
    /// Whether a failure is only a warning.
    pub continue_on_error: bool,
    /// User and group of the host to whom what it made in mounts with `owner: guest` is given.
    pub chown: Option<(u32, u32)>,
    /// Whether it is an entry of `finally`.
    pub is_finally: bool,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationKind {
    /// Kernel, initramfs and shares of a machine.
    Prepare,
    /// Boot, mounts, verification.
    Boot,
    /// The start of a service, and its health.
    Service,
    /// A step.
    Step,
    /// An entry of `finally`.
    Finally,
    /// Power off and clean up.
    Stop,
}

/// One node of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `prepare:M`, `boot:M`, `service:M`, `step:ID`, `finally:ID`, `stop:M`.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// Machine it concerns.
    pub machine: String,
    /// Ids of the operations that come before it.
    pub after: Vec<String>,
    /// Why it is here, in words.
    pub why: String,
}
