//! Two sockets joined: what comes from one goes to the other, and so do the ends of either direction.
//!
//! Bytes are held only where the other side has no room for them, and then no more are read. Deliberately not here: who
//! is joined with whom (`forwarder`).

use std::fs::File;
use std::io::{self, Read, Write};

use crate::sys;

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
}

/// A pair of sockets that do not block.
#[derive(Debug)]
pub(crate) struct Relay {
    host: File,
    guest: File,
    to_guest: Direction,
    to_host: Direction,
}

impl Relay {
    /// Joins two sockets; `first` was read from the host's already.
    pub(crate) fn new(host: File, guest: File, first: Vec<u8>) -> Self {
        let to_guest = Direction { held: first, ..Direction::default() };
        Self { host, guest, to_guest, to_host: Direction::default() }
    }

    /// Moves what can be moved, through `scratch`.
    pub(crate) fn turn(&mut self, scratch: &mut [u8]) -> Turn {
        let one = self.to_guest.turn(&self.host, &self.guest, scratch);
        let other = self.to_host.turn(&self.guest, &self.host, scratch);
        match (one, other) {
            (Turn::Ended, Turn::Ended) => Turn::Ended,
            (Turn::HasMore, _) | (_, Turn::HasMore) => Turn::HasMore,
            _ => Turn::Waits,
        }
    }
}

impl Direction {
    fn turn(&mut self, from: &File, to: &File, scratch: &mut [u8]) -> Turn {
        match self.go(from, to, scratch) {
            Ok(turn) => turn,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Turn::Waits,
            Err(_) => {
                // The other side takes nothing more: who writes is told, the other direction goes on.
                self.held = Vec::new();
                self.has_ended = true;
                let _ = sys::end_reading(from);
                let _ = sys::end_writing(to);
                Turn::Ended
            }
        }
    }

    fn go(&mut self, mut from: &File, mut to: &File, scratch: &mut [u8]) -> io::Result<Turn> {
        if self.has_ended {
            return Ok(Turn::Ended);
        }
        for _ in 0..READS_A_TURN {
            while !self.held.is_empty() {
                let taken = not_interrupted(|| to.write(&self.held))?;
                self.held.drain(..taken);
            }
            if self.is_at_end {
                self.has_ended = true;
                // A side that is gone needs no telling.
                let _ = sys::end_writing(to);
                return Ok(Turn::Ended);
            }
            let count = match not_interrupted(|| from.read(scratch)) {
                // A side that has broken off says nothing more.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
            self.is_at_end = count == 0;
            let bytes = &scratch[..count];
            let taken = match not_interrupted(|| if bytes.is_empty() { Ok(0) } else { to.write(bytes) }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                result => result?,
            };
            self.held = bytes[taken..].to_vec();
        }
        Ok(Turn::HasMore)
    }
}

fn not_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, File) {
        let (outer, inner) = UnixStream::pair().unwrap();
        inner.set_nonblocking(true).unwrap();
        (outer, File::from(OwnedFd::from(inner)))
    }

    #[test]
    fn bytes_and_ends_go_both_ways() {
        let ((mut host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        let mut relay = Relay::new(host_inner, guest_inner, b"first ".to_vec());
        let mut scratch = [0; 1000];
        host.write_all(b"second").unwrap();
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
        let mut relay = Relay::new(host_inner, guest_inner, Vec::new());
        let mut scratch = [0; 4096];
        let mut sent = 0_usize;
        while let Ok(count) = host.write(&[7; 4096]) {
            sent += count;
            relay.turn(&mut scratch);
        }
        assert!(relay.to_guest.held.len() <= 4096 && sent > 4096);
        drop(host);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            guest.read_to_end(&mut all).unwrap();
            all.len()
        });
        while relay.turn(&mut scratch) != Turn::Ended && !relay.to_guest.has_ended {
            std::thread::yield_now();
        }
        drop(relay);
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn a_side_that_is_gone_ends_both() {
        let ((host, host_inner), (mut guest, guest_inner)) = (pair(), pair());
        let mut relay = Relay::new(host_inner, guest_inner, Vec::new());
        drop(host);
        guest.write_all(b"nobody reads this").unwrap();
        let mut scratch = [0; 100];
        relay.turn(&mut scratch);
        drop(guest);
        assert_eq!(relay.turn(&mut scratch), Turn::Ended);
    }
}
