//! What an engine is told, what it gives back, and the two traits between `run` and an engine.
//!
//! Every virtio device is a vhost-user backend that someone else runs: the engine gets one connected
//! socket a device. Deliberately not here: who serves those sockets.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

/// Which accelerator runs the vCPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Hardware virtualization.
    Kvm,
    /// QEMU's software emulation.
    Tcg,
}

/// A virtio-fs device: the front end's end of a connected vhost-user socket.
#[derive(Debug)]
pub struct ShareSocket {
    /// Tag by which the guest mounts it, at most 36 bytes.
    pub tag: String,
    /// Connected Unix stream socket whose other end is the share's server.
    pub socket: OwnedFd,
}

/// A virtio-blk device: the front end's end of a connected vhost-user socket. What it is called, how large it is and
/// whether it can be written to its server says.
#[derive(Debug)]
pub struct DiskSocket {
    /// Connected Unix stream socket whose other end is the disk's server.
    pub socket: OwnedFd,
}

/// Everything that makes one VM.
#[derive(Debug)]
pub struct VmSpec {
    /// Name of the machine, for process titles and messages.
    pub name: String,
    /// Virtual CPUs, at least 1.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Uncompressed kernel with a PVH note (ELF), or a bzImage where none could be extracted.
    pub kernel: PathBuf,
    /// Initial file system.
    pub initramfs: PathBuf,
    /// Kernel parameters that do not depend on the engine; the engine adds its own.
    pub cmdline: String,
    /// Shares, the root among them.
    pub shares: Vec<ShareSocket>,
    /// Disks.
    pub disks: Vec<DiskSocket>,
    /// Connected vhost-user socket of the vsock backend.
    pub vsock: OwnedFd,
    /// Accelerator.
    pub accel: Accel,
}

/// Why a VM ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmExit {
    /// The guest powered off.
    PoweredOff,
    /// The guest asked for a reboot.
    Rebooted,
    /// The guest's kernel panicked; the text is the panic's line.
    Panicked(String),
    /// [`Vm::kill`] ended it.
    Killed,
    /// The engine's process ended by itself; the text says how, with its last words.
    EngineFailed(String),
}

/// What a VM tells while it lives.
#[derive(Debug)]
pub enum VmEvent {
    /// Bytes of the guest's serial console.
    Console(Vec<u8>),
    /// The end; nothing follows.
    Exited(VmExit),
}

/// A live VM. Dropping it kills it.
pub trait Vm: Send + fmt::Debug {
    /// Kills the VM at once; [`VmExit::Killed`] follows as an event. Harmless when it has ended.
    fn kill(&self);

    /// Process id of the engine's process, where it has one.
    fn pid(&self) -> Option<u32>;
}

/// Something that runs VMs.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Name for people: `qemu`.
    fn name(&self) -> &'static str;

    /// Starts a VM; returns once its process runs. Events come on the receiver.
    fn start(&self, spec: VmSpec) -> Result<(Box<dyn Vm>, Receiver<VmEvent>), EngineError>;
}

/// Why a VM could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine's program could not be run.
    #[error("cannot run `{program}`")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A resource for the VM could not be made.
    #[error("cannot prepare {what} for machine `{machine}`")]
    Prepare {
        /// Which resource.
        what: &'static str,
        /// Which machine.
        machine: String,
        /// Why.
        source: std::io::Error,
    },
}
