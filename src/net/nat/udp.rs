//! Datagrams: each pair of ends has a connected socket of the host, until it is quiet for long.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::gate::{Gate, Refused};
use super::packet::{Body, Ends, Packet, Undelivered, push_datagram, push_undelivered};
use super::poller::Token;
use super::sockets::{self, undelivered};

/// Pairs of ends that are kept; past that the one goes that was quiet for longest.
const PAIRS_MAX: usize = 1024;

/// How long a pair may be quiet (RFC 4787, 4.3).
const QUIET_MAX: Duration = Duration::from_secs(300);

/// How often the quiet ones are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// Datagrams that are taken of one socket before others are looked at.
const TURN: usize = 64;

/// How much of the machine's last packet is kept, to say that it was not delivered.
const KEPT: usize = 128;

/// The pairs.
#[derive(Debug)]
pub(super) struct UdpTable {
    pairs: HashMap<u32, Pair>,
    by_ends: HashMap<Ends, u32>,
    next: u32,
    swept: Instant,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Pair {
    ends: Ends,
    socket: OwnedFd,
    last: Instant,
    last_packet: Vec<u8>,
}

impl UdpTable {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pairs: HashMap::new(),
            by_ends: HashMap::new(),
            next: 0,
            swept: now,
            buffer: vec![0; usize::from(u16::MAX)],
        }
    }

    /// Takes a datagram of the machine.
    pub(super) fn take(&mut self, packet: &Packet<'_>, now: Instant, gate: &mut Gate) {
        let Body::Udp(payload) = packet.body else { return };
        let number = match self.by_ends.get(&packet.ends) {
            Some(number) => *number,
            None => match self.open(packet, now, gate) {
                Ok(number) => number,
                Err(refused) => return refuse(packet, refused, gate),
            },
        };
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        pair.last = now;
        pair.last_packet.clear();
        pair.last_packet.extend(&packet.whole[..packet.whole.len().min(KEPT)]);
        match send(&pair.socket, payload, SendFlags::NOSIGNAL) {
            // The news of an earlier one, and not of this.
            Err(Errno::CONNREFUSED) => {
                push_undelivered(&mut gate.out, &packet.ends, packet.whole, Undelivered::NoPort);
            }
            Err(error @ (Errno::NETUNREACH | Errno::HOSTUNREACH)) => {
                push_undelivered(&mut gate.out, &packet.ends, packet.whole, undelivered(error));
            }
            // Datagrams may be lost.
            _ => {}
        }
    }

    fn open(&mut self, packet: &Packet<'_>, now: Instant, gate: &mut Gate) -> Result<u32, Refused> {
        let target = gate.enter(packet.ends.world, now)?;
        if self.pairs.len() >= PAIRS_MAX {
            let oldest = self.pairs.iter().min_by_key(|(_, pair)| pair.last).map(|(number, _)| *number);
            if let Some(number) = oldest {
                self.remove(number);
            }
        }
        let socket = sockets::datagrams(target).map_err(|error| Refused::Undelivered(undelivered(error)))?;
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        gate.poller
            .add(socket.as_fd(), Token::Udp(number))
            .map_err(|error| Refused::Undelivered(undelivered(error)))?;
        self.by_ends.insert(packet.ends, number);
        self.pairs.insert(number, Pair { ends: packet.ends, socket, last: now, last_packet: Vec::new() });
        Ok(number)
    }

    fn remove(&mut self, number: u32) {
        if let Some(pair) = self.pairs.remove(&number) {
            self.by_ends.remove(&pair.ends);
        }
    }

    /// Datagrams came for the machine. Those that find no room on the way to it are lost, as on any wire. Says whether
    /// there may be more.
    pub(super) fn on_ready(&mut self, number: u32, now: Instant, gate: &mut Gate) -> bool {
        let Some(pair) = self.pairs.get_mut(&number) else { return false };
        for _ in 0..TURN {
            match recv(&pair.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => {
                    pair.last = now;
                    if gate.out.has_room() {
                        push_datagram(&mut gate.out, &pair.ends, &self.buffer[..count]);
                    }
                }
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(error) => {
                    push_undelivered(&mut gate.out, &pair.ends, &pair.last_packet, undelivered(error));
                    return false;
                }
            }
        }
        true
    }

    /// When the quiet ones are looked for next.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.pairs.is_empty()).then_some(self.swept + SWEEP)
    }

    /// Lets go of those that were quiet for long.
    pub(super) fn on_time(&mut self, now: Instant) {
        if now < self.swept + SWEEP {
            return;
        }
        self.swept = now;
        let quiet: Vec<u32> =
            self.pairs.iter().filter(|(_, pair)| pair.last + QUIET_MAX < now).map(|(number, _)| *number).collect();
        for number in quiet {
            self.remove(number);
        }
    }
}

fn refuse(packet: &Packet<'_>, refused: Refused, gate: &mut Gate) {
    let why = match refused {
        Refused::Denied => Undelivered::Prohibited,
        Refused::Undelivered(why) => why,
    };
    // Who speaks to many, as programs do without anybody's wish, expects no news.
    if !packet.ends.world.ip().is_multicast() {
        push_undelivered(&mut gate.out, &packet.ends, packet.whole, why);
    }
}
