//! What `run` asks of the rest of the program for a machine: boot files and served shares. `cli` answers.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::{DiskSocket, ShareSocket};
use crate::guest::{Dial, SetupNetwork, SetupRoot};
use crate::plan::{ImageDefaults, MachinePlan};

/// Makes machines ready to boot.
pub trait Provide: Send + Sync {
    /// Finds the kernel, builds the initramfs, makes missing host folders (as the invoker), serves the shares (mounts
    /// under the tags of the plan), the root and the vsock. Called on a thread where it may block;
    /// several machines are prepared at the same time.
    ///
    /// # Errors
    /// What could not be had, in words that say what to do.
    fn prepare(&self, machine: &MachinePlan, hooks: ProvideHooks) -> Result<Prepared, ProvideError>;
}

/// What a provider may call while it works, and after.
pub struct ProvideHooks {
    /// Says what takes long, in words ("downloading linux-image-…").
    pub progress: Box<dyn FnMut(String) + Send>,
    /// Says how much of a download has come.
    pub pulled: Box<dyn FnMut(Pulled) + Send>,
    /// Whether the run no longer wants the machine; worth asking before and during what takes long.
    pub is_canceled: Arc<dyn Fn() -> bool + Send + Sync>,
    /// To be called when a server of files or of a disk dies by itself: name for people (tag and host path) and how it
    /// died. Never after [`Prepared::shares`] was dropped.
    pub share_died: Arc<dyn Fn(String, String) + Send + Sync>,
    /// Says what the user should know of the machine and stops nothing, in words, while it is prepared and while it is
    /// up.
    pub warn: Arc<dyn Fn(String) + Send + Sync>,
    /// To be called when the machine cannot go on, with why.
    pub fail: Arc<dyn Fn(String) + Send + Sync>,
}

/// How much of a download has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What is downloaded, for people.
    pub name: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes of the whole, where they are known.
    pub total: Option<u64>,
}

impl fmt::Debug for ProvideHooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProvideHooks").finish_non_exhaustive()
    }
}

/// A machine that can boot.
pub struct Prepared {
    /// Kernel: an ELF with a PVH note, or a bzImage.
    pub kernel: PathBuf,
    /// Initial file system, the agent in it.
    pub initramfs: PathBuf,
    /// Kernel parameters beside those of `run` and the engine; often empty.
    pub cmdline: String,
    /// Sockets of the shares for the engine, that of the root first where it has one.
    pub sockets: Vec<ShareSocket>,
    /// Sockets of the disks for the engine.
    pub disks: Vec<DiskSocket>,
    /// Which of them holds the image.
    pub root: SetupRoot,
    /// Connected vhost-user socket of the vsock backend.
    pub vsock: OwnedFd,
    /// Dials ports of the guest through that backend.
    pub dial: Arc<dyn Dial>,
    /// Its network, where it has one.
    pub network: Option<Arc<dyn Network>>,
    /// The file servers, and those of disks. Dropping it ends them.
    pub shares: Box<dyn Shares>,
    /// What the image says for steps that say nothing.
    pub defaults: ImageDefaults,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Prepared").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// The network of one machine. Dropping it ends its server.
pub trait Network: Send + Sync {
    /// What the guest is told of it.
    fn setup(&self) -> SetupNetwork;

    /// Takes the connection of the machine's packets.
    ///
    /// # Errors
    /// Where its server cannot be reached.
    fn connect(&self, stream: UnixStream) -> io::Result<()>;
}

/// The file servers of one machine. Dropping it ends them and reaps their processes.
pub trait Shares: Send + Sync {
    /// Shows the files of every share of the owner `invoker` as owned by these ids of the guest.
    ///
    /// # Errors
    /// Where a server cannot be reached.
    fn set_view(&self, uid: u32, gid: u32) -> io::Result<()>;

    /// Shows the files of one share as owned by these ids of the guest from now on, whatever [`Shares::set_view`] says.
    ///
    /// # Errors
    /// Where its server cannot be reached.
    fn fix_view(&self, tag: &str, uid: u32, gid: u32) -> io::Result<()>;

    /// Begins to record what the guest makes and changes in the writable shares with `owner: guest`, and forgets what
    /// was recorded before.
    ///
    /// # Errors
    /// Where a server cannot be reached.
    fn record(&self) -> io::Result<()>;

    /// Gives files of the writable shares with `owner: guest` to a user of the host. Called on a thread where it may
    /// block; asks `goes_on` a few times a second, and ends with an error once that says no.
    ///
    /// # Errors
    /// Where a server cannot be reached, or it is to end.
    fn give(&self, gift: &Gift, goes_on: &dyn Fn() -> bool) -> io::Result<GivenFiles>;

    /// Says of a source that is no longer what the machine has mounted (removed, renamed, replaced or unmounted on the
    /// host) what, where, and what to do. Called on a thread where it may block.
    fn lost_source(&self) -> Option<String> {
        None
    }
}

/// What is given to whom when a step has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// User of the host.
    pub uid: u32,
    /// Group of the host.
    pub gid: u32,
    /// Declared outputs, absolute paths or globs of the guest, with all below them; without any, what was recorded.
    pub outputs: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenFiles {
    /// Entries that were changed.
    pub changed: u64,
    /// Files left alone because they have more than one name.
    pub linked: u64,
    /// The first thing that could not be done, for people.
    pub failure: Option<String>,
}

/// Why a machine could not be made ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProvideError {
    /// What failed, with its causes, and what to do.
    pub message: String,
    /// Whether this host cannot run machines at all (exit code 69 instead of 125).
    pub is_host_unfit: bool,
}
