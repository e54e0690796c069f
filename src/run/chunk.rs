//! Bytes of a stream, cut where a UTF-8 sequence ends, and the last lines of a console. The bytes come from the guest.

use std::collections::VecDeque;

/// Holds back the beginning of a UTF-8 sequence until the rest of it comes. What comes out is byte for byte what went
/// in; bytes that are no UTF-8 are not held.
#[derive(Debug, Default)]
pub(super) struct Utf8Chunks {
    held: Vec<u8>,
}

impl Utf8Chunks {
    /// Adds bytes and returns those that may go on, if any.
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let mut all = if self.held.is_empty() {
            bytes
        } else {
            let mut all = std::mem::take(&mut self.held);
            all.extend_from_slice(&bytes);
            all
        };
        self.held = all.split_off(all.len() - unfinished(&all));
        (!all.is_empty()).then_some(all)
    }

    /// What is still held, at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then_some(held)
    }
}

/// How many bytes at the end are the beginning of a UTF-8 sequence (0 to 3).
fn unfinished(bytes: &[u8]) -> usize {
    let window = &bytes[bytes.len().saturating_sub(3)..];
    (1..=window.len())
        .rev()
        .find(|length| {
            let tail = &window[window.len() - length..];
            std::str::from_utf8(tail).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

/// Bytes of a line that are held back.
const HELD_MAX: usize = 4096;

/// Holds back the beginning of a line until its end comes, so that the lines of two sources do not mix. What comes out
/// is byte for byte what went in; a line that is too long goes on in pieces.
#[derive(Debug, Default)]
pub(super) struct LineChunks {
    held: Vec<u8>,
}

impl LineChunks {
    /// Adds bytes and returns those that may go on, if any.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.held.extend_from_slice(bytes);
        let end = match self.held.iter().rposition(|byte| *byte == b'\n') {
            Some(place) => place + 1,
            None if self.held.len() > HELD_MAX => self.held.len() - unfinished(&self.held),
            None => 0,
        };
        let rest = self.held.split_off(end);
        let all = std::mem::replace(&mut self.held, rest);
        (!all.is_empty()).then_some(all)
    }

    /// What is still held, at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then_some(held)
    }
}

/// Lines that are kept.
const TAIL_LINES: usize = 20;
/// Characters of a line that are kept.
const LINE_MAX: usize = 300;

/// Who writes into a [`Tail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Console,
    Agent,
}

/// The last lines of a machine, without what steers a terminal.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    /// The line that has not ended, of each source.
    open: [Vec<u8>; 2],
}

impl Tail {
    /// Adds bytes.
    pub(super) fn push(&mut self, source: Source, bytes: &[u8]) {
        for byte in bytes {
            let open = &mut self.open[source as usize];
            match byte {
                b'\n' => {
                    let line = clean(&std::mem::take(open));
                    self.add(line);
                }
                _ if open.len() < LINE_MAX * 4 => open.push(*byte),
                _ => {}
            }
        }
    }

    /// The lines, also those that did not end; empty ones are left out.
    pub(super) fn lines(&self) -> Vec<String> {
        let open = self.open.iter().rev().map(|line| clean(line)).filter(|line| !line.is_empty());
        let all: Vec<String> = self.lines.iter().cloned().chain(open).collect();
        all[all.len().saturating_sub(TAIL_LINES)..].to_vec()
    }

    fn add(&mut self, line: String) {
        if line.is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// A line of the guest as text that is safe to show.
pub(super) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|letter| !letter.is_control() || *letter == '\t').take(LINE_MAX).collect();
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sequence_in_two_pieces_comes_out_whole() {
        let mut chunks = Utf8Chunks::default();
        assert_eq!(chunks.push(b"a\xe2\x82".to_vec()), Some(b"a".to_vec()));
        assert_eq!(chunks.push(b"\xac!".to_vec()), Some("€!".as_bytes().to_vec()));
        assert_eq!(chunks.finish(), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_not_held() {
        let mut chunks = Utf8Chunks::default();
        assert_eq!(chunks.push(vec![0xff]), Some(vec![0xff]));
        assert_eq!(chunks.push(vec![0x80, 0x80]), Some(vec![0x80, 0x80]));
        assert_eq!(chunks.push(vec![0xf0]), None);
        assert_eq!(chunks.finish(), Some(vec![0xf0]));
    }

    #[test]
    fn the_tail_holds_the_last_lines_without_escapes() {
        let mut tail = Tail::default();
        for number in 0..30 {
            tail.push(Source::Console, format!("\x1b[31mline {number}\r\n\r\n").as_bytes());
        }
        tail.push(Source::Console, b"open");
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "[31mline 11", "open"));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut tail = Tail::default();
        tail.push(Source::Console, &vec![b'x'; 1 << 20]);
        assert_eq!(tail.lines()[0].len(), LINE_MAX);
    }

    #[test]
    fn lines_of_two_sources_do_not_mix() {
        let mut tail = Tail::default();
        let mut chunks = [LineChunks::default(), LineChunks::default()];
        let mut out = Vec::new();
        for (source, text) in [
            (Source::Console, "on"),
            (Source::Agent, "two\nth"),
            (Source::Console, "e\nfour"),
            (Source::Agent, "ree\n"),
        ] {
            tail.push(source, text.as_bytes());
            out.extend(chunks[source as usize].push(text.as_bytes()).unwrap_or_default());
        }
        assert_eq!(tail.lines(), ["two", "one", "three", "four"]);
        assert_eq!(out, b"two\none\nthree\n");
        assert_eq!(chunks.map(|mut chunks| chunks.finish()), [Some(b"four".to_vec()), None]);
    }

    #[test]
    fn a_line_that_does_not_end_is_not_held_for_ever() {
        let mut chunks = LineChunks::default();
        assert_eq!(chunks.push(&[b'x'; HELD_MAX]), None);
        assert_eq!(chunks.push(b"\xe2\x82").map(|bytes| bytes.len()), Some(HELD_MAX));
        assert_eq!(chunks.push(b"\xac\n"), Some("€\n".into()));
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_stays_text_and_bytes_stay_bytes(
            text in "\\PC{0,40}", noise in prop::collection::vec(any::<u8>(), 0..20), cuts in prop::collection::vec(1usize..5, 1..60)
        ) {
            for (bytes, is_text) in [(text.into_bytes(), true), (noise, false)] {
                let mut chunks = Utf8Chunks::default();
                let mut out = Vec::new();
                let mut rest = bytes.as_slice();
                for cut in cuts.iter().cycle() {
                    if rest.is_empty() { break; }
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    rest = after;
                    if let Some(chunk) = chunks.push(piece.to_vec()) {
                        prop_assert!(!is_text || std::str::from_utf8(&chunk).is_ok());
                        out.extend(chunk);
                    }
                }
                out.extend(chunks.finish().unwrap_or_default());
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
