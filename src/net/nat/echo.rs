//! Echo requests: sent on by sockets that any user of a host may have where `net.ipv4.ping_group_range` says so. What
//! routers and hosts say of a request that does not arrive goes back to the machine.

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
use super::sockets::{self, undelivered};

/// Series of echoes that are kept; past that the one goes that was quiet for longest.
const SERIES_MAX: usize = 64;

/// How long a series may be quiet (RFC 5508, 3.2).
const QUIET_MAX: Duration = Duration::from_secs(60);

/// How much of the machine's last request is kept.
const KEPT: usize = 128;

/// How often a request is sent whose socket has news of earlier ones.
const TRIES: usize = 3;

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
    /// The beginning of the machine's last request, to say that it was not delivered.
    last_packet: Vec<u8>,
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
        series.last_packet.clear();
        series.last_packet.extend(&packet.whole[..packet.whole.len().min(KEPT)]);
        let kind = if packet.ends.world.is_ipv4() { 8 } else { 128 };
        let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
        let message = [&[kind, 0, 0, 0, a, b, c, d], data].concat();
        for _ in 0..TRIES {
            match send(&series.socket, &message, SendFlags::NOSIGNAL) {
                // What was heard of an earlier one comes first.
                Err(error) if error != Errno::AGAIN => series.tell(error, gate),
                // Echoes may be lost.
                _ => return,
            }
        }
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
            error => Refused::Undelivered(undelivered(error)),
        })?;
        self.next = self.next.wrapping_add(1);
        let added = gate.poller.add(socket.as_fd(), Token::Echo(self.next));
        added.map_err(|_| Refused::Undelivered(Undelivered::NoHost))?;
        self.series.insert(self.next, Series { ends: packet.ends, ident, socket, last: now, last_packet: Vec::new() });
        Ok(self.next)
    }

    /// Echoes came for the machine, or what is said of requests.
    pub(super) fn on_ready(&mut self, number: u32, now: Instant, gate: &mut Gate) {
        let Some(series) = self.series.get_mut(&number) else { return };
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let count = match recv(&series.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    series.tell(error, gate);
                    continue;
                }
            };
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

impl Series {
    /// Passes on what was said of a request. Which one it was does not matter: they differ by a number.
    fn tell(&self, error: Errno, gate: &mut Gate) {
        // The kernel keeps a copy of that request, which nobody calls for.
        let _ = recv(&self.socket, &mut [0; HEADER][..], RecvFlags::ERRQUEUE);
        if gate.out.has_room() {
            push_undelivered(&mut gate.out, &self.ends, &self.last_packet, undelivered(error));
        }
    }
}
