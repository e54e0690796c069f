//! What a server gives up before it speaks to a guest, from inside its namespaces.
//!
//! ```text
//! user 0 of the namespace ─► the share, or an empty folder, is the root ─► Landlock ─► capabilities ─► dies with its parent ─► seccomp
//! ```

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::thread::CapabilitySet;

use crate::sys::{credentials, mount};

use super::calls::restrict_calls;
use super::single::{LINKS_MAX, plain_name};
use super::spec::{Makers, ShareSpec, ShareTree};

/// Where a tree is attached before it becomes the root: a folder that each Linux system has, hidden by it only here.
const SCAFFOLD: &str = "/proc";

/// The places of `image: host` that hold secrets and state, each with the mode of the empty folder shown there.
const HIDDEN: [(&str, u32); 11] = [
    ("home", 0o755),
    ("root", 0o755),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
    ("run", 0o755),
    ("mnt", 0o755),
    ("media", 0o755),
    ("srv", 0o755),
    ("proc", 0o755),
    ("sys", 0o755),
    ("dev", 0o755),
];

/// Why a server cannot be confined.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfineError {
    /// The host denies a step.
    #[error("this host denies {step}: {source}")]
    Denied {
        /// What was tried.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The folder or file cannot be opened with the owner's rights.
    #[error("cannot open `{path}`: {source}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The share is not a folder.
    #[error("`{path}` is not a folder")]
    NotFolder {
        /// The path.
        path: String,
    },
    /// The share is not a file.
    #[error("`{path}` is not a plain file")]
    NotFile {
        /// The path.
        path: String,
    },
}

/// A process whose root is the tree.
pub(super) struct Entered {
    /// `/proc/self/fd` of the host's proc, which the passthrough needs and which the new root lacks.
    pub(super) own_fds: File,
    /// `/dev/null`.
    pub(super) sink: File,
    /// The one name in the root that is served, where it is not all of them.
    pub(super) only: Option<CString>,
}

fn denied<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |error| ConfineError::Denied { step, source: error.into() }
}

impl ConfineError {
    /// Whether another host, or another setting of this one, would do.
    pub(super) fn is_host_unfit(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// Becomes user 0 of the namespace and makes the tree the root.
pub(super) fn enter_tree(tree: &ShareTree) -> Result<Entered, ConfineError> {
    credentials::become_user(0, 0).map_err(denied("taking on the owner's ids"))?;
    let sink = File::options().write(true).open("/dev/null").map_err(denied("opening `/dev/null`"))?;
    mount::make_mounts_private().map_err(denied("changing mounts"))?;
    // A mount of that folder alone, attached nowhere: from a descriptor of the whole, `..` would lead to all processes.
    let own_fds = mount::clone_tree(Path::new("/proc/self/fd")).map_err(denied("copying `/proc/self/fd`"))?;
    let (root, only) = match tree {
        ShareTree::Folder { path, is_read_only, .. } => (folder_tree(path, *is_read_only)?, None),
        ShareTree::File { path, is_read_only, .. } => {
            let cannot = |source| ConfineError::Open { path: path.display().to_string(), source };
            if !std::fs::metadata(path).map_err(cannot)?.is_file() {
                return Err(ConfineError::NotFile { path: path.display().to_string() });
            }
            let (folder, name) = place_of_file(path).map_err(cannot)?;
            (folder_tree(&folder, *is_read_only)?, Some(name))
        }
        ShareTree::RootFolder { path } => (folder_tree(path, true)?, None),
        ShareTree::HostRoot => (host_tree()?, None),
        ShareTree::Image { .. } => (empty_tree()?, None),
    };
    mount::enter_root(root).map_err(denied("changing the root"))?;
    Ok(Entered { own_fds: File::from(own_fds), sink, only })
}

/// The folder in which a file is found, and the name there. A link that leads to another folder is followed now, and
/// that folder is the one; a link to another name of its folder is left to be followed whenever the file is asked for.
pub(super) fn place_of_file(path: &Path) -> io::Result<(PathBuf, CString)> {
    let nowhere = || io::Error::from_raw_os_error(libc::EISDIR);
    let mut place = split(path).ok_or_else(nowhere)?;
    let mut name = place.1.clone();
    for _ in 0..LINKS_MAX {
        place.0 = place.0.canonicalize()?;
        match std::fs::read_link(place.0.join(&name)) {
            Ok(target) if plain_name(target.as_os_str().as_bytes().to_vec()).is_ok() => name = target.into(),
            Ok(target) => {
                place = split(&place.0.join(target)).ok_or_else(nowhere)?;
                name.clone_from(&place.1);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok((place.0, CString::new(place.1.as_bytes())?));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn split(path: &Path) -> Option<(PathBuf, OsString)> {
    Some((path.parent()?.to_owned(), path.file_name()?.to_owned()))
}

fn folder_tree(path: &Path, is_read_only: bool) -> Result<OwnedFd, ConfineError> {
    let name = || path.display().to_string();
    let found = std::fs::metadata(path).map_err(|source| ConfineError::Open { path: name(), source })?;
    if !found.is_dir() {
        return Err(ConfineError::NotFolder { path: name() });
    }
    let tree = mount::clone_tree(path).map_err(denied("copying a mount"))?;
    attach(&tree, is_read_only)?;
    Ok(tree)
}

fn empty_tree() -> Result<OwnedFd, ConfineError> {
    let tree = mount::empty_tree(0o555).map_err(denied("making an empty root"))?;
    attach(&tree, true)?;
    Ok(tree)
}

fn attach(tree: &OwnedFd, is_read_only: bool) -> Result<(), ConfineError> {
    mount::restrict_tree(tree, is_read_only).map_err(denied("restricting a mount (Linux 5.12 is needed)"))?;
    mount::attach_tree(tree, Path::new(SCAFFOLD)).map_err(denied("mounting"))
}

fn host_tree() -> Result<OwnedFd, ConfineError> {
    let tree = mount::clone_tree(Path::new("/")).map_err(denied("copying a mount"))?;
    attach(&tree, true)?;
    for (place, mode) in HIDDEN {
        // Where the place is a link, what it leads to is covered.
        if let Some(folder) = mount::folder_in(&tree, Path::new(place)).map_err(denied("opening a hidden place"))? {
            mount::cover(folder, mode).map_err(denied("covering a hidden place"))?;
        }
    }
    Ok(tree)
}

/// Gives up all that serving the tree does not need. `bond` is the descriptor whose other end only the parent holds.
pub(super) fn give_up_rights(spec: &ShareSpec, bond: impl AsFd) -> Result<(), ConfineError> {
    let is_writable = spec.tree.is_writable();
    // Root in the guest reads and writes the owner's own files whatever their modes. CAP_FSETID, to give such bits,
    // only where the guest's ids are taken.
    let kept = match spec.tree {
        ShareTree::HostRoot | ShareTree::Image { .. } => CapabilitySet::empty(),
        _ if !is_writable => CapabilitySet::DAC_READ_SEARCH,
        _ if spec.makers == Makers::Owner => CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER,
        _ => {
            let ids = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::CHOWN | CapabilitySet::FSETID;
            CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER | ids
        }
    };
    if kept.contains(CapabilitySet::SETUID) {
        credentials::keep_capabilities_whoever_acts().map_err(denied("keeping capabilities"))?;
    }
    restrict_paths(&spec.tree).map_err(|error| ConfineError::Denied { step: "Landlock", source: error })?;
    credentials::keep_capabilities(kept).map_err(denied("giving up capabilities"))?;
    credentials::die_with_parent(bond).map_err(denied("a bond to the parent process"))?;
    restrict_calls(spec).map_err(denied("a filter of system calls (seccomp)"))
}

/// Landlock, where the kernel has it: nothing but the share, no program of it, no network.
fn restrict_paths(tree: &ShareTree) -> io::Result<()> {
    // Kernels before 5.19 deny every rename to another folder to whoever uses Landlock.
    let probe = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if probe.handle_access(AccessFs::Refer).is_err() {
        return Ok(());
    }
    let abi = ABI::V6;
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    let all: BitFlags<AccessFs> = match tree {
        ShareTree::File { is_read_only: true, .. } => AccessFs::ReadFile.into(),
        ShareTree::File { .. } => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate,
        tree if tree.is_writable() => AccessFs::from_all(abi),
        _ => AccessFs::from_read(abi),
    };
    let root = PathFd::new("/").map_err(io::Error::other)?;
    // An image's server has all that it needs open.
    let shown = (!matches!(tree, ShareTree::Image { .. })).then(|| PathBeneath::new(root, all & !never));
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(shown.into_iter().map(Ok::<_, RulesetError>)))
        .and_then(|rules| rules.restrict_self());
    restricted.map(drop).map_err(io::Error::other)
}
