//! The commands that run, by their number and by their process, and the reaper of all that ends.
//!
//! Every process of the guest that loses its parent becomes a child of PID 1, so the reaper waits for any child.
//! Deliberately not here: starting (`exec`), output (`pump`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smolvm_agent::TerminalSize;

use crate::cgroups::Cgroup;
use crate::sys::{self, ChildEnd, Forked, Launch};

/// All commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    by_exec: HashMap<u64, Running>,
    by_pid: HashMap<i32, Ending>,
    /// How often the agent has forked.
    forks: u64,
    /// Whether there was no child at all when the reaper last looked.
    is_idle: bool,
    /// Pumps that still have output to send.
    pumps: usize,
}

#[derive(Debug, Clone)]
struct Running {
    cgroup: Arc<Cgroup>,
    /// `None` once the process has ended: its number may belong to another.
    pid: Option<i32>,
    /// The agent's end of its terminal, while it has one.
    terminal: Option<Arc<File>>,
}

#[derive(Debug)]
struct Ending {
    exec: u64,
    /// Where the pump waits for the process's wait status.
    told: File,
}

impl Commands {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forks a command and enters it, in one step for the reaper. Its wait status will be written to `told`.
    pub(crate) fn fork(
        &self,
        exec: u64,
        cgroup: Arc<Cgroup>,
        launch: &Launch<'_>,
        told: File,
        terminal: Option<Arc<File>>,
    ) -> io::Result<Forked> {
        let mut state = self.lock();
        let forked = sys::fork_child(launch)?;
        state.by_pid.insert(forked.pid, Ending { exec, told });
        state.by_exec.insert(exec, Running { cgroup, pid: Some(forked.pid), terminal });
        state.forks += 1;
        state.is_idle = false;
        self.changed.notify_all();
        Ok(forked)
    }

    /// Whether `exec` is taken.
    pub(crate) fn is_known(&self, exec: u64) -> bool {
        self.lock().by_exec.contains_key(&exec)
    }

    /// Forgets commands of which nothing is left.
    pub(crate) fn forget_ended(&self) {
        self.lock().by_exec.retain(|_, running| running.pid.is_some() || !running.cgroup.remove());
    }

    /// Sends a signal to the process group of a command; nothing happens where its process has ended.
    pub(crate) fn signal(&self, exec: u64, signal: i32) -> io::Result<()> {
        self.with_process(exec, |pid| sys::kill_process_group(pid, signal))
    }

    /// Sends a signal to the process of a command alone; nothing happens where it has ended.
    pub(crate) fn signal_process(&self, exec: u64, signal: i32) -> io::Result<()> {
        self.with_process(exec, |pid| sys::kill_process(pid, signal))
    }

    fn with_process(&self, exec: u64, act: impl FnOnce(i32) -> io::Result<()>) -> io::Result<()> {
        // The lock keeps the reaper from freeing the number meanwhile.
        let state = self.lock();
        match state.by_exec.get(&exec).and_then(|running| running.pid) {
            Some(pid) => act(pid),
            None => Ok(()),
        }
    }

    /// Changes the size of a command's terminal; nothing happens where it has none, or its process has ended.
    pub(crate) fn resize(&self, exec: u64, size: TerminalSize) -> io::Result<()> {
        let terminal = self.lock().by_exec.get(&exec).and_then(|running| running.terminal.clone());
        terminal.map_or(Ok(()), |terminal| sys::set_terminal_size(&terminal, size))
    }

    /// Nobody is at a command's terminal any more: tells its process, and lets go of the terminal.
    pub(crate) fn hang_up(&self, exec: u64) {
        let terminal = self.lock().by_exec.get_mut(&exec).and_then(|running| running.terminal.take());
        if terminal.is_some() {
            // A process that has ended needs no telling.
            let _ = self.signal(exec, libc::SIGHUP);
        }
    }

    /// The group of a command, while it is known.
    pub(crate) fn cgroup(&self, exec: u64) -> Option<Arc<Cgroup>> {
        self.lock().by_exec.get(&exec).map(|running| Arc::clone(&running.cgroup))
    }

    /// The groups of all commands.
    pub(crate) fn cgroups(&self) -> Vec<Arc<Cgroup>> {
        self.lock().by_exec.values().map(|running| Arc::clone(&running.cgroup)).collect()
    }

    /// Reaps for ever.
    pub(crate) fn reap(&self) {
        loop {
            let forks = self.lock().forks;
            match sys::wait_any_child() {
                Ok(Some(end)) => self.note_end(end),
                Ok(None) => {
                    let mut state = self.lock();
                    state.is_idle = state.forks == forks;
                    self.changed.notify_all();
                    while state.forks == forks {
                        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
                // A signal came between.
                Err(_) => {}
            }
        }
    }

    fn note_end(&self, end: ChildEnd) {
        let mut state = self.lock();
        let Some(mut ending) = state.by_pid.remove(&end.pid) else {
            return;
        };
        if let Some(running) = state.by_exec.get_mut(&ending.exec) {
            running.pid = None;
            running.terminal = None;
        }
        drop(state);
        // Four bytes fit an empty pipe, and a pump that is gone does not care.
        let _ = ending.told.write_all(&end.wait_status.to_ne_bytes());
    }

    /// Counts a pump that has begun.
    pub(crate) fn pump_began(&self) {
        self.lock().pumps += 1;
    }

    /// Counts a pump that has sent all.
    pub(crate) fn pump_ended(&self) {
        self.lock().pumps -= 1;
        self.changed.notify_all();
    }

    /// Waits until no process but the agent's is left, or the time is over; tells whether none is left.
    pub(crate) fn wait_idle(&self, limit: Duration) -> bool {
        self.wait_until(limit, |state| state.is_idle)
    }

    /// Waits until all output is sent, or the time is over.
    pub(crate) fn wait_sent(&self, limit: Duration) -> bool {
        self.wait_until(limit, |state| state.pumps == 0)
    }

    fn wait_until(&self, limit: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        while !is_so(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
