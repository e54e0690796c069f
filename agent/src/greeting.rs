//! The first eight bytes of a connection, each way; their form never changes, so that versions can name each other.

use std::fmt;

/// Length of a greeting.
pub const GREETING_BYTES: usize = 8;

/// Version of everything that follows the greeting. Host and agent must have the same one.
pub const PROTOCOL_VERSION: u16 = 9;

const MAGIC: [u8; 6] = *b"smolvm";

/// The greeting of this version.
#[must_use]
pub fn greeting() -> [u8; GREETING_BYTES] {
    let [low, high] = PROTOCOL_VERSION.to_le_bytes();
    let [a, b, c, d, e, f] = MAGIC;
    [a, b, c, d, e, f, low, high]
}

/// Why a greeting is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GreetingError {
    /// The other side speaks something else.
    NotSmolvm,
    /// The other side has another version.
    Version {
        /// Its version.
        theirs: u16,
    },
}

impl fmt::Display for GreetingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSmolvm => out.write_str("the other side does not speak smolvm's protocol"),
            Self::Version { theirs } => {
                write!(out, "the other side speaks version {theirs} of the protocol, this side {PROTOCOL_VERSION}")
            }
        }
    }
}

impl std::error::Error for GreetingError {}

/// Checks the other side's greeting.
pub fn check_greeting(bytes: [u8; GREETING_BYTES]) -> Result<(), GreetingError> {
    let [a, b, c, d, e, f, low, high] = bytes;
    if [a, b, c, d, e, f] != MAGIC {
        return Err(GreetingError::NotSmolvm);
    }
    match u16::from_le_bytes([low, high]) {
        PROTOCOL_VERSION => Ok(()),
        theirs => Err(GreetingError::Version { theirs }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_greeting_is_accepted() {
        assert_eq!(check_greeting(greeting()), Ok(()));
    }

    #[test]
    fn other_version_is_named() {
        let mut bytes = greeting();
        bytes[6] = 200;
        assert_eq!(check_greeting(bytes), Err(GreetingError::Version { theirs: 200 }));
    }

    #[test]
    fn other_protocol_is_refused() {
        assert_eq!(check_greeting(*b"HTTP/1.1"), Err(GreetingError::NotSmolvm));
    }
}
