//! One cgroup a command: the whole of what it started can be ended, and what the kernel killed in it is counted.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::sys::{self, Readiness};

/// Deepest group below a command's own that is looked at.
const DEPTH_MAX: usize = 16;

const HIERARCHY: &str = "/sys/fs/cgroup";

/// The group of all commands.
pub(crate) const PARENT: &str = "/sys/fs/cgroup/smolvm";

/// How long what was killed may take to go away.
const KILLED: Duration = Duration::from_secs(5);

/// How long the processes of a group may take to stand still.
const FROZEN: Duration = Duration::from_secs(1);

/// Makes the group that holds all commands, with memory accounted per command. Their processes together are fewer
/// than the kernel can have, so that the agent can always start one.
pub(crate) fn prepare_parent() -> io::Result<()> {
    fs::create_dir(PARENT)?;
    for folder in [HIERARCHY, PARENT] {
        fs::write(Path::new(folder).join("cgroup.subtree_control"), "+memory")?;
    }
    if let Some(limit) = process_limit()
        && fs::write(Path::new(HIERARCHY).join("cgroup.subtree_control"), "+pids").is_ok()
    {
        fs::write(Path::new(PARENT).join("pids.max"), limit.to_string())?;
    }
    Ok(())
}

/// Three quarters of what the kernel can have.
fn process_limit() -> Option<u64> {
    let most = |name: &str| -> Option<u64> {
        fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).ok()?.trim().parse().ok()
    };
    Some((most("threads-max")?.min(most("pid_max")?) / 4 * 3).max(1))
}

/// The group of one command.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes the group of the command `exec`.
    pub(crate) fn create(exec: u64) -> io::Result<Self> {
        let folder = Path::new(PARENT).join(format!("step-{exec}"));
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    /// The file through which a process enters the group.
    pub(crate) fn entrance(&self) -> io::Result<File> {
        File::options().write(true).open(self.folder.join("cgroup.procs"))
    }

    /// Whether the kernel killed a process of the group because memory ran out.
    pub(crate) fn has_run_out_of_memory(&self) -> bool {
        let Ok(events) = fs::read_to_string(self.folder.join("memory.events")) else {
            return false;
        };
        counter(&events, "oom_kill").is_some_and(|count| count > 0)
    }

    /// Sends a signal to every process of the group.
    pub(crate) fn signal_all(&self, signal: i32) {
        signal_folder(&self.folder, signal, 0);
    }

    /// Sends a signal to every process of the group while they stand still: none can start another that does not get
    /// it. Where they do not stand still in time (or the kernel is older than 5.2), those that are seen get it.
    fn signal_frozen(&self, signal: i32) {
        let freeze = self.folder.join("cgroup.freeze");
        if fs::write(&freeze, "1").is_ok() {
            self.wait_event("frozen", 1, FROZEN);
        }
        self.signal_all(signal);
        // A group that is gone needs no thaw.
        let _ = fs::write(&freeze, "0");
    }

    /// Waits until no process is left, or the time is over; tells whether none is left.
    pub(crate) fn wait_empty(&self, limit: Duration) -> bool {
        self.wait_event("populated", 0, limit)
    }

    /// Waits until an entry of the group's events has a value, or the time is over; tells whether it has. A group that
    /// is gone has them all.
    fn wait_event(&self, name: &str, value: u64, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let Ok(mut events) = File::open(self.folder.join("cgroup.events")) else {
            return true;
        };
        loop {
            let mut text = String::new();
            let is_read = events.rewind().and_then(|()| (&events).take(4096).read_to_string(&mut text));
            if is_read.is_err() || counter(&text, name) == Some(value) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || sys::poll([Some(events.as_fd())], Readiness::Change, Some(left)).is_err() {
                return false;
            }
        }
    }

    /// Kills every process of the group.
    pub(crate) fn kill(&self) {
        if fs::write(self.folder.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        // Kernels before 5.14 have no `cgroup.kill`: what forks meanwhile is met in the next round.
        let end = Instant::now() + KILLED;
        while Instant::now() < end {
            self.signal_all(libc::SIGKILL);
            if self.wait_empty(Duration::from_millis(10)) {
                return;
            }
        }
    }

    /// TERM to all, KILL to what is left after the grace; tells whether nothing is left.
    pub(crate) fn terminate(&self, grace: Duration) -> bool {
        if !grace.is_zero() {
            self.signal_frozen(libc::SIGTERM);
            if self.wait_empty(grace) {
                return true;
            }
        }
        self.kill();
        self.wait_empty(KILLED)
    }

    /// Removes the group if nothing is in it; tells whether it is gone.
    pub(crate) fn remove(&self) -> bool {
        match fs::remove_dir(&self.folder) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn signal_folder(folder: &Path, signal: i32, depth: usize) {
    for line in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Ok(pid) = line.parse() {
            // It may have ended meanwhile.
            let _ = sys::kill_process(pid, signal);
        }
    }
    if depth < DEPTH_MAX {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                signal_folder(&entry.path(), signal, depth + 1);
            }
        }
    }
}

/// The number after `name` in a file of `name number` lines.
pub(crate) fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(counter(text, "oom_kill"), Some(2));
        assert_eq!(counter(text, "oom"), Some(3));
        assert_eq!(counter(text, "max"), None);
    }
}
