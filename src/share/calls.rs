//! The system calls that a file server may make; any other is its end. `docs/threat-model.md` lists what is missing.
//!
//! Files are reached through the root that is left, so that the calls on files need no arguments checked. What makes
//! processes, programs, namespaces, sockets or memory that runs is absent, whole or by its flags.

use std::io;

use crate::sys::filter::{CallFilter, Otherwise};

use super::spec::Makers;

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

/// Of `fcntl`: flags, and copies of a descriptor.
const FCNTL: [i32; 5] = [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];

/// What `clone` must say, and must not: a thread of this process, in its namespaces.
const THREAD: i32 = libc::CLONE_THREAD | libc::CLONE_VM;
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Puts the filter in force.
pub(super) fn restrict_calls(makers: Makers) -> io::Result<()> {
    let own = std::process::id();
    let filter = CallFilter::default()
        .allow(FILES)
        .allow(EVENTS)
        .allow(LIFE)
        .allow_values(libc::SYS_fcntl, 1, &FCNTL.map(i32::cast_unsigned))?
        .allow_values(libc::SYS_prctl, 0, &[libc::PR_SET_NAME.cast_unsigned()])?
        .allow_bits(libc::SYS_clone, 0, (THREAD | NAMESPACES).cast_unsigned(), THREAD.cast_unsigned())?
        // Memory never becomes a program.
        .allow_bits(libc::SYS_mmap, 2, libc::PROT_EXEC.cast_unsigned(), 0)?
        .allow_bits(libc::SYS_mprotect, 2, libc::PROT_EXEC.cast_unsigned(), 0)?
        // What the library's pool of threads makes its own is its current folder.
        .allow_values(libc::SYS_unshare, 0, &[libc::CLONE_FS.cast_unsigned()])?
        // An abort of its own.
        .allow_values(libc::SYS_tgkill, 0, &[own])?;
    let filter = match makers {
        Makers::Owner => filter,
        // The guest's ids are taken one request at a time.
        Makers::Guest => {
            filter.allow(&[libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_fchownat, libc::SYS_fchown])
        }
    };
    filter.apply(Otherwise::Kill)
}
