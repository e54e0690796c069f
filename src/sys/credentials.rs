//! Ids, groups, capabilities and the bond to the parent of the calling thread.
//!
//! All of these act on one thread (raw system calls): call them while the process has only one.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

/// The supplementary groups.
pub fn groups() -> io::Result<Vec<u32>> {
    Ok(rustix::process::getgroups()?.iter().map(|gid| gid.as_raw()).collect())
}

/// Replaces the supplementary groups; needs `CAP_SETGID`.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    Ok(rustix::thread::set_thread_groups(&groups)?)
}

/// Takes real, effective and saved ids.
pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Gives up, for good, every capability that is not in `kept`; no program that is executed gets one back.
pub fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    for capability in CapabilitySet::all().iter() {
        if !kept.contains(capability) {
            // A kernel that does not know the capability has not given it either.
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Makes the kernel kill this process when its parent ends. `bond` is a descriptor whose other end only the
/// parent holds: it tells whether the parent ended before. Call it after the last change of credentials,
/// which would undo it.
pub fn die_with_parent(bond: impl AsFd) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut fds = [PollFd::new(&bond, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&at_once))? > 0 && fds[0].revents().contains(PollFlags::HUP) {
        return Err(io::Error::other("the parent process has ended"));
    }
    Ok(())
}
