//! A child that runs, and its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildExit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    exit: Mutex<Option<ChildExit>>,
}

impl Child {
    /// Takes on a child of ours that nobody else waits for. It is killed where no descriptor can be had for it.
    pub(super) fn adopt(pid: Pid) -> io::Result<Self> {
        // Not reaped yet, so that the number still names it.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd, exit: Mutex::new(None) }),
            Err(error) => {
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                Err(error.into())
            }
        }
    }

    /// Its process id, which is also its process group.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A descriptor that becomes readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends SIGKILL. Harmless when it has ended.
    pub fn kill(&self) {
        // The only failure possible is that it has ended.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Sends SIGKILL to it and to all in its process group. Harmless when it has ended and was reaped.
    pub fn kill_group(&self) {
        let exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is not reaped nobody else can have its number.
        if exit.is_none() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Sends SIGTERM. Harmless when it has ended.
    pub fn terminate(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// Waits for its end and reaps it; may be called again and from several threads.
    pub fn wait(&self) -> io::Result<ChildExit> {
        let exit = self.wait_with(WaitIdOptions::EXITED)?;
        exit.ok_or_else(|| io::Error::other("waitid returned without a status"))
    }

    /// Waits for its end no longer than this.
    pub fn wait_for(&self, limit: Duration) -> io::Result<Option<ChildExit>> {
        let limit = rustix::event::Timespec::try_from(limit).map_err(io::Error::other)?;
        let mut ended = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&limit)))?;
        self.try_wait()
    }

    /// How it ended, when it has; never blocks for a child that runs, unless another thread is in [`Child::wait`].
    pub fn try_wait(&self) -> io::Result<Option<ChildExit>> {
        self.wait_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn wait_with(&self, options: WaitIdOptions) -> io::Result<Option<ChildExit>> {
        let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            let status = loop {
                match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => break other?,
                }
            };
            *exit = status.as_ref().map(exit_of);
        }
        Ok(*exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        drop(self.wait());
    }
}

fn exit_of(status: &WaitIdStatus) -> ChildExit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ChildExit::Code(code),
        (None, signal) => ChildExit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}
