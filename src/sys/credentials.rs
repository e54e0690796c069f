//! Ids, groups, capabilities and the bond to the parent of the calling thread.
//!
//! All of these act on one thread (raw system calls): call them while the process has only one, but for [`act_as`], which
//! is for a moment.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid, set_capabilities_secure_bits, set_thread_res_gid,
    set_thread_res_uid,
};

use super::exit::exit_now;

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
    set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    Ok(set_thread_res_uid(uid, uid, uid)?)
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

/// Lets a change of ids leave the capabilities as they are, for [`act_as`]. Needs `CAP_SETPCAP`.
pub fn keep_capabilities_whoever_acts() -> io::Result<()> {
    Ok(set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?)
}

/// While it lives, what this thread makes in the file system belongs to another user.
#[derive(Debug)]
pub struct Acting {
    /// It must end on the thread on which it began.
    _thread: PhantomData<*const ()>,
}

/// Takes effective ids for this thread, whose real ids are 0, as long as the result lives. Needs `CAP_SETUID` and
/// `CAP_SETGID`; what the thread may do is unchanged after [`keep_capabilities_whoever_acts`].
pub fn act_as(uid: u32, gid: u32) -> io::Result<Acting> {
    // To the call they mean "unchanged".
    if uid == u32::MAX || gid == u32::MAX {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    }
    set_thread_res_gid(Gid::ROOT, Gid::from_raw(gid), Gid::ROOT)?;
    let acting = Acting { _thread: PhantomData };
    set_thread_res_uid(Uid::ROOT, Uid::from_raw(uid), Uid::ROOT)?;
    Ok(acting)
}

impl Drop for Acting {
    fn drop(&mut self) {
        let back = set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
            .and_then(|()| set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT));
        if back.is_err() {
            // Never go on as somebody else.
            exit_now(70);
        }
    }
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
