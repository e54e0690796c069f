//! What is ready among the sockets of one process: epoll, where each socket is told of once a change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Sockets that are told of at once.
const EVENTS: usize = 256;

/// Which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// The machine's packets.
    Machine,
    /// The stream to the parent.
    Parent,
    /// A connection of TCP.
    Tcp(u32),
    /// Datagrams of UDP.
    Udp(u32),
    /// Echo requests.
    Echo(u32),
    /// A question to a server of names.
    Dns(u32),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Machine => (0, 0),
            Self::Parent => (1, 0),
            Self::Tcp(number) => (2, number),
            Self::Udp(number) => (3, number),
            Self::Echo(number) => (4, number),
            Self::Dns(number) => (5, number),
        };
        kind << 32 | u64::from(number)
    }

    fn unpack(packed: u64) -> Option<Self> {
        let number = u32::try_from(packed & u64::from(u32::MAX)).ok()?;
        Some(match packed >> 32 {
            0 => Self::Machine,
            1 => Self::Parent,
            2 => Self::Tcp(number),
            3 => Self::Udp(number),
            4 => Self::Echo(number),
            5 => Self::Dns(number),
            _ => return None,
        })
    }
}

/// What is ready of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: Token,
    /// To be read: bytes, an end, or an error.
    pub(super) is_readable: bool,
    /// To be written to, or broken.
    pub(super) is_writable: bool,
}

/// All sockets that are looked at; a closed one is forgotten by the kernel.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Looks at a socket from now on: whoever is told that it is ready uses it until it would wait.
    pub(super) fn add(&self, socket: impl AsFd, token: Token) -> rustix::io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token.pack()), flags)
    }

    /// Waits until something is ready or the time is over.
    pub(super) fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<Ready>> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let broken = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
        let ready = self.events.iter().filter_map(|event| {
            let (flags, data) = (event.flags, event.data);
            let input = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | broken;
            Some(Ready {
                token: Token::unpack(data.u64())?,
                is_readable: flags.intersects(input),
                is_writable: flags.intersects(epoll::EventFlags::OUT | broken),
            })
        });
        Ok(ready.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_packed_and_unpacked() {
        let some = u32::MAX - 1;
        for token in
            [Token::Machine, Token::Parent, Token::Tcp(some), Token::Udp(0), Token::Echo(some), Token::Dns(some)]
        {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
