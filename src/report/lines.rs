//! Output cut into lines: what is held back of a line until its end comes, for each stream of each step and machine.
//!
//! Deliberately not here: what a line is shown with.

use std::collections::BTreeMap;

use crate::event::{OutputOf, Stream};

/// Longest piece of a line that is held back while its end has not come.
const PARTIAL_LIMIT: usize = 64 * 1024;

/// Lines whose end has not come.
#[derive(Debug, Default)]
pub struct OutputLines {
    open: BTreeMap<Key, Vec<u8>>,
}

/// Steps before machines, then by name, then by stream.
type Key = (bool, String, u8);

fn key(of: &OutputOf, stream: Stream) -> Key {
    let (is_machine, name) = match of {
        OutputOf::Step(name) => (false, name),
        OutputOf::Machine(name) => (true, name),
    };
    let stream = match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Console => 2,
    };
    (is_machine, name.clone(), stream)
}

impl OutputLines {
    /// Takes a chunk; its whole lines are given to `say` without their ends.
    pub fn push(&mut self, of: &OutputOf, stream: Stream, bytes: &[u8], mut say: impl FnMut(&[u8])) {
        let open = self.open.entry(key(of, stream)).or_default();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = piece.ends_with(b"\n");
            if is_whole && open.is_empty() {
                say(without_end(piece));
                continue;
            }
            open.extend_from_slice(piece);
            if is_whole || open.len() >= PARTIAL_LIMIT {
                say(without_end(open));
                open.clear();
            }
        }
    }

    /// Gives what was held back of a stream.
    pub fn end(&mut self, of: &OutputOf, stream: Stream, say: impl FnOnce(&[u8])) {
        if let Some(open) = self.open.remove(&key(of, stream)).filter(|open| !open.is_empty()) {
            say(without_end(&open));
        }
    }

    /// Gives all that was held back, in a fixed order.
    pub fn end_all(&mut self, mut say: impl FnMut(&OutputOf, Stream, &[u8])) {
        for ((is_machine, name, stream), open) in std::mem::take(&mut self.open) {
            if open.is_empty() {
                continue;
            }
            let of = if is_machine { OutputOf::Machine(name) } else { OutputOf::Step(name) };
            let stream = [Stream::Stdout, Stream::Stderr].get(usize::from(stream)).copied();
            say(&of, stream.unwrap_or(Stream::Console), without_end(&open));
        }
    }
}

/// A line without its end, LF or CR LF.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Of what writes over itself, the last state: what a person would have seen.
pub(super) fn last_state(line: &[u8]) -> &[u8] {
    line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_cut_apart_and_the_rest_comes_at_the_end() {
        let mut lines = OutputLines::default();
        let mut said = Vec::new();
        let step = OutputOf::Step("a".to_owned());
        let mut push = |stream, text: &str, said: &mut Vec<String>| {
            lines.push(&step, stream, text.as_bytes(), |line| said.push(String::from_utf8_lossy(line).into_owned()));
        };
        push(Stream::Stdout, "one\ntw", &mut said);
        push(Stream::Stderr, "oops\n", &mut said);
        push(Stream::Stdout, "o\r\n\nend", &mut said);
        push(Stream::Stderr, "half", &mut said);
        assert_eq!(said, ["one", "oops", "two", ""]);
        let mut rest = Vec::new();
        lines.end(&step, Stream::Stderr, |line| rest.push(line.to_vec()));
        lines.end(&step, Stream::Stderr, |line| rest.push(line.to_vec()));
        lines.end_all(|of, stream, line| {
            assert_eq!((of, stream), (&step, Stream::Stdout));
            rest.push(line.to_vec());
        });
        assert_eq!(rest, [b"half".to_vec(), b"end".to_vec()]);
    }

    #[test]
    fn an_endless_line_is_given_in_pieces() {
        let mut lines = OutputLines::default();
        let mut longest = 0;
        for _ in 0..100 {
            let of = OutputOf::Machine("m".to_owned());
            lines.push(&of, Stream::Stdout, &[b'x'; 4096], |line| longest = longest.max(line.len()));
        }
        assert_eq!(longest, PARTIAL_LIMIT);
    }

    #[test]
    fn of_a_line_written_over_the_last_state_stays() {
        assert_eq!(last_state(b"10%\r20%"), b"20%");
        assert_eq!(last_state(b"plain"), b"plain");
    }
}
