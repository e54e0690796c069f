//! The one thread that forks, and what a child does before it is another program.

#![expect(unsafe_code, reason = "fork, exec and what lies between them")]

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{OnceLock, mpsc};
use std::thread;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Pid;

use super::{Child, ChildIdentity, ChildSpec, ChildStdio};

/// Starts a child from the one long-lived thread. A program that cannot be executed is an error here.
pub fn spawn(spec: ChildSpec) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let prepared = Prepared::new(spec)?;
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        // Where no thread can be made the receiver is dropped and `send` below fails.
        drop(thread::Builder::new().name("spawner".into()).spawn(move || {
            block_signals();
            while let Ok((prepared, reply)) = receiver.recv() {
                // A caller waits for each reply.
                drop(reply.send(fork_exec(&prepared)));
            }
        }));
        sender
    });
    let (reply, answer) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is not there");
    spawner.send((prepared, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

type Request = (Prepared, mpsc::SyncSender<io::Result<Child>>);

/// All that the child needs between fork and exec, made before: there it may not allocate.
#[derive(Debug)]
struct Prepared {
    program: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// Each above every number of a target, so that none is overwritten before it is moved.
    moves: Vec<(OwnedFd, RawFd)>,
    /// Lowest number above every target.
    above: RawFd,
    identity: Option<ChildIdentity>,
    domain: Option<OwnedFd>,
}

impl Prepared {
    fn new(spec: ChildSpec) -> io::Result<Self> {
        let above = spec.fds.iter().map(|(_, number)| *number).max().unwrap_or(2).max(2).saturating_add(1);
        if spec.fds.iter().any(|(_, number)| *number <= 2) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptors 0 to 2 are the standard streams"));
        }
        let mut moves = Vec::with_capacity(spec.fds.len() + 3);
        for (number, stream) in (0..).zip([spec.stdin, spec.stdout, spec.stderr]) {
            let source = match &stream {
                ChildStdio::Null => fcntl_dupfd_cloexec(dev_null()?, above)?,
                ChildStdio::Fd(fd) => fcntl_dupfd_cloexec(fd, above)?,
                ChildStdio::Inherit => own_stream(number, above)?,
            };
            moves.push((source, number));
        }
        for (fd, number) in spec.fds {
            moves.push((fcntl_dupfd_cloexec(fd, above)?, number));
        }
        let mut argv = vec![c_string(spec.program.as_os_str().as_bytes().to_vec())?];
        for arg in spec.args {
            argv.push(c_string(arg.into_vec())?);
        }
        let mut envp = Vec::new();
        for (name, value) in spec.env.unwrap_or_else(|| std::env::vars_os().collect()) {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend(value.into_vec());
            envp.push(c_string(line)?);
        }
        let program = c_string(look_up(&spec.program)?.into_os_string().into_vec())?;
        let domain = spec.domain.map(|domain| fcntl_dupfd_cloexec(domain, above)).transpose()?;
        Ok(Self { program, argv, envp, moves, above, identity: spec.identity, domain })
    }
}

fn dev_null() -> io::Result<std::fs::File> {
    std::fs::File::options().read(true).write(true).open("/dev/null")
}

fn own_stream(number: RawFd, above: RawFd) -> io::Result<OwnedFd> {
    let copy = match number {
        0 => fcntl_dupfd_cloexec(io::stdin(), above),
        1 => fcntl_dupfd_cloexec(io::stdout(), above),
        _ => fcntl_dupfd_cloexec(io::stderr(), above),
    };
    Ok(copy?)
}

fn c_string(bytes: Vec<u8>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in an argument"))
}

/// The file that a program's name means: a bare name is looked up in `PATH`.
pub fn look_up(program: &Path) -> io::Result<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Blocks every signal in this thread, so that no handler of ours runs in a child before it has executed.
fn block_signals() {
    let mut all = empty_signal_set();
    // SAFETY: `all` is a valid signal set that we own.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: `all` is initialised, and the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) };
}

fn empty_signal_set() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for a write of a whole signal set, which the call does.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `sigemptyset` initialised it.
    unsafe { set.assume_init() }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn fork_exec(prepared: &Prepared) -> io::Result<Child> {
    let (failure, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let report = fcntl_dupfd_cloexec(report, prepared.above)?;
    let argv = pointers(&prepared.argv);
    let envp = pointers(&prepared.envp);
    let stage = Stage {
        prepared,
        argv: &argv,
        envp: &envp,
        no_signals: empty_signal_set(),
        parent: rustix::process::getpid().as_raw_nonzero().get(),
    };
    // SAFETY: the child calls only async-signal-safe functions (see `Stage`) and ends in `execve` or `_exit`.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let error = stage.run();
        let bytes = error.to_ne_bytes();
        // SAFETY: `bytes` is valid for its length and the descriptor is open; the result does not matter any more.
        unsafe { libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        // SAFETY: `_exit` is async-signal-safe and does not return.
        unsafe { libc::_exit(127) };
    }
    drop(report);
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork returned no process id"))?;
    let child = Child::adopt(pid)?;
    let mut code = [0_u8; 4];
    match std::fs::File::from(failure).read_exact(&mut code) {
        // Its end was closed by a successful `execve`.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(child),
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code))),
    }
}

/// What runs in the child between fork and exec: no allocation, no lock, no panic.
struct Stage<'a> {
    prepared: &'a Prepared,
    argv: &'a [*const libc::c_char],
    envp: &'a [*const libc::c_char],
    no_signals: libc::sigset_t,
    parent: i32,
}

impl Stage<'_> {
    /// Returns only on failure, with the error number.
    fn run(&self) -> i32 {
        for signal in 1..=64 {
            // SAFETY: the default action is valid for each signal; numbers that cannot be set are refused harmlessly.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: plain call on ourselves; it moves this process to a group of its own.
        unsafe { libc::setpgid(0, 0) };
        close_on_exec_from(3);
        for (source, number) in &self.prepared.moves {
            // SAFETY: `source` is open and lies above every target; the copy has no close-on-exec flag.
            if unsafe { libc::dup2(source.as_raw_fd(), *number) } < 0 {
                return last_error();
            }
        }
        if let Some(identity) = &self.prepared.identity
            && let Err(error) = assume(identity)
        {
            return error;
        }
        if let Some(domain) = &self.prepared.domain
            && let Err(error) = enter_domain(domain.as_raw_fd())
        {
            return error;
        }
        // After the last change of credentials, which clears it.
        // SAFETY: `prctl` with integer arguments only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } < 0 {
            return last_error();
        }
        // SAFETY: no arguments, cannot fail.
        if unsafe { libc::getppid() } != self.parent {
            return libc::ESRCH;
        }
        // SAFETY: the set is initialised, and the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.no_signals, ptr::null_mut()) };
        // SAFETY: all three are zero-terminated and live in memory that the parent prepared.
        unsafe { libc::execve(self.prepared.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        last_error()
    }
}

fn assume(identity: &ChildIdentity) -> Result<(), i32> {
    // The raw calls: glibc's wrappers signal all threads, of which a forked child has none.
    // SAFETY: the pointer is valid for `len` group ids.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr()) };
    if groups < 0 {
        return Err(last_error());
    }
    // SAFETY: integer arguments only.
    if unsafe { libc::syscall(libc::SYS_setresgid, identity.gid, identity.gid, identity.gid) } < 0 {
        return Err(last_error());
    }
    // SAFETY: integer arguments only.
    if unsafe { libc::syscall(libc::SYS_setresuid, identity.uid, identity.uid, identity.uid) } < 0 {
        return Err(last_error());
    }
    Ok(())
}

fn enter_domain(domain: RawFd) -> Result<(), i32> {
    // SAFETY: `prctl` with integer arguments only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(last_error());
    }
    // SAFETY: integer arguments only.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, domain, 0) } < 0 {
        return Err(last_error());
    }
    Ok(())
}

fn close_on_exec_from(first: libc::c_uint) {
    // SAFETY: integer arguments only; it changes flags of descriptors, in this child alone.
    if unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return;
    }
    // Kernels before 5.11 and some sandboxes: one by one, as far as a process commonly goes.
    for fd in 3..65_536 {
        // SAFETY: integer arguments only; a number that is not open is refused harmlessly.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn last_error() -> i32 {
    // SAFETY: glibc's `errno` location is valid for the thread's life.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; it is read by the thread that owns it.
    unsafe { *errno }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::sys::child::ChildExit;

    fn shell(script: &str) -> ChildSpec {
        let mut spec = ChildSpec::new("/bin/sh");
        spec.args = vec!["-c".into(), script.into()];
        spec
    }

    fn output_of(mut spec: ChildSpec) -> (String, ChildExit) {
        let (reader, writer) = std::io::pipe().unwrap();
        spec.stdout = ChildStdio::Fd(writer.into());
        let child = spawn(spec).unwrap();
        let mut text = String::new();
        File::from(OwnedFd::from(reader)).read_to_string(&mut text).unwrap();
        (text, child.wait().unwrap())
    }

    #[test]
    fn exit_code_is_kept_and_may_be_asked_twice() {
        let child = spawn(shell("exit 7")).unwrap();
        assert_eq!(child.wait().unwrap(), ChildExit::Code(7));
        assert_eq!(child.wait().unwrap(), ChildExit::Code(7));
        child.kill();
    }

    #[test]
    fn killed_child_ends_by_signal() {
        let child = spawn(shell("read line < /dev/zero; sleep 1000")).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill();
        assert_eq!(child.wait().unwrap(), ChildExit::Signal(libc::SIGKILL));
    }

    #[test]
    fn program_that_is_missing_is_an_error() {
        let error = spawn(ChildSpec::new("/nonexistent/program")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(spawn(ChildSpec::new("no-such-program-here")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn descriptors_may_swap_their_numbers() {
        let (first, mut write_first) = std::io::pipe().unwrap();
        let (second, mut write_second) = std::io::pipe().unwrap();
        io::Write::write_all(&mut write_first, b"first\n").unwrap();
        io::Write::write_all(&mut write_second, b"second\n").unwrap();
        let (low, high) = (first.as_raw_fd(), second.as_raw_fd());
        let mut spec = shell(&format!("cat /dev/fd/{high} /dev/fd/{low}"));
        spec.fds = vec![(first.into(), high), (second.into(), low)];
        drop((write_first, write_second));
        assert_eq!(output_of(spec), ("first\nsecond\n".into(), ChildExit::Code(0)));
    }

    #[test]
    fn nothing_else_is_inherited() {
        let (leak, _writer) = std::io::pipe().unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let mut spec = ChildSpec::new("ls");
        spec.args = vec!["/proc/self/fd".into()];
        spec.fds = vec![(dev_null().unwrap().into(), 9)];
        // `3` is the folder that `ls` itself reads.
        assert_eq!(output_of(spec).0, "0\n1\n2\n3\n9\n");
    }

    #[test]
    fn child_is_alone_in_its_group_without_masked_or_ignored_signals() {
        let (text, _) =
            output_of(shell("cut -d' ' -f5 /proc/$$/stat; echo $$; grep -E 'Sig(Blk|Ign)' /proc/self/status"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], lines[1]);
        // Bits 1 to 31 are the standard signals; glibc keeps 32 and 33 for itself.
        let is_clear = |line: &str| u64::from_str_radix(&line[8..], 16).unwrap() & 0x7fff_ffff == 0;
        assert!(is_clear(lines[2]) && is_clear(lines[3]), "{text}");
    }

    #[test]
    fn environment_is_replaced_wholly() {
        let mut spec = ChildSpec::new("env");
        spec.env = Some(vec![("A".into(), "1".into())]);
        assert_eq!(output_of(spec).0, "A=1\n");
    }

    #[test]
    fn identity_is_assumed_where_we_may() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let mut spec = shell("id -u; id -g; id -G");
        spec.identity = Some(ChildIdentity { uid: 65534, gid: 65533, groups: vec![65532] });
        assert_eq!(output_of(spec).0, "65534\n65533\n65533 65532\n");
    }

    #[test]
    fn dropping_kills_and_reaps() {
        let child = spawn(shell("sleep 1000")).unwrap();
        let pid = child.pid();
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
