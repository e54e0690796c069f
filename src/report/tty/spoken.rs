//! What steps and consoles print, as permanent lines above the block: `step │ text`, for who wants to see it all.
//!
//! Deliberately not here: what is in the block of it (`failure` keeps the last lines).

use std::collections::BTreeMap;

use crate::event::{OutputOf, Stream};
use crate::report::readable::readable;

/// Longest piece of a line that is held back while its end has not come.
const PARTIAL_LIMIT: usize = 64 * 1024;

/// Lines whose end has not come, by who prints them: steps before machines, then by name.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    open: BTreeMap<(bool, String, bool), Open>,
}

#[derive(Debug, Default)]
struct Open {
    prefix: String,
    bytes: Vec<u8>,
}

impl Spoken {
    /// Takes a chunk; its whole lines are added to `out`.
    pub(super) fn take(
        &mut self,
        of: &OutputOf,
        stream: Stream,
        bytes: &[u8],
        out: &mut String,
        prefix: impl FnOnce(&str) -> String,
    ) {
        let (is_machine, name) = match of {
            OutputOf::Step(name) => (false, name),
            OutputOf::Machine(name) => (true, name),
        };
        let open = self.open.entry((is_machine, name.clone(), stream == Stream::Stderr)).or_default();
        if open.prefix.is_empty() {
            open.prefix = prefix(name);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            open.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") || open.bytes.len() >= PARTIAL_LIMIT {
                open.end(out);
            }
        }
    }

    /// A step has ended: what was held back of its lines is added to `out`.
    pub(super) fn end(&mut self, step: &str, out: &mut String) {
        for is_error in [false, true] {
            if let Some(mut open) = self.open.remove(&(false, step.to_owned(), is_error)) {
                open.end(out);
            }
        }
    }

    /// All have ended.
    pub(super) fn end_all(&mut self, out: &mut String) {
        std::mem::take(&mut self.open).into_values().for_each(|mut open| open.end(out));
    }
}

impl Open {
    fn end(&mut self, out: &mut String) {
        if self.bytes.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.bytes);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Of what writes over itself, the last state is what a person would have seen.
        let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
        out.push_str(&self.prefix);
        out.push_str(&readable(last));
        out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_harmless() {
        let (mut spoken, mut out) = (Spoken::default(), String::new());
        let mut take = |stream, text: &str, out: &mut String| {
            let of = OutputOf::Step("a".to_owned());
            spoken.take(&of, stream, text.as_bytes(), out, |name| format!("{name} │ "));
        };
        take(Stream::Stdout, "one\ntw", &mut out);
        take(Stream::Stderr, "\x1b[2Joops\n", &mut out);
        take(Stream::Stdout, "o\r\n10%\r20%", &mut out);
        spoken.end("a", &mut out);
        assert_eq!(out, "a │ one\r\na │ oops\r\na │ two\r\na │ 20%\r\n");
    }
}
