//! How long the thread of a queue looks for the next request before it sleeps.
//!
//! A guest that works on files sends its next request some tens of microseconds after a reply. To be found awake saves
//! it the kick, and us the wake-up, each of which costs as much as the request. A guest that computes meanwhile costs
//! nothing: each wait in vain halves the next, down to none.

use std::hint;
use std::thread;
use std::time::{Duration, Instant};

/// Shorter waits find nothing.
const SHORTEST: Duration = Duration::from_micros(10);

/// Looks at the queue between two offers of the processor to others.
const LOOKS: u32 = 16;

/// The state of one thread.
#[derive(Debug)]
pub(super) struct Patience {
    /// The longest wait; zero where the host has a single processor.
    longest: Duration,
    now: Duration,
    asleep_since: Option<Instant>,
}

impl Patience {
    /// Waits of at most this length.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, now: Duration::ZERO, asleep_since: None }
    }

    /// The guest kicked. Had it been waited for, would it have been found?
    pub(super) fn wake(&mut self, now: Instant) {
        if self.asleep_since.take().is_some_and(|since| now.duration_since(since) <= self.longest) {
            self.now = (self.now * 2).clamp(SHORTEST, self.longest.max(SHORTEST)).min(self.longest);
        }
    }

    /// The thread goes to sleep.
    pub(super) fn sleep(&mut self, now: Instant) {
        self.asleep_since = Some(now);
    }

    /// Waits until there is more to do, or not for longer than it has paid off of late.
    pub(super) fn wait(&mut self, has_more: impl Fn() -> bool) -> bool {
        if self.now.is_zero() {
            return false;
        }
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if has_more() {
                    self.now = self.longest;
                    return true;
                }
                hint::spin_loop();
            }
            if start.elapsed() >= self.now {
                break;
            }
            thread::yield_now();
        }
        self.now /= 2;
        if self.now < SHORTEST {
            self.now = Duration::ZERO;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(100);

    fn woken_after(pause: Duration) -> Patience {
        let mut patience = Patience::new(LONGEST);
        let start = Instant::now();
        patience.sleep(start);
        patience.wake(start + pause);
        patience
    }

    #[test]
    fn only_a_guest_that_asks_again_soon_is_waited_for() {
        assert!(Patience::new(LONGEST).now.is_zero());
        assert_eq!(woken_after(LONGEST).now, SHORTEST);
        assert!(woken_after(LONGEST * 2).now.is_zero());
    }

    #[test]
    fn waits_in_vain_get_shorter_until_there_are_none() {
        let mut patience = woken_after(Duration::ZERO);
        assert!(patience.wait(|| true));
        assert_eq!(patience.now, LONGEST);
        for _ in 0..4 {
            assert!(!patience.wait(|| false));
        }
        assert!(patience.now.is_zero());
        assert!(!patience.wait(|| true), "the queue is not even looked at");
    }

    #[test]
    fn a_single_processor_is_never_kept_busy() {
        let mut patience = Patience::new(Duration::ZERO);
        let start = Instant::now();
        patience.sleep(start);
        patience.wake(start);
        assert!(!patience.wait(|| true));
    }
}
