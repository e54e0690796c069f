//! Filters of system calls (seccomp) for a thread and all that it starts.
//!
//! Deliberately not here: which other calls, which whoever confines itself knows best.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

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

/// What becomes of a call that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The whole process is killed by SIGSYS.
    Kill,
    /// The call fails with `EPERM`.
    Refuse,
}

/// The calls that stay allowed.
#[derive(Debug, Default)]
pub struct CallFilter {
    allowed: BTreeMap<i64, Vec<SeccompRule>>,
}

impl CallFilter {
    /// Allows calls whatever their arguments.
    pub fn allow(mut self, calls: &[i64]) -> Self {
        self.allowed.extend(calls.iter().map(|call| (*call, Vec::new())));
        self
    }

    /// Allows a call where an argument (from 0) is one of these values. Only its lower half, 32 bits, is compared.
    pub fn allow_values(mut self, call: i64, argument: u8, values: &[u32]) -> io::Result<Self> {
        for value in values {
            let rule = rule(argument, SeccompCmpOp::Eq, *value)?;
            self.allowed.entry(call).or_default().push(rule);
        }
        Ok(self)
    }

    /// Allows a call where these bits of an argument (from 0) are as in `value`.
    pub fn allow_bits(mut self, call: i64, argument: u8, mask: u32, value: u32) -> io::Result<Self> {
        let rule = rule(argument, SeccompCmpOp::MaskedEq(u64::from(mask)), value)?;
        self.allowed.entry(call).or_default().push(rule);
        Ok(self)
    }

    /// Allows what a process of threads does, and no more of it: `fcntl` for flags and copies of descriptors, `clone` for
    /// a thread without new namespaces, `prctl` for its name, memory that never becomes a program, `tgkill` of itself.
    pub fn allow_threads(self) -> io::Result<Self> {
        self.allow_values(libc::SYS_fcntl, 1, &FCNTL.map(i32::cast_unsigned))?
            .allow_values(libc::SYS_prctl, 0, &[libc::PR_SET_NAME.cast_unsigned()])?
            .allow_bits(libc::SYS_clone, 0, (THREAD | NAMESPACES).cast_unsigned(), THREAD.cast_unsigned())?
            .allow_bits(libc::SYS_mmap, 2, libc::PROT_EXEC.cast_unsigned(), 0)?
            .allow_bits(libc::SYS_mprotect, 2, libc::PROT_EXEC.cast_unsigned(), 0)?
            .allow_values(libc::SYS_tgkill, 0, &[std::process::id()])
    }

    /// Puts the filter in force for this thread and all that it will start, for good. With it goes `no_new_privs`.
    ///
    /// `clone3` is answered with `ENOSYS`: its flags lie in memory, out of a filter's sight, and whoever needs a thread
    /// falls back to `clone`.
    ///
    /// # Errors
    /// Where the kernel has no seccomp, or this architecture no filter.
    pub fn apply(mut self, otherwise: Otherwise) -> io::Result<()> {
        let refuse = |number: i32| SeccompAction::Errno(number.cast_unsigned());
        let only = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let unknown = compile(only, SeccompAction::Allow, refuse(libc::ENOSYS))?;
        let action = match otherwise {
            Otherwise::Kill => SeccompAction::KillProcess,
            Otherwise::Refuse => refuse(libc::EPERM),
        };
        // Of two filters the stricter answer counts, and the first must let the second be installed.
        self = self.allow(&[libc::SYS_clone3]);
        let allowed = compile(self.allowed, action, SeccompAction::Allow)?;
        apply_filter(&unknown).map_err(io::Error::other)?;
        apply_filter(&allowed).map_err(io::Error::other)
    }
}

fn rule(argument: u8, operation: SeccompCmpOp, value: u32) -> io::Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, u64::from(value));
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}

fn compile(
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let filter = SeccompFilter::new(calls, mismatch, matched, architecture).map_err(io::Error::other)?;
    BpfProgram::try_from(filter).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// What a thread needs to live and end.
    const LIFE: &[i64] = &[
        libc::SYS_exit,
        libc::SYS_futex,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_brk,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_write,
    ];

    #[test]
    fn what_is_not_allowed_fails_and_only_in_that_thread() {
        let refused = thread::spawn(|| {
            let filter = CallFilter::default().allow(LIFE);
            let filter = filter.allow_values(libc::SYS_lseek, 2, &[0]).unwrap();
            filter.allow_bits(libc::SYS_dup, 0, 0xff, 0xfe).unwrap().apply(Otherwise::Refuse).unwrap();
            let number = |error: rustix::io::Errno| error.raw_os_error();
            let files = rustix::process::getcwd(Vec::new()).map(drop).map_err(number);
            let stdin = std::io::stdin();
            let tell = rustix::fs::tell(&stdin).map(drop).map_err(number);
            let start = rustix::fs::seek(&stdin, rustix::fs::SeekFrom::Start(0)).map(drop).map_err(number);
            let copy = rustix::io::dup(&stdin).map(drop).map_err(number);
            (files, tell, start, copy)
        });
        let (files, tell, start, copy) = refused.join().unwrap();
        assert_eq!((files, tell, copy), (Err(libc::EPERM), Err(libc::EPERM), Err(libc::EPERM)));
        assert_ne!(start, Err(libc::EPERM));
        assert!(std::env::current_dir().is_ok());
    }
}
