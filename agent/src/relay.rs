//! Two sockets joined: what comes from one goes to the other, and so do the ends of either direction. Where one breaks off,
//! as a reset does, the other is reset too: an end would look like all that there was.
//!
//! Bytes are held only where the other side has no room for them, and then no more are read. Deliberately not here: who
//! is joined with whom (`forwarder`).

use std::io;

use crate::side::Side;
use crate::sys::{self, Event};

/// How often a turn reads from one side before others have theirs.
const READS_A_TURN: usize = 16;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing can go on until one of the sockets has changed.
    Waits,
    /// There is more to do.
    HasMore,
    /// Both directions have ended.
    Ended,
    /// One side has gone without an end.
    BrokenOff,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// Read, and not yet taken by the other side.
    held: Vec<u8>,
    /// Whether nothing more comes.
    is_at_end: bool,
    /// Whether the other side knows that.
    has_ended: bool,
    /// Whether that end is no end of what was to be said.
    is_broken: bool,
    /// Whether the other side said, when written to, that it has broken off.
    was_reset: bool,
}

/// A pair of sockets that do not block.
#[derive(Debug)]
pub(crate) struct Relay {
    host: Side,
    guest: Side,
    to_guest: Direction,
    to_host: Direction,
}

impl Relay {
    /// Joins two sockets.
    pub(crate) fn new(host: Side, guest: Side) -> Self {
        Self { host, guest, to_guest: Direction::default(), to_host: Direction::default() }
    }

    /// Takes what an event says of the host's socket, or of the guest's.
    pub(crate) fn note(&mut self, event: &Event, is_host: bool) {
        if is_host { &mut self.host } else { &mut self.guest }.note(event);
    }

    /// Moves what can be moved, through `scratch`.
    pub(crate) fn turn(&mut self, scratch: &mut [u8]) -> Turn {
        let Self { host, guest, .. } = self;
        let one = self.to_guest.turn(host, guest, self.to_host.has_ended, scratch);
        self.to_host.is_broken |= self.to_guest.was_reset;
        let other = self.to_host.turn(guest, host, self.to_guest.has_ended, scratch);
        self.to_guest.is_broken |= self.to_host.was_reset;
        match (one, other) {
            (Turn::BrokenOff, _) | (_, Turn::BrokenOff) => {
                // The host sees it by itself: its connection is closed without an end.
                sys::reset_when_closed(&self.guest.file);
                Turn::BrokenOff
            }
            (Turn::Ended, Turn::Ended) => Turn::Ended,
            (Turn::HasMore, _) | (_, Turn::HasMore) => Turn::HasMore,
            _ => Turn::Waits,
        }
    }
}

impl Direction {
    /// `is_other_over` tells whether the other direction has ended.
    fn turn(&mut self, from: &mut Side, to: &mut Side, is_other_over: bool, scratch: &mut [u8]) -> Turn {
        match self.go(from, to, is_other_over, scratch) {
            Ok(turn) => turn,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Turn::Waits,
            Err(error) => {
                // The other side takes nothing more: who writes is told, the other direction goes on.
                self.held = Vec::new();
                self.has_ended = true;
                self.was_reset = error.kind() == io::ErrorKind::ConnectionReset;
                let _ = sys::end_reading(&from.file);
                let _ = sys::end_writing(&to.file);
                Turn::Ended
            }
        }
    }

    fn go(&mut self, from: &mut Side, to: &mut Side, is_other_over: bool, scratch: &mut [u8]) -> io::Result<Turn> {
        if self.has_ended {
            return Ok(Turn::Ended);
        }
        for _ in 0..READS_A_TURN {
            while !self.held.is_empty() {
                let taken = to.write(&self.held)?;
                self.held.drain(..taken);
            }
            if self.is_at_end {
                // Who has only said all still listens.
                if self.is_broken || (!is_other_over && !sys::takes_more(&from.file)) {
                    return Ok(Turn::BrokenOff);
                }
                self.has_ended = true;
                // A side that is gone needs no telling.
                let _ = sys::end_writing(&to.file);
                return Ok(Turn::Ended);
            }
            let count = match from.read(scratch) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    self.is_broken = true;
                    0
                }
                result => result?,
            };
            self.is_at_end = count == 0;
            let bytes = &scratch[..count];
            let taken = match if bytes.is_empty() { Ok(0) } else { to.write(bytes) } {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
            self.held = bytes[taken..].to_vec();
        }
        Ok(Turn::HasMore)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::Events;

    fn pair() -> (UnixStream, File) {
        let (outer, inner) = UnixStream::pair().unwrap();
        inner.set_nonblocking(true).unwrap();
        (outer, File::from(OwnedFd::from(inner)))
    }

    /// A pair, and the events of its two sockets.
    struct Joined {
        relay: Relay,
        events: Events,
    }

    impl Joined {
        fn new(host: File, guest: File) -> Self {
            let events = Events::new().unwrap();
            events.watch(&host, 0).unwrap();
            events.watch(&guest, 1).unwrap();
            Self { relay: Relay::new(Side::new(host), Side::new(guest)), events }
        }

        fn turn(&mut self, scratch: &mut [u8]) -> Turn {
            for event in self.events.wait(Some(Duration::ZERO)).unwrap() {
                self.relay.note(&event, event.number == 0);
            }
            self.relay.turn(scratch)
        }
    }

    #[test]
    fn bytes_and_ends_go_both_ways() {
        let ((mut host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        let mut relay = Joined::new(host_inner, guest_inner);
        let mut scratch = [0; 4];
        host.write_all(b"first second").unwrap();
        host.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(relay.turn(&mut scratch), Turn::Waits);
        let mut text = String::new();
        guest.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first second");
        // The other half is open still.
        guest.write_all(b"answer").unwrap();
        drop(guest);
        assert_eq!(relay.turn(&mut scratch), Turn::Ended);
        text.clear();
        host.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
    }

    #[test]
    fn who_does_not_read_holds_the_other_back() {
        let ((mut host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        host.set_nonblocking(true).unwrap();
        let mut relay = Joined::new(host_inner, guest_inner);
        let mut scratch = [0; 4096];
        let mut sent = 0_usize;
        while let Ok(count) = host.write(&[7; 4096]) {
            sent += count;
            relay.turn(&mut scratch);
        }
        assert!(relay.relay.to_guest.held.len() <= 4096 && sent > 4096);
        host.shutdown(std::net::Shutdown::Write).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            guest.read_to_end(&mut all).unwrap();
            all.len()
        });
        while relay.turn(&mut scratch) != Turn::Ended && !relay.relay.to_guest.has_ended {
            std::thread::yield_now();
        }
        drop(relay);
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn a_side_that_is_gone_without_an_end_has_broken_off() {
        let ((host, host_inner), (_guest, guest_inner)) = (pair(), pair());
        let mut relay = Joined::new(host_inner, guest_inner);
        drop(host);
        assert_eq!(relay.turn(&mut [0; 100]), Turn::BrokenOff);
        let ((_host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        let mut relay = Joined::new(host_inner, guest_inner);
        guest.write_all(b"last words").unwrap();
        drop(guest);
        assert_eq!(relay.turn(&mut [0; 100]), Turn::BrokenOff);
    }

    #[test]
    fn what_comes_behind_what_was_read_comes_too() {
        let ((mut host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        guest.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut relay = Joined::new(host_inner, guest_inner);
        // As long as what is read at once, shorter, and longer; each after all before was taken.
        for length in [8, 3, 20, 8] {
            host.write_all(&vec![length; usize::from(length)]).unwrap();
            relay.turn(&mut [0; 8]);
            let mut got = vec![0; usize::from(length)];
            guest.read_exact(&mut got).unwrap();
            assert!(got.iter().all(|byte| *byte == length));
        }
        // An end that comes with the last bytes, and one that comes alone.
        host.write_all(b"end").unwrap();
        host.shutdown(std::net::Shutdown::Write).unwrap();
        relay.turn(&mut [0; 8]);
        let mut text = String::new();
        guest.read_to_string(&mut text).unwrap();
        assert_eq!(text, "end");
        guest.write_all(b"bye").unwrap();
        assert_eq!(relay.turn(&mut [0; 8]), Turn::Waits);
        guest.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(relay.turn(&mut [0; 8]), Turn::Ended);
        host.read_to_string(&mut text).unwrap();
        assert_eq!(text, "endbye");
    }

    /// The two ends of a TCP connection; the inner one does not wait.
    fn tcp_pair() -> (TcpStream, File) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let outer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (inner, _) = listener.accept().unwrap();
        inner.set_nonblocking(true).unwrap();
        (outer, File::from(OwnedFd::from(inner)))
    }

    fn turn_until(relay: &mut Joined, wanted: Turn) {
        let end = Instant::now() + Duration::from_secs(20);
        while relay.turn(&mut [0; 4096]) != wanted {
            assert!(Instant::now() < end, "not {wanted:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_reset_arrives_as_one_behind_what_was_said_before() {
        let ((mut host, host_inner), (mut guest, guest_inner)) = (tcp_pair(), tcp_pair());
        let mut relay = Joined::new(host_inner, guest_inner);
        host.write_all(b"unread").unwrap();
        turn_until(&mut relay, Turn::Waits);
        guest.write_all(b"no more of this").unwrap();
        // What it has not read makes it a reset.
        guest.peek(&mut [0]).unwrap();
        drop(guest);
        turn_until(&mut relay, Turn::BrokenOff);
        let mut text = [0; 15];
        host.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"no more of this");
        let (mut guest, guest_inner) = tcp_pair();
        let (host, host_inner) = pair();
        let mut relay = Joined::new(host_inner, guest_inner);
        drop(host);
        turn_until(&mut relay, Turn::BrokenOff);
        drop(relay);
        assert_eq!(guest.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_side_that_has_ended_and_is_told_more_has_not_broken_off() {
        let ((mut host, host_inner), (guest, guest_inner)) = (tcp_pair(), tcp_pair());
        let mut relay = Joined::new(host_inner, guest_inner);
        drop(guest);
        turn_until(&mut relay, Turn::Waits);
        assert_eq!(host.read(&mut [0]).unwrap(), 0);
        while !relay.relay.to_guest.has_ended {
            // It fails when the other side is told that nobody reads.
            let _ = host.write(b"more");
            assert_ne!(relay.turn(&mut [0; 4096]), Turn::BrokenOff);
            std::thread::yield_now();
        }
        assert_eq!(relay.turn(&mut [0; 4096]), Turn::Ended);
    }
}
