//! The opening of a connection on [`FORWARD_PORT`](crate::FORWARD_PORT): what it is to be joined with in the guest.
//! It has a fixed length, so that all behind it is the connection's own.

use crate::greeting::{GREETING_BYTES, check_greeting, greeting};

/// Length of an opening.
pub const FORWARD_BYTES: usize = GREETING_BYTES + 12;

/// What a connection of the host is joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// A program that listens on this TCP port.
    Port(u16),
    /// The program that has connected to a link and waits under this number.
    Link(u64),
    /// Nothing: the program that waits under this number is to be told that there is nobody.
    Refuse(u64),
}

impl Forward {
    /// As it goes over the wire.
    #[must_use]
    pub fn opening(self) -> [u8; FORWARD_BYTES] {
        let (kind, number) = match self {
            Self::Port(port) => (0_u32, u64::from(port)),
            Self::Link(ticket) => (1, ticket),
            Self::Refuse(ticket) => (2, ticket),
        };
        let mut bytes = [0; FORWARD_BYTES];
        bytes[..GREETING_BYTES].copy_from_slice(&greeting());
        bytes[GREETING_BYTES..GREETING_BYTES + 4].copy_from_slice(&kind.to_le_bytes());
        bytes[GREETING_BYTES + 4..].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    /// What an opening says, where it says something.
    #[must_use]
    pub fn read(bytes: &[u8; FORWARD_BYTES]) -> Option<Self> {
        let (theirs, rest) = bytes.split_first_chunk::<GREETING_BYTES>()?;
        check_greeting(*theirs).ok()?;
        let (kind, number) = rest.split_first_chunk::<4>()?;
        let number = u64::from_le_bytes(number.try_into().ok()?);
        match u32::from_le_bytes(*kind) {
            0 => u16::try_from(number).ok().map(Self::Port),
            1 => Some(Self::Link(number)),
            2 => Some(Self::Refuse(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_survives_the_wire() {
        for forward in [Forward::Port(80), Forward::Port(u16::MAX), Forward::Link(u64::MAX), Forward::Refuse(1)] {
            assert_eq!(Forward::read(&forward.opening()), Some(forward));
        }
        let mut other = Forward::Port(80).opening();
        other[GREETING_BYTES] = 7;
        assert_eq!(Forward::read(&other), None);
        assert_eq!(Forward::read(&[0; FORWARD_BYTES]), None);
    }
}
