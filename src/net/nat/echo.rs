//! Echo requests: sent on by sockets that any user of a host may have where `net.ipv4.ping_group_range` says so.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::addresses::behind_gateway;
use super::gate::{Gate, Refused};
use super::news::NatNews;
use super::packet::{Body, Ends, Packet, Undelivered, push_echo, push_undelivered};
use super::poller::Token;
use super::sockets;

/// Series of echoes that are kept; past that the one goes that was quiet for longest.
const SERIES_MAX: usize = 64;

/// How long a series may be quiet (RFC 5508, 3.2).
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Bytes before the data of an echo.
const HEADER: usize = 8;

/// The series, each of one identifier of the machine's.
#[derive(Debug, Default)]
pub(super) struct EchoTable {
    series: HashMap<u32, Series>,
    next: u32,
}

#[derive(Debug)]
struct Series {
    ends: Ends,
    ident: u16,
    socket: OwnedFd,
    last: Instant,
}

impl EchoTable {
    /// Takes a request of the machine.
    pub(super) fn take(&mut self, packet: &Packet<'_>, now: Instant, gate: &mut Gate) {
        let Body::Echo { ident, sequence, data } = packet.body else { return };
        if behind_gateway(packet.ends.world.ip()).is_some() {
            return push_echo(&mut gate.out, &packet.ends, ident, sequence, data);
        }
        let own = |series: &Series| series.ends == packet.ends && series.ident == ident;
        let found = self.series.iter().find(|(_, series)| own(series)).map(|(number, _)| *number);
        let number = match found.map_or_else(|| self.open(packet, ident, now, gate), Ok) {
            Ok(number) => number,
            Err(Refused::Denied) => {
                return push_undelivered(&mut gate.out, &packet.ends, packet.whole, Undelivered::Prohibited);
            }
            Err(Refused::Undelivered(why)) => {
                return push_undelivered(&mut gate.out, &packet.ends, packet.whole, why);
            }
        };
        let Some(series) = self.series.get_mut(&number) else { return };
        series.last = now;
        let kind = if packet.ends.world.is_ipv4() { 8 } else { 128 };
        let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
        let message = [&[kind, 0, 0, 0, a, b, c, d], data].concat();
        // Echoes may be lost.
        let _ = send(&series.socket, &message, SendFlags::NOSIGNAL);
    }

    fn open(&mut self, packet: &Packet<'_>, ident: u16, now: Instant, gate: &mut Gate) -> Result<u32, Refused> {
        let target = gate.enter(packet.ends.world, now)?;
        self.series.retain(|_, series| series.last + QUIET_MAX > now);
        if self.series.len() >= SERIES_MAX {
            let oldest = self.series.iter().min_by_key(|(_, series)| series.last).map(|(number, _)| *number);
            oldest.map(|number| self.series.remove(&number));
        }
        let socket = sockets::echoes(target.ip()).map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => {
                gate.teller.tell(NatNews::NoEcho);
                Refused::Denied
            }
            _ => Refused::Undelivered(Undelivered::NoRoute),
        })?;
        self.next = self.next.wrapping_add(1);
        let added = gate.poller.add(socket.as_fd(), Token::Echo(self.next));
        added.map_err(|_| Refused::Undelivered(Undelivered::NoHost))?;
        self.series.insert(self.next, Series { ends: packet.ends, ident, socket, last: now });
        Ok(self.next)
    }

    /// Echoes came for the machine.
    pub(super) fn on_ready(&mut self, number: u32, now: Instant, gate: &mut Gate) {
        let Some(series) = self.series.get_mut(&number) else { return };
        let mut buffer = vec![0; usize::from(u16::MAX)];
        while let Ok((count, _)) = recv(&series.socket, &mut buffer[..], RecvFlags::empty()) {
            series.last = now;
            let message = &buffer[..count];
            if let [0 | 129, 0, _, _, _, _, c, d, ..] = *message
                && gate.out.has_room()
            {
                push_echo(&mut gate.out, &series.ends, series.ident, u16::from_be_bytes([c, d]), &message[HEADER..]);
            }
        }
    }
}
