//! What the server of a network gives up before it hears of a guest: files, other processes, listening, and being root.
//!
//! ```text
//! many sockets ─► nobody, where it may ─► Landlock: no file ─► no capability ─► dies with its parent ─► seccomp
//! ```
//!
//! It needs no namespace: no call is left by which a path or a process could be reached. What stays is what it is for,
//! connections to where the host's network leads; which of them are made is `policy`'s.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use crate::sys::credentials;
use crate::sys::filter::{CallFilter, Otherwise};
use crate::sys::landlock::forbid_files;

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// Descriptors that are wanted at most.
const DESCRIPTORS: u64 = 12_288;

/// Calls on what is open, and those that make a connection: none that listens for one.
const OPEN: &[i64] = &[
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_write,
];

/// Calls that a process needs to live, to wait and to end.
const LIFE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
];

/// Confines this process, which has one thread. `bond` is a descriptor whose other end only the parent holds. Returns how
/// many descriptors it may have.
pub(super) fn confine(bond: impl AsFd) -> io::Result<u64> {
    let descriptors = raise_descriptors();
    if rustix::process::geteuid().is_root() {
        // A root that may not become anyone else, or a namespace without nobody, stays what it is.
        let _ = credentials::set_groups(&[]).and_then(|()| credentials::become_user(NOBODY, NOBODY));
    }
    forbid_files()?;
    credentials::keep_capabilities(CapabilitySet::empty())?;
    credentials::die_with_parent(bond)?;
    let families = [libc::AF_INET, libc::AF_INET6].map(i32::cast_unsigned);
    CallFilter::default()
        .allow(OPEN)
        .allow(LIFE)
        .allow_threads()?
        .allow_values(libc::SYS_socket, 0, &families)?
        .apply(Otherwise::Kill)?;
    Ok(descriptors)
}

fn raise_descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = DESCRIPTORS.min(maximum.unwrap_or(DESCRIPTORS));
    if current.is_none_or(|current| current >= wanted) {
        return current.unwrap_or(DESCRIPTORS);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(_) => current.unwrap_or_default(),
    }
}
