//! What of a tree is not copied: sockets and devices, which are nothing in another place. Not here: who packs (`packing`).

use std::fmt::Display;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;

/// How many are named; of a folder as `/dev` nobody wants to read all.
const NAMED_MAX: usize = 10;

/// Entries that were passed over: the first ones by their names, the rest as a number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    named: Vec<String>,
    others: usize,
}

impl Skipped {
    /// Notes one; `kind` is what it is, as `a socket`.
    pub fn note(&mut self, path: impl Display, kind: &str) {
        if self.named.len() == NAMED_MAX {
            self.others += 1;
            return;
        }
        let line = format!("`{path}` is {kind}, which is not copied");
        // A line each, whatever the name.
        self.named.push(line.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect());
    }

    /// A remark a line.
    #[must_use]
    pub fn lines(self) -> Vec<String> {
        let Self { named: mut lines, others } = self;
        if others > 0 {
            lines.push(format!("{others} more such entries are not copied"));
        }
        lines
    }
}

/// What an entry is that is not copied.
pub(super) fn kind_of(found: FileType) -> Option<&'static str> {
    match found {
        _ if found.is_socket() => Some("a socket"),
        _ if found.is_char_device() => Some("a character device"),
        _ if found.is_block_device() => Some("a block device"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_are_named_a_line_each() {
        let mut skipped = Skipped::default();
        skipped.note("a\nb", "a socket");
        (0..20).for_each(|number| skipped.note(number, "a block device"));
        let lines = skipped.lines();
        assert_eq!(lines.len(), NAMED_MAX + 1);
        assert_eq!(lines[0], "`a\u{fffd}b` is a socket, which is not copied");
        assert_eq!(lines[NAMED_MAX], "11 more such entries are not copied");
    }
}
