//! What the threads of a device may still ask of the host: nothing but their queues, their sockets and memory.
//!
//! They live in smolvm's own process, so that the host's ends are streams. A filter of system calls and a Landlock
//! domain belong to a thread and all that it starts: whoever takes these threads over by what the guest sends cannot
//! open, run, connect or signal anything through them. The process's memory and its open descriptors stay shared; against
//! a flaw that writes memory this is a hurdle, not a wall.

use std::io;

use crate::sys::filter::{CallFilter, Otherwise};
use crate::sys::landlock::forbid_all;

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
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls that a thread needs to live, to wait and to end.
const LIFE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

/// Confines this thread and all that it will start, for good. A call that is not allowed fails with `EPERM`: to be
/// killed for it would be the end of smolvm.
///
/// # Errors
/// Where the kernel has no seccomp. Landlock is used where the kernel has it.
pub(super) fn confine_thread() -> io::Result<()> {
    forbid_all()?;
    CallFilter::default()
        .allow(OPEN)
        .allow(LIFE)
        .allow_threads()?
        .allow_values(libc::SYS_setsockopt, 2, &[libc::SO_LINGER.cast_unsigned()])?
        .allow_values(libc::SYS_ioctl, 1, &[u32::try_from(libc::FIONBIO).map_err(io::Error::other)?])?
        .apply(Otherwise::Refuse)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;
    use std::thread;

    use rustix::fs::{CWD, Mode, OFlags};
    use rustix::mount::{MountFlags, OpenTreeFlags, UnmountFlags};
    use rustix::process::{Pid, PidfdFlags, Signal};
    use rustix::thread::ThreadNameSpaceType;

    use super::*;

    fn refused<T>(result: rustix::io::Result<T>) -> Result<(), String> {
        match result {
            Ok(_) => Err("it was done".to_owned()),
            Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn refused_io<T>(result: io::Result<T>) -> Result<(), String> {
        refused(result.map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)))
    }

    fn attempts() -> Vec<(&'static str, Result<(), String>)> {
        let own = rustix::process::getpid();
        let other = Pid::from_raw(1).unwrap();
        vec![
            ("open", refused_io(File::open("/etc/passwd"))),
            ("open by magic link", refused_io(File::open("/proc/self/root/etc/passwd"))),
            ("open a process", refused_io(File::open("/proc/1/mem"))),
            ("open a path only", refused(rustix::fs::openat(CWD, "/", OFlags::PATH, Mode::empty()))),
            ("create", refused_io(File::create("/tmp/made-by-a-thread"))),
            ("list", refused_io(fs::read_dir("/"))),
            ("stat", refused_io(fs::metadata("/"))),
            ("remove", refused_io(fs::remove_file("/tmp/none"))),
            ("run a program", refused_io(Command::new("/bin/true").spawn())),
            ("listen", refused_io(TcpListener::bind("127.0.0.1:0"))),
            ("connect", refused_io(TcpStream::connect("127.0.0.1:1"))),
            ("listen on a path", refused_io(UnixListener::bind("/tmp/none"))),
            ("connect to a path", refused_io(UnixStream::connect("/run/none"))),
            ("pair", refused_io(UnixStream::pair())),
            ("mount", refused(rustix::mount::mount("none", "/", "tmpfs", MountFlags::empty(), None))),
            ("unmount", refused(rustix::mount::unmount("/", UnmountFlags::DETACH))),
            ("copy mounts", refused(rustix::mount::open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE))),
            ("pivot", refused(rustix::process::pivot_root("/", "/"))),
            ("chroot", refused(rustix::process::chroot("/"))),
            ("change folder", refused_io(std::env::set_current_dir("/"))),
            ("signal itself", refused(rustix::process::test_kill_process(own))),
            ("signal another", refused(rustix::process::kill_process(other, Signal::CONT))),
            ("watch a process", refused(rustix::process::pidfd_open(own, PidfdFlags::empty()))),
            ("name a memory", refused(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC))),
            (
                "change its dumps",
                refused(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)),
            ),
            ("take ids", refused(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT))),
            ("enter namespaces", refused(enter_namespaces())),
        ]
    }

    fn enter_namespaces() -> rustix::io::Result<()> {
        let stdin = io::stdin();
        rustix::thread::move_into_thread_name_spaces(stdin.as_fd(), ThreadNameSpaceType::USER)
    }

    #[test]
    fn a_confined_thread_can_do_nothing_to_the_host() {
        let tried = thread::spawn(|| {
            confine_thread().unwrap();
            // A thread that it starts is confined as well.
            let inherited = thread::spawn(attempts).join().unwrap();
            (attempts(), inherited)
        });
        let (own, inherited) = tried.join().unwrap();
        for (what, end) in own.into_iter().chain(inherited) {
            assert_eq!(end, Ok(()), "{what}");
        }
        // The others are as free as they were.
        assert!(File::open("/etc/passwd").is_ok() && UnixStream::pair().is_ok());
    }
}
