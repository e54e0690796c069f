//! All connections of one guest: which packet is for which, and whose turn it is to send. No socket, no queue.
//!
//! The host's port of a connection is a number that is not used again, so that it alone names the connection,
//! and a late packet of an old one meets no new one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use super::claims::CONNECTIONS_MAX;
use super::connection::{Connection, Incoming, Window};
use super::packet::{HOST_CID, Header, Op, TYPE_STREAM};

/// So many have wide windows; the others get by with little, so that all together hold no more than 160 MiB.
const WIDE_MAX: usize = 64;

/// Refusals that wait for room in the guest's queue; then no more packets of the guest are read.
const RESETS_MAX: usize = 256;

/// Requests that the guest has not answered yet, beside those that must not wait. A guest's kernel refuses those that come
/// while its program has more to accept than it said it would, which for our agent is 1024.
const UNANSWERED_MAX: usize = 512;

/// First port of the host's side; lower ones look privileged to a guest.
const FIRST_PORT: u32 = 1 << 16;

#[derive(Debug)]
struct Entry {
    guest_port: u32,
    connection: Connection,
}

/// The connections of one guest.
#[derive(Debug)]
pub(super) struct Muxer {
    guest_cid: u64,
    entries: BTreeMap<u32, Entry>,
    /// Those with a packet for the guest.
    ready: BTreeSet<u32>,
    /// Those that the guest has not answered.
    unanswered: BTreeSet<u32>,
    resets: VecDeque<Header>,
    next_port: u32,
    /// The host's port that sent last; the next one is served next.
    last_served: u32,
}

impl Muxer {
    pub(super) fn new(guest_cid: u64) -> Self {
        Self {
            guest_cid,
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            resets: VecDeque::new(),
            next_port: FIRST_PORT,
            last_served: 0,
        }
    }

    /// Opens a connection to a port of the guest and returns its name, or `None` where there are too many.
    pub(super) fn dial(&mut self, guest_port: u32) -> Option<u32> {
        if self.entries.len() >= CONNECTIONS_MAX {
            return None;
        }
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        if self.entries.contains_key(&port) {
            return None;
        }
        let window = if self.entries.len() < WIDE_MAX { Window::WIDE } else { Window::NARROW };
        self.entries.insert(port, Entry { guest_port, connection: Connection::new(window) });
        self.ready.insert(port);
        self.unanswered.insert(port);
        Some(port)
    }

    /// How many more connections may be asked for before the guest has answered.
    pub(super) fn may_ask(&self) -> usize {
        UNANSWERED_MAX.saturating_sub(self.unanswered.len())
    }

    /// A connection. Who changes it says so by [`Muxer::note`].
    pub(super) fn connection(&mut self, port: u32) -> Option<&mut Connection> {
        self.entries.get_mut(&port).map(|entry| &mut entry.connection)
    }

    /// Looks again whether a connection has a packet for the guest.
    pub(super) fn note(&mut self, port: u32) {
        let entry = self.entries.get(&port);
        if entry.is_some_and(|entry| entry.connection.has_packet()) {
            self.ready.insert(port);
        } else {
            self.ready.remove(&port);
        }
        if entry.is_none_or(|entry| entry.connection.is_answered()) {
            self.unanswered.remove(&port);
        }
    }

    pub(super) fn remove(&mut self, port: u32) {
        self.entries.remove(&port);
        self.ready.remove(&port);
        self.unanswered.remove(&port);
    }

    /// Whether a packet of the guest may be read now.
    pub(super) fn accepts_packet(&self) -> bool {
        self.resets.len() < RESETS_MAX
    }

    /// A packet of the guest; returns the connection that it was for.
    pub(super) fn on_packet(&mut self, header: &Header, payload: &[u8]) -> Option<u32> {
        if header.src_cid != self.guest_cid {
            return None;
        }
        let is_ours = header.dst_cid == HOST_CID && header.kind == TYPE_STREAM;
        let entry = self.entries.get_mut(&header.dst_port);
        let Some(entry) = entry.filter(|entry| is_ours && entry.guest_port == header.src_port) else {
            // A reset of something unknown needs no answer, and one would go round for ever.
            if header.op != Op::Reset {
                self.resets.push_back(header.reset());
            }
            return None;
        };
        entry.connection.on_packet(Incoming {
            op: header.op,
            flags: header.flags,
            buf_alloc: header.buf_alloc,
            fwd_cnt: header.fwd_cnt,
            payload,
        });
        self.note(header.dst_port);
        Some(header.dst_port)
    }

    /// Whether [`Muxer::next_packet`] has something.
    pub(super) fn has_packet(&self) -> bool {
        !self.resets.is_empty() || !self.ready.is_empty()
    }

    /// The next packet for the guest, with the connection that it is of. Its payload, at most `room` bytes
    /// (which must not be 0), is put in `payload`.
    pub(super) fn next_packet(&mut self, room: usize, payload: &mut Vec<u8>) -> Option<(Header, Option<u32>)> {
        payload.clear();
        if let Some(reset) = self.resets.pop_front() {
            return Some((reset, None));
        }
        let after = (Bound::Excluded(self.last_served), Bound::Unbounded);
        let up_to = (Bound::Unbounded, Bound::Included(self.last_served));
        let port = *self.ready.range(after).chain(self.ready.range(up_to)).next()?;
        let entry = self.entries.get_mut(&port)?;
        let packet = entry.connection.next_packet(room, payload)?;
        self.last_served = port;
        let guest_port = entry.guest_port;
        self.note(port);
        let header = Header {
            src_cid: HOST_CID,
            dst_cid: self.guest_cid,
            src_port: port,
            dst_port: guest_port,
            // No longer than what a connection holds.
            len: u32::try_from(payload.len()).unwrap_or(0),
            kind: TYPE_STREAM,
            op: packet.op,
            flags: packet.flags,
            buf_alloc: packet.buf_alloc,
            fwd_cnt: packet.fwd_cnt,
        };
        Some((header, Some(port)))
    }

    /// Forgets everything, as the guest did that starts its driver anew.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.ready.clear();
        self.unanswered.clear();
        self.resets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: u64 = 7;

    fn packet(op: Op, host_port: u32, guest_port: u32) -> Header {
        Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: guest_port,
            dst_port: host_port,
            len: 0,
            kind: TYPE_STREAM,
            op,
            flags: 0,
            buf_alloc: 1 << 16,
            fwd_cnt: 0,
        }
    }

    fn next(muxer: &mut Muxer) -> Option<(Op, u32, u32, Vec<u8>)> {
        let mut payload = Vec::new();
        let (header, _) = muxer.next_packet(100, &mut payload)?;
        assert_eq!((header.src_cid, header.dst_cid, header.len as usize), (HOST_CID, CID, payload.len()));
        Some((header.op, header.src_port, header.dst_port, payload))
    }

    fn open(muxer: &mut Muxer, guest_port: u32) -> u32 {
        let port = muxer.dial(guest_port).unwrap();
        assert_eq!(next(muxer), Some((Op::Request, port, guest_port, Vec::new())));
        assert_eq!(muxer.on_packet(&packet(Op::Response, port, guest_port), &[]), Some(port));
        port
    }

    #[test]
    fn guest_that_connects_is_refused() {
        let mut muxer = Muxer::new(CID);
        assert_eq!(muxer.on_packet(&packet(Op::Request, 22, 5000), &[]), None);
        assert_eq!(next(&mut muxer), Some((Op::Reset, 22, 5000, Vec::new())));
        assert!(!muxer.has_packet());
    }

    #[test]
    fn connections_take_turns() {
        let mut muxer = Muxer::new(CID);
        let ports = [open(&mut muxer, 1), open(&mut muxer, 2), open(&mut muxer, 3)];
        for port in ports {
            muxer.connection(port).unwrap().on_host_bytes(&[0; 250]);
            muxer.note(port);
        }
        let mut order: Vec<u32> = Vec::new();
        while let Some((_, port, _, _)) = next(&mut muxer) {
            order.push(port);
        }
        assert_eq!(order, [ports, ports, ports].concat());
    }

    #[test]
    fn packet_with_another_port_does_not_touch_the_connection() {
        let mut muxer = Muxer::new(CID);
        let port = open(&mut muxer, 1024);
        assert_eq!(muxer.on_packet(&packet(Op::Reset, port, 1025), &[]), None);
        assert!(!muxer.has_packet() && !muxer.connection(port).unwrap().is_finished());
        assert_eq!(muxer.on_packet(&packet(Op::Data, port, 1025), b"x"), None);
        assert_eq!(next(&mut muxer), Some((Op::Reset, port, 1025, Vec::new())));
    }

    #[test]
    fn other_addresses_and_types_are_refused_or_ignored() {
        let mut muxer = Muxer::new(CID);
        let port = open(&mut muxer, 1024);
        let forged = Header { src_cid: CID + 1, ..packet(Op::Reset, port, 1024) };
        assert_eq!(muxer.on_packet(&forged, &[]), None);
        assert!(!muxer.has_packet());
        for strange in
            [Header { dst_cid: 99, ..packet(Op::Data, port, 1024) }, Header { kind: 2, ..packet(Op::Data, port, 1024) }]
        {
            assert_eq!(muxer.on_packet(&strange, &[]), None);
            let (reset, owner) = muxer.next_packet(100, &mut Vec::new()).unwrap();
            assert_eq!((reset, owner), (strange.reset(), None));
        }
        assert!(!muxer.connection(port).unwrap().is_finished());
    }

    #[test]
    fn flood_of_refusals_stops_the_reading_of_packets() {
        let mut muxer = Muxer::new(CID);
        let mut count = 0;
        while muxer.accepts_packet() {
            muxer.on_packet(&packet(Op::Data, 1, count), &[]);
            count += 1;
        }
        assert_eq!(count, 256);
        assert!(next(&mut muxer).is_some() && muxer.accepts_packet());
    }

    #[test]
    fn dials_are_limited_and_their_ports_are_not_used_again() {
        let mut muxer = Muxer::new(CID);
        let first = muxer.dial(1).unwrap();
        muxer.remove(first);
        for _ in 0..CONNECTIONS_MAX {
            assert_ne!(muxer.dial(1).unwrap(), first);
        }
        assert_eq!(muxer.dial(1), None);
        muxer.clear();
        assert!(muxer.dial(1).unwrap() > first);
    }
}
