//! The system calls that a file server may make; any other is its end. `docs/threat-model.md` lists what is missing.
//!
//! Files are reached through the root that is left, so that the calls on files need no arguments checked. What makes
//! processes, programs, namespaces, sockets or memory that runs is absent, whole or by its flags.

use std::io;

use crate::sys::filter::{CallFilter, Otherwise};

use super::spec::{Makers, ShareSpec, ShareTree};

/// Calls on files and folders.
const FILES: &[i64] = &[
    libc::SYS_close,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls on what was opened before, for a server that needs nothing else. Nothing can be opened any more whether the
/// call is there or not, which libraries ask for in vain.
const OPENED: &[i64] = &[
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls on the sockets and events that the server was given or makes for itself.
const EVENTS: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
];

/// Calls that a thread needs to live, to wait and to end.
const LIFE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_umask,
];

/// Puts the filter in force.
pub(super) fn restrict_calls(spec: &ShareSpec) -> io::Result<()> {
    let files = if matches!(spec.tree, ShareTree::Image { .. }) { OPENED } else { FILES };
    let filter = CallFilter::default().allow(files).allow(EVENTS).allow(LIFE).allow_threads()?;
    let filter = match spec.makers {
        Makers::Owner => filter,
        // The guest's ids are taken one request at a time.
        Makers::Guest => {
            filter.allow(&[libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_fchownat, libc::SYS_fchown])
        }
    };
    filter.apply(Otherwise::Kill)
}
