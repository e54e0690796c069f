//! Packets on a stream: two bytes of length, little endian, and that many bytes of one IP packet; both ways.
//!
//! Deliberately not here: what is in a packet.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// Longest packet, and the MTU of the machine's interface: the most that the length of IPv4 can say, since nothing but
/// memory is between the two ends.
pub const MTU: u16 = u16::MAX;

/// Bytes before each packet.
const LENGTH: usize = 2;

/// Bytes that are read at once; more than two of the longest packets.
const INBOX: usize = 256 << 10;

/// Bytes that may wait for the machine before connections are held back.
const OUTBOX: usize = 256 << 10;

/// What came of the stream and is not yet taken.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; INBOX], start: 0, end: 0 }
    }

    /// One that stands in for another for a moment.
    pub(super) fn empty() -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Where the next bytes go: never empty once every whole packet was taken.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.buffer[self.end..]
    }

    /// Says how many bytes were put there.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The next whole packet.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.buffer[self.start..self.end].split_first_chunk::<LENGTH>()?;
        let packet = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        self.start += LENGTH + packet.len();
        Some(packet)
    }
}

/// Packets on their way to the machine.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether more may be made. What answers a packet may be put in without asking: packets are taken only while
    /// there is room.
    pub(super) fn has_room(&self) -> bool {
        self.waiting() < OUTBOX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Puts a packet in that `write` makes. One that is too long for a length is left out.
    pub(super) fn push<R>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let start = self.bytes.len();
        let said = u16::try_from(length);
        self.bytes.extend(said.unwrap_or(0).to_le_bytes());
        self.bytes.resize(start + LENGTH + length, 0);
        let made = write(&mut self.bytes[start + LENGTH..]);
        if said.is_err() {
            self.bytes.truncate(start);
        }
        made
    }

    /// Writes what can be written without waiting.
    pub(super) fn flush(&mut self, stream: impl AsFd) -> io::Result<()> {
        while !self.is_empty() {
            match rustix::io::write(&stream, &self.bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= OUTBOX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// The packets that wait, for tests.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        let mut inbox = Inbox { end: self.bytes.len(), buffer: std::mem::take(&mut self.bytes), start: self.sent };
        self.sent = 0;
        std::iter::from_fn(|| inbox.next().map(<[u8]>::to_vec)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_come_out_as_they_went_in_however_the_stream_is_cut() {
        let mut outbox = Outbox::default();
        for length in [0_u8, 1, 200] {
            outbox.push(usize::from(length), |bytes| bytes.fill(length));
        }
        let stream = outbox.bytes.clone();
        let mut inbox = Inbox::new();
        let mut seen = Vec::new();
        for byte in stream {
            inbox.room()[0] = byte;
            inbox.filled(1);
            while let Some(packet) = inbox.next() {
                seen.push(packet.to_vec());
            }
        }
        assert_eq!(seen, [vec![], vec![1], vec![200; 200]]);
    }

    #[test]
    fn the_longest_packet_fits_and_a_longer_one_is_left_out() {
        let mut outbox = Outbox::default();
        outbox.push(usize::from(MTU), |bytes| bytes.fill(7));
        outbox.push(usize::from(MTU) + 1, |bytes| bytes.fill(8));
        assert_eq!(outbox.take(), [vec![7; usize::from(MTU)]]);
    }

    #[test]
    fn what_a_reader_does_not_take_waits_and_holds_back() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut outbox = Outbox::default();
        let mut packets = 0_u32;
        while outbox.has_room() {
            outbox.push(4, |bytes| bytes.copy_from_slice(&packets.to_le_bytes()));
            outbox.flush(&ours).unwrap();
            packets += 1;
        }
        let mut inbox = Inbox::new();
        let mut next = 0;
        while next < packets {
            let count = rustix::io::read(&theirs, inbox.room()).unwrap();
            inbox.filled(count);
            outbox.flush(&ours).unwrap();
            while let Some(packet) = inbox.next() {
                assert_eq!(packet, next.to_le_bytes());
                next += 1;
            }
        }
        assert!(outbox.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_inbox_stick(bytes in prop::collection::vec(any::<u8>(), 0..600_000)) {
            let mut inbox = Inbox::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let room = inbox.room();
                prop_assert!(!room.is_empty());
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                inbox.filled(count);
                while inbox.next().is_some() {}
            }
        }
    }
}
