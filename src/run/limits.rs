//! How long things may take. What waits for a guest is longer under emulation.

use std::time::Duration;

/// Until the agent answers, from the engine's start.
const BOOT: Duration = Duration::from_secs(30);
/// Until mounts are made and verified.
const SET_UP: Duration = Duration::from_secs(30);
/// The same, where new disks may be filled with what an image has.
const FILL: Duration = Duration::from_secs(600);
/// Without a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Between TERM (or SIGINT) and KILL: `stop_grace`.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// All of `finally` together, after an interrupt.
pub(super) const FINALLY_AFTER_INTERRUPT: Duration = Duration::from_secs(10);
/// For the agent to carry out what takes it no time.
const ANSWER: Duration = Duration::from_secs(5);
/// For the agent to start a command: its user is looked up, its program is read through a share.
const START: Duration = Duration::from_secs(30);
/// For the end of a VM whose agent is gone: a panic takes its time to print.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// For what a guest wrote before its VM ended.
pub(super) const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// For the end of a VM that was killed, or of a provider that was told to stop.
pub(super) const KILLED: Duration = Duration::from_secs(5);
/// For the same after a second signal.
pub(super) const HURRIED: Duration = Duration::from_secs(1);

/// Deadlines of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    factor: u32,
}

impl TimeLimits {
    pub(super) fn new(factor: u32) -> Self {
        Self { factor: factor.max(1) }
    }

    pub(super) fn boot(self) -> Duration {
        BOOT * self.factor
    }

    pub(super) fn set_up(self, may_fill: bool) -> Duration {
        (if may_fill { FILL } else { SET_UP }) * self.factor
    }

    pub(super) fn heartbeat(self) -> Duration {
        HEARTBEAT * self.factor
    }

    pub(super) fn answer(self) -> Duration {
        ANSWER * self.factor
    }

    pub(super) fn start(self) -> Duration {
        START * self.factor
    }

    pub(super) fn last_words(self) -> Duration {
        LAST_WORDS * self.factor
    }
}
