//! The end: of all commands, and of the machine.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use crate::commands::Commands;
use crate::mounts::Mounted;
use crate::sys;
use crate::wire::Reports;

/// How long the last output may take to the host.
const SENDING: Duration = Duration::from_secs(2);

/// How long killed processes may take to go away.
const KILLED: Duration = Duration::from_secs(2);

/// Ends everything that commands started: TERM to all, KILL to what is left after the grace.
pub(crate) fn end_commands(commands: &Commands, grace: Duration) {
    thread::scope(|scope| {
        for cgroup in commands.cgroups() {
            scope.spawn(move || cgroup.terminate(grace));
        }
    });
    commands.forget_ended();
}

/// Ends every process, writes everything back to the shares, sends the last output and powers off.
pub(crate) fn shut_down(commands: &Commands, reports: &Reports, mounts: &[Mounted], grace: Duration) -> ! {
    if !commands.wait_idle(Duration::ZERO) {
        sys::kill_all(libc::SIGTERM);
        if grace.is_zero() || !commands.wait_idle(grace) {
            sys::kill_all(libc::SIGKILL);
            commands.wait_idle(KILLED);
        }
    }
    write_disks_back();
    for mounted in mounts.iter().rev() {
        mounted.unmount();
    }
    if commands.wait_sent(SENDING) {
        reports.finish(SENDING);
    }
    sys::power_off()
}

/// Writes back disks that steps have mounted, of which some may be files on a share. The shares need nothing: closing
/// files has written theirs back, and to sync one would wait for a disk of the host, which outlives the machine.
fn write_disks_back() {
    let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
    for line in String::from_utf8_lossy(&mounts).lines().rev().filter(|line| line.starts_with("/dev/")) {
        let Some(target) = line.split(' ').nth(1) else { continue };
        // What stands there may be a pipe that nobody else opens.
        if let Ok(file) = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(target) {
            // The machine ends anyway.
            let _ = sys::sync_file_system(&file);
        }
    }
}

/// Powers off without asking anybody: the host is gone.
pub(crate) fn off_at_once() -> ! {
    sys::power_off()
}
