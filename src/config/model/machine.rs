//! One machine. Deliberately not here: its mounts' own types (`mount`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::image::{Image, KernelSource};
use super::matrix::Combination;
use super::mount::Mount;
use super::network::Network;
use super::path::GuestPath;
use super::project::Spanned;
use super::service::{Dependency, Service, ServiceGaps};
use super::volume::Workspace;

/// What of a machine could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineGaps {
    /// Mounts are missing from [`Machine::mounts`]: say nothing about outputs outside every mount (0501).
    pub mounts: bool,
    /// What could not be read gives the machine another purpose: say nothing about a machine that no step uses (0207).
    pub purpose: bool,
    /// What of its service and of what it waits for could not be read.
    pub service: ServiceGaps,
}

/// A declared virtual machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Key below `machines`, in a matrix with the combination (`test[debian:12]`); the span is that key.
    pub name: Spanned<String>,
    /// What it is of a matrix. Machines of one matrix stand together, in the order of their combinations.
    pub combination: Option<Combination>,
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
    /// The disk behind `/workspace`.
    pub workspace: Workspace,
    /// What it reaches, and from where it is reached.
    pub network: Network,
    /// What runs in it beside its steps.
    pub service: Service,
    /// Machines that it waits for before it boots, each once.
    pub depends_on: Vec<Dependency>,
    /// What could not be read.
    pub gaps: MachineGaps,
}
