//! Fork and execute one command. Between the two the child only makes system calls: other threads of the agent may
//! have held any lock at the fork, so nothing there may allocate.

#![expect(unsafe_code, reason = "fork(2), execve(2) and what a child does between them")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use super::check;
use super::file::pipe;

/// Whose rights a command has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// One command, ready to be started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// Files to try, in order.
    pub(crate) programs: &'a [CString],
    pub(crate) arguments: &'a [CString],
    pub(crate) environment: &'a [CString],
    pub(crate) working_dir: &'a CStr,
    /// `None` keeps the agent's own.
    pub(crate) identity: Option<&'a Identity>,
    /// `cgroup.procs` of the command's group.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Whether standard input is a terminal, which the command gets as its own.
    pub(crate) has_terminal: bool,
}

/// Where a child stopped before it ran its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaunchStage {
    Prepare,
    Identity,
    WorkingDir,
    Program,
}

/// Why a child did not run its program.
#[derive(Debug)]
pub(crate) struct LaunchError {
    pub(crate) stage: LaunchStage,
    pub(crate) error: io::Error,
}

/// A child that is on its way to its program.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: i32,
    status: File,
}

impl Forked {
    /// Waits until the program runs or cannot.
    pub(crate) fn wait_program(mut self) -> Result<(), LaunchError> {
        let mut told = Vec::new();
        if let Err(error) = self.status.read_to_end(&mut told) {
            return Err(LaunchError { stage: LaunchStage::Prepare, error });
        }
        // The descriptor closes with a successful execve(2), and then nothing was told.
        let [stage, a, b, c, d] = told[..] else {
            return Ok(());
        };
        let stage = match stage {
            b'i' => LaunchStage::Identity,
            b'w' => LaunchStage::WorkingDir,
            b'x' => LaunchStage::Program,
            _ => LaunchStage::Prepare,
        };
        Err(LaunchError { stage, error: io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d])) })
    }
}

/// Files that a command may have open, unless it asks for more, up to what the agent itself may. Servers ask for as many;
/// of more still, programs that close all that there could be before they run another would close for seconds.
const OPEN_FILES: u64 = 65_536;

/// All that the child needs, in the form that system calls take.
struct Child<'a> {
    programs: Vec<*const libc::c_char>,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    working_dir: *const libc::c_char,
    identity: Option<&'a Identity>,
    cgroup: RawFd,
    standard: [RawFd; 3],
    has_terminal: bool,
    status: RawFd,
}

/// Forks; the child goes on to run the program. The caller reaps it, whatever comes.
pub(crate) fn fork_child(launch: &Launch<'_>) -> io::Result<Forked> {
    let (status, told) = pipe()?;
    let child = Child {
        programs: launch.programs.iter().map(|each| each.as_ptr()).collect(),
        arguments: pointers(launch.arguments),
        environment: pointers(launch.environment),
        working_dir: launch.working_dir.as_ptr(),
        identity: launch.identity,
        cgroup: launch.cgroup.map_or(-1, |fd| fd.as_raw_fd()),
        standard: [launch.stdin.as_raw_fd(), launch.stdout.as_raw_fd(), launch.stderr.as_raw_fd()],
        has_terminal: launch.has_terminal,
        status: told.as_raw_fd(),
    };
    // SAFETY: the child makes async-signal-safe calls only, on memory that was prepared above, and never returns.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        child.run();
    }
    Ok(Forked { pid, status })
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|each| each.as_ptr()).chain([ptr::null()]).collect()
}

impl Child<'_> {
    /// Runs in the child.
    fn run(&self) -> ! {
        let (stage, error) = match self.prepare() {
            Err(error) => (b'p', error),
            Ok(()) => match self.take_identity() {
                Err(error) => (b'i', error),
                // SAFETY: the pointer is a C string of the parent's memory, which this process has a copy of.
                Ok(()) => match check_raw(unsafe { libc::chdir(self.working_dir) }) {
                    Err(error) => (b'w', error),
                    Ok(()) => (b'x', self.execute()),
                },
            },
        };
        let [a, b, c, d] = error.to_ne_bytes();
        let told = [stage, a, b, c, d];
        // SAFETY: `told` has as many bytes as are written; five bytes go into a pipe at once.
        unsafe { libc::write(self.status, told.as_ptr().cast(), told.len()) };
        // SAFETY: it ends this process without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }

    fn prepare(&self) -> Result<(), i32> {
        if self.cgroup >= 0 {
            write_all(self.cgroup, b"0")?;
        }
        // SAFETY: no pointers; a fresh child is no group leader.
        check_raw(unsafe { libc::setsid() })?;
        reset_oom_score();
        for (target, source) in (0..).zip(self.standard) {
            // SAFETY: no pointers. The sources are above 2, so none is overwritten before its turn.
            check_raw(unsafe { libc::dup2(source, target) })?;
        }
        if self.has_terminal {
            // SAFETY: TIOCSCTTY takes a number; the session is fresh, and the terminal nobody's.
            check_raw(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        }
        limit_open_files()?;
        reset_signals()?;
        // SAFETY: no pointers, and the call cannot fail.
        unsafe { libc::umask(0o022) };
        Ok(())
    }

    fn take_identity(&self) -> Result<(), i32> {
        let Some(identity) = self.identity else {
            return Ok(());
        };
        // SAFETY: the pointer and the length are those of one slice.
        check_raw(unsafe { libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) })?;
        // SAFETY: no pointers.
        check_raw(unsafe { libc::setresgid(identity.gid, identity.gid, identity.gid) })?;
        // SAFETY: no pointers.
        check_raw(unsafe { libc::setresuid(identity.uid, identity.uid, identity.uid) })
    }

    /// Tries the programs in order; returns why none could be run, as execvp(3) decides it.
    fn execute(&self) -> i32 {
        let mut verdict = libc::ENOENT;
        for program in &self.programs {
            // SAFETY: all three are C strings and arrays that end with null, in this process's copy of memory.
            unsafe { libc::execve(*program, self.arguments.as_ptr(), self.environment.as_ptr()) };
            match last_error() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => verdict = libc::EACCES,
                other => return other,
            }
        }
        verdict
    }
}

fn last_error() -> i32 {
    // The standard library reads `errno` without allocating.
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn check_raw(result: libc::c_int) -> Result<(), i32> {
    if result < 0 { Err(last_error()) } else { Ok(()) }
}

fn write_all(fd: RawFd, bytes: &[u8]) -> Result<(), i32> {
    // SAFETY: pointer and length are those of one slice.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 { Err(last_error()) } else { Ok(()) }
}

/// The agent is spared by the kernel when memory is short; what it runs is not. Without /proc nothing was set.
fn reset_oom_score() {
    let path = c"/proc/self/oom_score_adj";
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd >= 0 {
        let _ = write_all(fd, b"0");
        // SAFETY: the descriptor was opened above, and nothing else uses it.
        unsafe { libc::close(fd) };
    }
}

/// The agent may have more files open than is good for most programs.
fn limit_open_files() -> Result<(), i32> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for what the call writes.
    check_raw(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = OPEN_FILES.min(limit.rlim_max);
    // SAFETY: `limit` lives over the call.
    check_raw(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

fn reset_signals() -> Result<(), i32> {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call fills the set in.
    check_raw(unsafe { libc::sigemptyset(none.as_mut_ptr()) })?;
    // SAFETY: the set was filled in above; the old one is not asked for.
    check_raw(unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) })?;
    // SAFETY: the default action needs no handler.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(last_error()) } else { Ok(()) }
}
