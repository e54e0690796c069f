//! The last lines of something that prints without end, in bounded memory: 20 lines of 1,000 bytes.
//!
//! A carriage return starts a line again, as on a terminal: of a progress bar the last state stays. Deliberately not
//! here: whose lines they are.

use std::collections::VecDeque;

use super::readable::readable;
use crate::event::Stream;

/// Lines that are kept.
pub(super) const LINES_KEPT: usize = 20;

/// Bytes of a line that are kept.
const LINE_BYTES_KEPT: usize = 1000;

/// The last lines of one step or machine.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// Unfinished lines of the two streams.
    partial: [Partial; 2],
}

/// A line whose end has not come.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// A carriage return came: what comes next, unless it is the end of the line, is written over the line.
    is_returned: bool,
}

impl Partial {
    /// Takes a piece without a line's end.
    fn push(&mut self, piece: &[u8]) {
        let mut segments = piece.split(|byte| *byte == b'\r');
        self.append(segments.next().unwrap_or_default());
        for segment in segments {
            self.is_returned = true;
            self.append(segment);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.is_returned) {
            self.bytes.clear();
        }
        let room = LINE_BYTES_KEPT.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Tail {
    /// Takes what a stream printed.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let slot = usize::from(stream == Stream::Stderr);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = &mut self.partial[slot];
            partial.push(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(partial).bytes;
                self.keep(line);
            }
        }
    }

    fn keep(&mut self, line: Vec<u8>) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines, at most so many, those without end among them, made harmless for a terminal.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let unfinished = self.partial.iter().map(|partial| &partial.bytes).filter(|bytes| !bytes.is_empty());
        let all: Vec<&Vec<u8>> = self.lines.iter().chain(unfinished).collect();
        all[all.len().saturating_sub(count.min(LINES_KEPT))..].iter().map(|line| readable(line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&str]) -> Vec<String> {
        let mut tail = Tail::default();
        pieces.iter().for_each(|piece| tail.push(Stream::Stdout, piece.as_bytes()));
        tail.last(LINES_KEPT)
    }

    #[test]
    fn a_carriage_return_writes_the_line_again() {
        assert_eq!(last(&["10%\r20%\r", "30%"]), ["30%"]);
        assert_eq!(last(&["10%\r"]), ["10%"]);
        assert_eq!(last(&["one\r\ntwo\r", "\n"]), ["one", "two"]);
    }

    #[test]
    fn one_endless_line_stays_within_its_bound() {
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.push(Stream::Stdout, &[b'x'; 65536]);
        }
        assert_eq!(tail.partial[0].bytes.len(), LINE_BYTES_KEPT);
        tail.push(Stream::Stdout, b"\rnew");
        assert_eq!(tail.last(1), ["new"]);
    }

    #[test]
    fn the_streams_do_not_mix_within_a_line() {
        let mut tail = Tail::default();
        tail.push(Stream::Stdout, b"out");
        tail.push(Stream::Stderr, b"err\n");
        tail.push(Stream::Stdout, b"put\n");
        assert_eq!(tail.last(5), ["err", "output"]);
    }
}
