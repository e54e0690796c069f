//! The host's end of a connection: its stream, and for what it is watched.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::claims::Claim;

/// The host's end of one connection.
#[derive(Debug)]
pub(super) struct HostEnd {
    pub(super) stream: OwnedFd,
    pub(super) claim: Option<Claim>,
    /// What epoll watches, while it watches.
    watched: Option<EventFlags>,
    pub(super) has_hung_up: bool,
    pub(super) is_write_shut: bool,
    pub(super) is_read_shut: bool,
}

impl HostEnd {
    /// Of a stream that does not block.
    pub(super) fn new(stream: OwnedFd, claim: Option<Claim>) -> Self {
        Self { stream, claim, watched: None, has_hung_up: false, is_write_shut: false, is_read_shut: false }
    }

    /// Watches it as this port's, or no more.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, port: u32, wanted: Option<EventFlags>) -> io::Result<()> {
        if self.watched == wanted {
            return Ok(());
        }
        let name = EventData::new_u64(u64::from(port));
        match (self.watched, wanted) {
            (None, Some(flags)) => epoll::add(epoll, &self.stream, name, flags)?,
            (Some(_), Some(flags)) => epoll::modify(epoll, &self.stream, name, flags)?,
            (_, None) => epoll::delete(epoll, &self.stream)?,
        }
        self.watched = wanted;
        Ok(())
    }

    /// Lets the other side of a TCP stream see a reset instead of an end, which would look like all that there was to read.
    pub(super) fn reset_when_closed(&self) {
        // Streams of other families have no resets.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }
}
