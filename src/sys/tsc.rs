//! How fast this computer's time stamp counter runs. Software emulation hands the counter through, so that a guest
//! that is told the frequency need not measure it.

#![expect(unsafe_code, reason = "the counter is read by an instruction")]

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Apart by this much, two looks at counter and clock give a frequency that is right to some parts in a hundred
/// thousand.
const APART: Duration = Duration::from_millis(5);

/// A look at the counter, and at the clock in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Look {
    counter: u64,
    clock_ns: u64,
}

/// A measurement that has begun.
#[derive(Debug, Clone, Copy)]
pub struct TscWatch {
    start: Option<Look>,
}

impl TscWatch {
    /// Begins. The result is there without waiting when it is asked for 5 ms later.
    pub fn start() -> Self {
        Self { start: look() }
    }

    /// The frequency in kHz, measured once a process; `None` on a computer without the counter.
    pub fn khz(&self) -> Option<u64> {
        static KHZ: OnceLock<Option<u64>> = OnceLock::new();
        *KHZ.get_or_init(|| {
            let start = self.start?;
            loop {
                let now = look()?;
                let elapsed = Duration::from_nanos(now.clock_ns.checked_sub(start.clock_ns)?);
                if elapsed >= APART {
                    return khz_between(start, now);
                }
                thread::sleep(APART - elapsed);
            }
        })
    }
}

fn khz_between(start: Look, end: Look) -> Option<u64> {
    let ticks = u128::from(end.counter.checked_sub(start.counter)?);
    let nanoseconds = u128::from(end.clock_ns.checked_sub(start.clock_ns)?);
    let khz = (ticks * 1_000_000).checked_div(nanoseconds)?;
    u64::try_from(khz).ok().filter(|khz| *khz > 0)
}

/// The best of some looks: the one whose two readings of the clock lie closest together.
fn look() -> Option<Look> {
    let mut best: Option<(u64, Look)> = None;
    for _ in 0..8 {
        let before = clock_ns()?;
        let counter = read_counter()?;
        let after = clock_ns()?;
        let gap = after.checked_sub(before)?;
        if best.is_none_or(|(smallest, _)| gap < smallest) {
            best = Some((gap, Look { counter, clock_ns: before + gap / 2 }));
        }
    }
    best.map(|(_, look)| look)
}

fn clock_ns() -> Option<u64> {
    let time = clock_gettime(ClockId::MonotonicRaw);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

#[cfg(target_arch = "x86_64")]
fn read_counter() -> Option<u64> {
    // SAFETY: every x86-64 processor has the instruction, and it touches nothing but registers.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn read_counter() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequency_is_ticks_a_millisecond() {
        let start = Look { counter: 1000, clock_ns: 500 };
        let end = Look { counter: 1000 + 13_000_000, clock_ns: 500 + 5_000_000 };
        assert_eq!(khz_between(start, end), Some(2_600_000));
    }

    #[test]
    fn counter_that_stands_or_runs_back_has_no_frequency() {
        let look = Look { counter: 1000, clock_ns: 500 };
        assert_eq!(khz_between(look, look), None);
        assert_eq!(khz_between(look, Look { counter: 999, clock_ns: 1500 }), None);
        assert_eq!(khz_between(look, Look { counter: 1000, clock_ns: 1500 }), None);
    }

    #[test]
    fn this_computer_has_a_plausible_one() {
        let khz = TscWatch::start().khz().unwrap();
        assert!((100_000..10_000_000).contains(&khz), "{khz}");
    }
}
