//! What the guest is told later: that packets of its own were taken.
//!
//! Nobody waits to hear that, and under emulation an interrupt costs a guest as much as a packet. Mostly an answer is on its
//! way, whose interrupt has the guest look at all of its queues. So it is told when many were taken, or when none has been
//! told for a while.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// So many are told of at once: few enough for a driver with the smallest of queues to go on.
const MOST: usize = 16;

/// The longest that it is put off.
const LATEST: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// What was taken and not told.
#[derive(Debug)]
pub(super) struct Owed {
    timer: OwnedFd,
    is_armed: bool,
    count: usize,
}

impl Owed {
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer, is_armed: false, count: 0 })
    }

    /// Is readable when it is time to tell.
    pub(super) fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// So many more were taken. Says whether the guest is to be told now.
    pub(super) fn add(&mut self, count: usize) -> bool {
        self.count += count;
        if self.count >= MOST || !self.arm() {
            self.count = 0;
            return true;
        }
        false
    }

    /// The timer is over. Says whether the guest is to be told.
    pub(super) fn on_time(&mut self) -> bool {
        // Fails where nothing is to be drained.
        let _ = rustix::io::read(&self.timer, &mut [0_u8; 8]);
        self.is_armed = false;
        std::mem::take(&mut self.count) > 0
    }

    fn arm(&mut self) -> bool {
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: LATEST };
        self.is_armed = self.is_armed || timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_ok();
        self.is_armed
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn wait(owed: &Owed) {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&owed.timer, PollFlags::IN)], Some(&limit)), Ok(1));
    }

    #[test]
    fn many_are_told_at_once_and_few_after_a_while() {
        let mut owed = Owed::new().unwrap();
        assert!((1..MOST).all(|_| !owed.add(1)) && owed.add(1));
        wait(&owed);
        assert!(!owed.on_time(), "it was told");
        assert!(!owed.add(1));
        wait(&owed);
        assert!(owed.on_time());
        assert!(owed.add(MOST));
    }
}
