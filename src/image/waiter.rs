//! Who waits for a kernel: is told in words what takes long, and may lose interest while it does.

use std::time::Duration;

/// How often something that blocks looks whether anybody still waits for it.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Someone who waits. Any closure that takes words does, and never leaves.
pub trait Waiter {
    /// Is told what takes long.
    fn tell(&mut self, words: &str);

    /// Is told how many bytes of a download are here, and of how many where that is known.
    fn pulled(&mut self, _what: &str, _done: u64, _total: Option<u64>) {}

    /// Is told how many steps of a long work are done, and of how many where that is known.
    fn worked(&mut self, _what: &str, _done: u64, _total: Option<u64>) {}

    /// Whether the result is no longer wanted; then the work ends with an error, and what it left is removed.
    fn has_left(&self) -> bool {
        false
    }
}

impl<F: FnMut(&str)> Waiter for F {
    fn tell(&mut self, words: &str) {
        self(words);
    }
}
