//! One stream between the host and a port of the guest. No socket, no queue: packets and bytes in, packets and
//! bytes out.
//!
//! ```text
//! Requested ─RESPONSE─► Open ─SHUTDOWN of both, or RST, by either side─► Gone ─all bytes at the host─► finished
//!     └──────RST, or the host hangs up──────────────────────────────────►─┘
//! ```
//!
//! Primer: each side tells in every header how large its receive buffer is (`buf_alloc`) and how many bytes have
//! left it (`fwd_cnt`); the other sends no more than fits. `CREDIT_UPDATE` only carries these two numbers,
//! `CREDIT_REQUEST` asks for them. `SHUTDOWN` closes one or both directions, and the side that receives a
//! `SHUTDOWN` of both answers with `RST`. The counters wrap at 2^32 (Virtio 1.2, 5.10.6.3).
//!
//! We never ask: Linux tells of room by itself once a good part of its buffer has left it. To ask whenever there is none
//! makes it answer with whatever little it has, and the stream goes on in the smallest pieces.

use std::collections::VecDeque;

use super::packet::{Op, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};

/// How much a connection may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// What the guest may have under way to the host.
    to_host: u32,
    /// What is read ahead from the host's end.
    from_host: usize,
}

impl Window {
    /// For connections through which much goes.
    pub(super) const WIDE: Self = Self { to_host: 256 * 1024, from_host: FROM_HOST_MAX_BYTES };

    /// For one of very many.
    pub(super) const NARROW: Self = Self { to_host: 16 * 1024, from_host: 16 * 1024 };

    /// The guest hears of free room at the latest when it believes to have less than this left.
    fn low(self) -> u32 {
        self.to_host / 2
    }

    /// And not for less than this, while more is on its way out.
    fn step(self) -> u32 {
        self.to_host / 4
    }
}

/// The most that any connection reads ahead from its host's end.
pub(super) const FROM_HOST_MAX_BYTES: usize = 64 * 1024;

/// What the other side says in a packet, as far as a connection cares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) op: Op,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
    pub(super) payload: &'a [u8],
}

/// What goes to the guest; the payload is written to the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) op: Op,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Requested { is_sent: bool },
    Open,
    Gone,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    window: Window,
    phase: Phase,
    /// Bytes of the guest that the host's end has not taken yet.
    to_host: VecDeque<u8>,
    /// Bytes of the host's end that the guest has no room for yet.
    from_host: VecDeque<u8>,
    /// Bytes received from the guest, and those of them that the host's end took.
    received: u32,
    forwarded: u32,
    /// The last `forwarded` that the guest heard of.
    announced: u32,
    sent: u32,
    guest_alloc: u32,
    guest_forwarded: u32,
    /// Directions that the guest closed.
    guest_shutdown: u32,
    /// Directions that we told the guest are closed.
    told_shutdown: u32,
    /// The guest gave it up without having said that nothing follows.
    is_broken_off: bool,
    /// The host's end will give no more bytes.
    is_host_done: bool,
    /// The host's end takes no more bytes.
    is_host_deaf: bool,
    owes_credit: bool,
    owes_reset: bool,
}

impl Connection {
    /// A connection that the host wants; its first packet is the request.
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            phase: Phase::Requested { is_sent: false },
            to_host: VecDeque::new(),
            from_host: VecDeque::new(),
            received: 0,
            forwarded: 0,
            announced: 0,
            sent: 0,
            guest_alloc: 0,
            guest_forwarded: 0,
            guest_shutdown: 0,
            told_shutdown: 0,
            is_broken_off: false,
            is_host_done: false,
            is_host_deaf: false,
            owes_credit: false,
            owes_reset: false,
        }
    }

    /// A packet of the guest for this connection.
    pub(super) fn on_packet(&mut self, packet: Incoming<'_>) {
        if self.phase == Phase::Gone {
            return;
        }
        self.guest_alloc = packet.buf_alloc;
        self.guest_forwarded = packet.fwd_cnt;
        match (self.phase, packet.op) {
            (_, Op::Reset) => self.leave(),
            (Phase::Requested { is_sent: true }, Op::Response) => self.phase = Phase::Open,
            (Phase::Open, Op::Data) => self.on_data(packet.payload),
            (Phase::Open, Op::Shutdown) => self.on_shutdown(packet.flags),
            (Phase::Open, Op::CreditUpdate) => {}
            (Phase::Open, Op::CreditRequest) => self.owes_credit = true,
            _ => self.refuse(),
        }
    }

    fn on_data(&mut self, payload: &[u8]) {
        let in_flight = self.received.wrapping_sub(self.forwarded);
        let room = self.window.to_host.saturating_sub(in_flight);
        let Some(len) = u32::try_from(payload.len()).ok().filter(|len| *len <= room) else {
            return self.refuse();
        };
        if self.guest_shutdown & SHUTDOWN_SEND != 0 {
            return self.refuse();
        }
        self.received = self.received.wrapping_add(len);
        if self.is_host_deaf {
            // Nobody will read it: taken and thrown away, until the guest has heard of it.
            return self.count_forwarded(len);
        }
        self.to_host.extend(payload);
    }

    fn on_shutdown(&mut self, flags: u32) {
        // Who has said all says first that nothing follows.
        self.is_broken_off = self.guest_shutdown & SHUTDOWN_SEND == 0 && flags & SHUTDOWN_BOTH == SHUTDOWN_BOTH;
        self.guest_shutdown |= flags & SHUTDOWN_BOTH;
        if self.guest_shutdown & SHUTDOWN_RECEIVE != 0 {
            self.from_host.clear();
        }
        if self.guest_shutdown == SHUTDOWN_BOTH {
            self.refuse();
        }
    }

    /// Ends it with a reset as the last packet. Bytes for the host are still delivered.
    fn refuse(&mut self) {
        self.leave();
        self.owes_reset = true;
    }

    fn leave(&mut self) {
        self.phase = Phase::Gone;
        self.from_host = VecDeque::new();
        self.owes_credit = false;
    }

    /// Bytes that the host's end may take now.
    pub(super) fn to_host(&self) -> (&[u8], &[u8]) {
        self.to_host.as_slices()
    }

    /// The host's end took `count` of [`Connection::to_host`].
    pub(super) fn on_host_took(&mut self, count: usize) {
        let count = count.min(self.to_host.len());
        self.to_host.drain(..count);
        // At most the window, which has 32 bits, is ever held.
        self.count_forwarded(u32::try_from(count).unwrap_or(self.window.to_host));
    }

    fn count_forwarded(&mut self, count: u32) {
        self.forwarded = self.forwarded.wrapping_add(count);
        let believed_used = self.received.wrapping_sub(self.announced);
        let news = self.forwarded.wrapping_sub(self.announced);
        let is_low = believed_used > self.window.to_host - self.window.low();
        if self.phase == Phase::Open && is_low && (news >= self.window.step() || self.to_host.is_empty()) {
            self.owes_credit = true;
        }
    }

    /// Whether the host's end should hear that nothing follows (once the bytes for it are delivered).
    pub(super) fn is_to_host_complete(&self) -> bool {
        self.to_host.is_empty() && self.has_said_all()
    }

    /// Whether the guest has said that nothing follows. Where it has gone without, the host's end should not take what it
    /// got for all that there was.
    pub(super) fn has_said_all(&self) -> bool {
        self.guest_shutdown & SHUTDOWN_SEND != 0 && !self.is_broken_off
    }

    /// Whether the guest has said whether it wants the connection, or is not to be asked.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.phase, Phase::Requested { .. })
    }

    /// Whether the host's end should hear that the guest takes nothing more.
    pub(super) fn is_from_host_refused(&self) -> bool {
        self.phase == Phase::Gone || self.guest_shutdown & SHUTDOWN_RECEIVE != 0
    }

    /// How many bytes of the host's end are welcome now.
    pub(super) fn room_from_host(&self) -> usize {
        let is_wanted = self.phase == Phase::Open && !self.is_host_done && self.guest_shutdown & SHUTDOWN_RECEIVE == 0;
        if is_wanted { self.window.from_host.saturating_sub(self.from_host.len()) } else { 0 }
    }

    /// Bytes that go before all of the host's end: at most a window, before anything was sent.
    pub(super) fn open_with(&mut self, bytes: &[u8]) {
        self.from_host.extend(bytes);
    }

    /// Bytes of the host's end, at most [`Connection::room_from_host`].
    pub(super) fn on_host_bytes(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Gone {
            self.from_host.extend(bytes);
        }
    }

    /// The host's end will give no more bytes; it may still take some.
    pub(super) fn on_host_done(&mut self) {
        self.is_host_done = true;
    }

    /// The host's end takes no more bytes; those that it gave are still delivered.
    pub(super) fn on_host_deaf(&mut self) {
        self.is_host_deaf = true;
        let held = self.to_host.len();
        self.on_host_took(held);
        match self.phase {
            // The guest was asked for something that nobody waits for any more.
            Phase::Requested { is_sent: true } => self.refuse(),
            Phase::Requested { is_sent: false } => self.leave(),
            Phase::Open | Phase::Gone => {}
        }
    }

    /// Whether nothing is left to do on either side.
    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Gone && !self.owes_reset && self.to_host.is_empty()
    }

    fn credit(&self) -> u32 {
        // A guest that claims nonsense gets nothing.
        self.guest_alloc.saturating_sub(self.sent.wrapping_sub(self.guest_forwarded))
    }

    fn pending_shutdown(&self) -> u32 {
        let deaf = if self.is_host_deaf { SHUTDOWN_RECEIVE } else { 0 };
        let done = if self.is_host_done && self.from_host.is_empty() { SHUTDOWN_SEND } else { 0 };
        let closed = deaf | done;
        if closed & !self.told_shutdown == 0 { 0 } else { closed }
    }

    fn next_op(&self) -> Option<Op> {
        if self.owes_reset {
            return Some(Op::Reset);
        }
        match self.phase {
            Phase::Requested { is_sent: false } => Some(Op::Request),
            Phase::Requested { is_sent: true } | Phase::Gone => None,
            Phase::Open if !self.from_host.is_empty() && self.credit() > 0 => Some(Op::Data),
            Phase::Open if self.owes_credit => Some(Op::CreditUpdate),
            Phase::Open if self.pending_shutdown() != 0 => Some(Op::Shutdown),
            Phase::Open => None,
        }
    }

    /// Whether [`Connection::next_packet`] has something.
    pub(super) fn has_packet(&self) -> bool {
        self.next_op().is_some()
    }

    /// The next packet for the guest. Its payload, at most `room` bytes (which must not be 0), is put in `payload`.
    pub(super) fn next_packet(&mut self, room: usize, payload: &mut Vec<u8>) -> Option<Outgoing> {
        payload.clear();
        let op = self.next_op()?;
        let mut flags = 0;
        match op {
            Op::Request => self.phase = Phase::Requested { is_sent: true },
            Op::Reset => self.owes_reset = false,
            Op::Data => {
                let credit = usize::try_from(self.credit()).unwrap_or(usize::MAX);
                let count = self.from_host.len().min(credit).min(room);
                payload.extend(self.from_host.drain(..count));
                // At most the window is ever held.
                self.sent = self.sent.wrapping_add(u32::try_from(count).unwrap_or(0));
            }
            Op::Shutdown => {
                flags = self.pending_shutdown();
                self.told_shutdown = flags;
                if flags == SHUTDOWN_BOTH {
                    // The guest's answer is a reset, which needs no state of ours.
                    self.leave();
                }
            }
            _ => {}
        }
        self.owes_credit = false;
        self.announced = self.forwarded;
        Some(Outgoing { op, flags, buf_alloc: self.window.to_host, fwd_cnt: self.forwarded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO_HOST_MAX_BYTES: u32 = Window::WIDE.to_host;

    fn packet(op: Op, payload: &[u8]) -> Incoming<'_> {
        Incoming { op, flags: 0, buf_alloc: 1000, fwd_cnt: 0, payload }
    }

    fn shutdown(flags: u32) -> Incoming<'static> {
        Incoming { flags, ..packet(Op::Shutdown, &[]) }
    }

    fn next(connection: &mut Connection) -> Option<(Op, u32, Vec<u8>)> {
        let mut payload = Vec::new();
        assert_eq!(connection.has_packet(), connection.next_op().is_some());
        connection.next_packet(4096, &mut payload).map(|packet| (packet.op, packet.flags, payload))
    }

    fn op(connection: &mut Connection) -> Option<Op> {
        next(connection).map(|(op, _, _)| op)
    }

    fn open() -> Connection {
        let mut connection = Connection::new(Window::WIDE);
        assert_eq!(op(&mut connection), Some(Op::Request));
        assert_eq!(op(&mut connection), None);
        connection.on_packet(packet(Op::Response, &[]));
        assert_eq!(op(&mut connection), None);
        connection
    }

    #[test]
    fn bytes_pass_both_ways() {
        let mut connection = open();
        connection.on_host_bytes(b"ping");
        assert_eq!(next(&mut connection), Some((Op::Data, 0, b"ping".to_vec())));
        connection.on_packet(packet(Op::Data, b"pong"));
        assert_eq!(connection.to_host(), (&b"pong"[..], &b""[..]));
        connection.on_host_took(4);
        assert_eq!(connection.to_host(), (&b""[..], &b""[..]));
        assert_eq!(op(&mut connection), None);
    }

    #[test]
    fn refused_request_finishes() {
        let mut connection = Connection::new(Window::WIDE);
        op(&mut connection);
        assert!(!connection.is_finished());
        connection.on_packet(packet(Op::Reset, &[]));
        assert!(connection.is_finished() && !connection.has_said_all());
        assert_eq!(op(&mut connection), None);
    }

    #[test]
    fn no_host_byte_is_read_before_the_guest_accepted() {
        let mut connection = Connection::new(Window::WIDE);
        assert_eq!(connection.room_from_host(), 0);
        op(&mut connection);
        assert_eq!(connection.room_from_host(), 0);
        assert_eq!(open().room_from_host(), FROM_HOST_MAX_BYTES);
    }

    #[test]
    fn guest_gets_no_more_than_its_buffer_takes() {
        let mut connection = open();
        connection.on_host_bytes(&[7; 1500]);
        assert_eq!(next(&mut connection).unwrap().2.len(), 1000);
        // It waits until the guest tells of room by itself.
        assert_eq!(op(&mut connection), None);
        connection.on_packet(Incoming { fwd_cnt: 300, ..packet(Op::CreditUpdate, &[]) });
        assert_eq!(next(&mut connection).unwrap().2.len(), 300);
        connection.on_packet(Incoming { fwd_cnt: 1300, ..packet(Op::CreditUpdate, &[]) });
        assert_eq!(next(&mut connection).unwrap().2.len(), 200);
    }

    #[test]
    fn credit_holds_over_the_wrap_of_the_counters() {
        let mut connection = open();
        connection.sent = u32::MAX - 99;
        connection.on_packet(Incoming { fwd_cnt: u32::MAX - 99, ..packet(Op::CreditUpdate, &[]) });
        connection.on_host_bytes(&[1; 400]);
        assert_eq!(next(&mut connection).unwrap().2.len(), 400);
        assert_eq!((connection.sent, connection.credit()), (300, 600));
    }

    #[test]
    fn nonsense_credit_gives_nothing() {
        let mut connection = open();
        connection.on_packet(Incoming { fwd_cnt: 5000, ..packet(Op::CreditUpdate, &[]) });
        connection.on_host_bytes(b"x");
        assert_eq!(op(&mut connection), None);
    }

    #[test]
    fn guest_hears_of_room_when_it_runs_low() {
        let mut connection = open();
        let chunk = vec![0; 64 * 1024];
        for _ in 0..4 {
            connection.on_packet(packet(Op::Data, &chunk));
        }
        connection.on_host_took(1000);
        assert_eq!(op(&mut connection), None);
        connection.on_host_took(64 * 1024);
        assert_eq!(op(&mut connection), Some(Op::CreditUpdate));
        assert_eq!(connection.announced, 66_536);
        connection.on_host_took(usize::MAX);
        assert_eq!(op(&mut connection), Some(Op::CreditUpdate));
        assert_eq!(connection.announced, TO_HOST_MAX_BYTES);
    }

    #[test]
    fn guest_that_overruns_its_credit_is_reset_and_holds_bounded_memory() {
        let mut connection = open();
        let chunk = vec![0; 64 * 1024];
        for _ in 0..4 {
            connection.on_packet(packet(Op::Data, &chunk));
        }
        connection.on_packet(packet(Op::Data, b"x"));
        assert_eq!(op(&mut connection), Some(Op::Reset));
        assert_eq!(connection.to_host.len(), 256 * 1024);
        assert!(!connection.is_finished());
        connection.on_host_took(256 * 1024);
        assert!(connection.is_finished());
    }

    #[test]
    fn credit_request_is_answered_once_however_often_it_comes() {
        let mut connection = open();
        for _ in 0..1000 {
            connection.on_packet(packet(Op::CreditRequest, &[]));
        }
        assert_eq!(op(&mut connection), Some(Op::CreditUpdate));
        assert_eq!(op(&mut connection), None);
    }

    #[test]
    fn half_close_by_the_host_keeps_the_other_half() {
        let mut connection = open();
        connection.on_host_bytes(b"last");
        connection.on_host_done();
        assert_eq!(connection.room_from_host(), 0);
        assert_eq!(op(&mut connection), Some(Op::Data));
        assert_eq!(next(&mut connection), Some((Op::Shutdown, SHUTDOWN_SEND, Vec::new())));
        connection.on_packet(packet(Op::Data, b"answer"));
        assert_eq!(connection.to_host().0, b"answer");
        connection.on_packet(shutdown(SHUTDOWN_SEND));
        connection.on_packet(shutdown(SHUTDOWN_BOTH));
        assert_eq!(op(&mut connection), Some(Op::Reset));
        assert!(!connection.is_to_host_complete() && !connection.is_finished());
        connection.on_host_took(6);
        assert!(connection.is_to_host_complete() && connection.is_finished());
    }

    #[test]
    fn half_close_by_the_guest_keeps_the_other_half() {
        let mut connection = open();
        connection.on_packet(packet(Op::Data, b"end"));
        connection.on_packet(shutdown(SHUTDOWN_SEND));
        assert!(!connection.is_to_host_complete());
        connection.on_host_took(3);
        assert!(connection.is_to_host_complete() && !connection.is_finished());
        connection.on_host_bytes(b"more");
        assert_eq!(next(&mut connection), Some((Op::Data, 0, b"more".to_vec())));
        // A byte after the announced end breaks the protocol.
        connection.on_packet(packet(Op::Data, b"x"));
        assert_eq!(op(&mut connection), Some(Op::Reset));
        assert!(connection.is_finished());
    }

    #[test]
    fn host_that_hangs_up_closes_both_ways_after_its_last_byte() {
        let mut connection = open();
        connection.on_packet(packet(Op::Data, b"unread"));
        connection.on_host_bytes(b"bye");
        connection.on_host_deaf();
        connection.on_host_done();
        assert_eq!(next(&mut connection), Some((Op::Data, 0, b"bye".to_vec())));
        connection.on_packet(packet(Op::Data, b"thrown away"));
        assert_eq!(next(&mut connection), Some((Op::Shutdown, SHUTDOWN_BOTH, Vec::new())));
        assert!(connection.is_finished());
    }

    #[test]
    fn host_that_only_stops_reading_still_sends() {
        let mut connection = open();
        connection.on_host_deaf();
        assert_eq!(next(&mut connection), Some((Op::Shutdown, SHUTDOWN_RECEIVE, Vec::new())));
        connection.on_host_bytes(b"go on");
        assert_eq!(op(&mut connection), Some(Op::Data));
        assert_eq!(op(&mut connection), None);
    }

    #[test]
    fn host_that_hangs_up_early_withdraws_its_request() {
        let mut asked = Connection::new(Window::WIDE);
        op(&mut asked);
        asked.on_host_deaf();
        assert_eq!(op(&mut asked), Some(Op::Reset));
        assert!(asked.is_finished());
        let mut silent = Connection::new(Window::WIDE);
        silent.on_host_deaf();
        assert!(silent.is_finished() && !silent.has_packet());
    }

    #[test]
    fn packets_out_of_turn_reset_the_connection() {
        for early in [Op::Data, Op::Shutdown, Op::CreditUpdate, Op::CreditRequest, Op::Request, Op::Unknown(77)] {
            let mut connection = Connection::new(Window::WIDE);
            op(&mut connection);
            connection.on_packet(packet(early, &[]));
            assert_eq!(op(&mut connection), Some(Op::Reset), "{early:?}");
        }
        for late in [Op::Request, Op::Response, Op::Unknown(0)] {
            let mut connection = open();
            connection.on_packet(packet(late, &[]));
            assert_eq!(op(&mut connection), Some(Op::Reset), "{late:?}");
            assert_eq!(op(&mut connection), None);
        }
        let mut unasked = Connection::new(Window::WIDE);
        unasked.on_packet(packet(Op::Response, &[]));
        assert_eq!(op(&mut unasked), Some(Op::Reset));
    }

    proptest::proptest! {
        #[test]
        fn no_sequence_of_packets_exceeds_the_bounds(
            inputs in proptest::collection::vec((0_u16..9, 0_u32..4, proptest::prelude::any::<(u32, u32)>(), 0_usize..70_000, 0_u8..7), 0..60)
        ) {
            let mut connection = Connection::new(Window::WIDE);
            for (op, flags, (buf_alloc, fwd_cnt), len, host) in inputs {
                let payload = vec![0; len.min(super::super::packet::PAYLOAD_MAX_BYTES)];
                connection.on_packet(Incoming { op: op.into(), flags, buf_alloc, fwd_cnt, payload: &payload });
                match host {
                    0 => connection.on_host_took(len),
                    1 => connection.on_host_bytes(&payload[..payload.len().min(connection.room_from_host())]),
                    2 => connection.on_host_done(),
                    3 => connection.on_host_deaf(),
                    _ => drop(next(&mut connection)),
                }
                proptest::prop_assert!(connection.to_host.len() <= 256 * 1024);
                proptest::prop_assert!(connection.from_host.len() <= FROM_HOST_MAX_BYTES);
            }
        }
    }
}
