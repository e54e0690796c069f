//! Landlock domains for a thread and all that it starts, where the kernel has them.
//!
//! Deliberately not here: the domain of a file server, which it makes for itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

const NEWEST: ABI = ABI::V6;

/// Forbids this thread and all that it starts every file, every TCP port, and signals and abstract sockets of others. A
/// kernel without Landlock, or with less of it, forbids what it knows.
pub fn forbid_all() -> io::Result<()> {
    let restricted: Result<RestrictionStatus, RulesetError> = closed().and_then(RulesetCreated::restrict_self);
    restricted.map(drop).map_err(io::Error::other)
}

/// As [`forbid_all`], but for the network: for whoever makes connections.
pub fn forbid_files() -> io::Result<()> {
    let closed = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create);
    closed.and_then(RulesetCreated::restrict_self).map(drop).map_err(io::Error::other)
}

/// What a program may still do with files.
#[derive(Debug, Default)]
pub struct OpenPaths<'a> {
    /// Files and folders that it may read and execute, with all that is below them; those that are missing do not count.
    pub readable: Vec<PathBuf>,
    /// Files and devices that it may read, write and steer.
    pub usable: Vec<PathBuf>,
    /// Open files that it may read.
    pub files: Vec<BorrowedFd<'a>>,
}

/// A domain for a program that is yet to be started, as [`forbid_all`] but for some paths. `None` where the kernel has
/// no Landlock.
pub fn domain(open: &OpenPaths<'_>) -> io::Result<Option<OwnedFd>> {
    let allow = || -> Result<RulesetCreated, RulesetError> {
        let mut rules = closed()?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
        for path in open.readable.iter().filter_map(|path| PathFd::new(path).ok()) {
            rules = rules.add_rule(PathBeneath::new(path, read))?;
        }
        let all = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        for path in open.usable.iter().filter_map(|path| PathFd::new(path).ok()) {
            rules = rules.add_rule(PathBeneath::new(path, all))?;
        }
        for file in &open.files {
            let read: BitFlags<AccessFs> = AccessFs::ReadFile.into();
            rules = rules.add_rule(PathBeneath::new(file.as_fd(), read))?;
        }
        Ok(rules)
    };
    allow().map(Into::into).map_err(io::Error::other)
}

/// A ruleset that leaves nothing open.
fn closed() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
}
