//! Descriptors that a library takes for good, by their numbers, and leaves open.

#![expect(unsafe_code, reason = "ownership of a descriptor by its number")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The number of a descriptor that its new owner will not close; dropped, it is closed.
#[derive(Debug)]
pub struct Left(AtomicI32);

/// No descriptor.
const NONE: RawFd = -1;

impl Default for Left {
    fn default() -> Self {
        Self(AtomicI32::new(NONE))
    }
}

impl Left {
    /// Notes a descriptor that is given away for good. Whoever gets it must neither close it nor use it once this is
    /// dropped. Only one is noted: a second one stays open.
    pub fn note(&self, given: &impl AsRawFd) {
        // Where there is one already, that one is closed.
        let _ = self.0.compare_exchange(NONE, given.as_raw_fd(), Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let number = *self.0.get_mut();
        if number != NONE {
            // SAFETY: it was open when it was noted, and by the contract of `note` its owner neither closes nor uses it.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn what_was_left_is_closed() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let left = Left::default();
        left.note(&writer);
        // As the library does.
        let _ = writer.into_raw_fd();
        drop(left);
        assert_eq!(std::io::read_to_string(&mut reader).unwrap(), "");
        drop(Left::default());
    }
}
