//! What the server of a disk gives up before it hears of a guest: all but its files, its sockets and memory.
//!
//! ```text
//! nobody, where it may ─► Landlock: no file, no network ─► no capability ─► dies with its parent ─► seccomp
//! ```
//!
//! It needs no namespace: no call is left by which a path, a process or another socket could be reached.

use std::io;
use std::os::fd::AsFd;

use rustix::thread::CapabilitySet;

use crate::sys::credentials;
use crate::sys::filter::{CallFilter, Otherwise};
use crate::sys::landlock::forbid_all;

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// Calls on what is open.
const OPEN: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls on a file that is written to.
const WRITTEN: &[i64] =
    &[libc::SYS_fallocate, libc::SYS_fdatasync, libc::SYS_pwrite64, libc::SYS_pwritev, libc::SYS_pwritev2];

/// Calls that a thread needs to live, to wait and to end.
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
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// Confines this process, which has one thread yet; only a disk that is writable is written to. `bond` is a descriptor whose other end only the parent holds.
pub(super) fn confine(bond: impl AsFd, is_writable: bool) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        // A root that may not become anyone else, or a namespace without nobody, stays what it is.
        let _ = credentials::set_groups(&[]).and_then(|()| credentials::become_user(NOBODY, NOBODY));
    }
    forbid_all()?;
    credentials::keep_capabilities(CapabilitySet::empty())?;
    credentials::die_with_parent(bond)?;
    let written = if is_writable { WRITTEN } else { &[] };
    CallFilter::default().allow(OPEN).allow(written).allow(LIFE).allow_threads()?.apply(Otherwise::Kill)
}
