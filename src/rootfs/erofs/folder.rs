//! A folder's content: blocks of entries, the names behind them, all in the order of their bytes.
//!
//! ```text
//! block: entry, entry, …, name, name, …        entry: number of the inode (8), offset of the name (2), type (1), 0
//! ```

use super::BLOCK;
use super::error::{ErofsError, damaged};

/// Size of an entry (`erofs_dirent`).
const ENTRY_BYTES: usize = 12;

/// Longest name.
const NAME_MAX: usize = 255;

/// A name of a folder.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    /// Inode of the tree.
    pub(super) inode: u32,
}

/// The names of a folder in the order of the disk, and how they share its blocks.
pub(super) struct Folder<'a> {
    entries: Vec<Entry<'a>>,
    /// Where in `entries` each block begins.
    starts: Vec<usize>,
    /// Bytes of the last block that are used.
    tail: usize,
}

impl<'a> Folder<'a> {
    /// A folder of these names, itself and the one that it is in.
    pub(super) fn new(own: u32, parent: u32, names: &'a [(Vec<u8>, u32)]) -> Result<Self, ErofsError> {
        let dots = [Entry { name: b".", inode: own }, Entry { name: b"..", inode: parent }];
        let mut entries: Vec<Entry<'_>> = dots.into_iter().collect();
        for (name, inode) in names {
            if name.is_empty() || name.len() > NAME_MAX || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                return Err(damaged("a folder has what is not a name"));
            }
            entries.push(Entry { name, inode: *inode });
        }
        // The kernel searches by halves, the dots among the others.
        entries.sort_unstable_by_key(|entry| entry.name);
        if entries.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(damaged("a folder has a name twice"));
        }
        let (mut starts, mut tail) = (vec![0], 0);
        for (place, entry) in entries.iter().enumerate() {
            let size = ENTRY_BYTES + entry.name.len();
            if tail + size > BLOCK {
                starts.push(place);
                tail = 0;
            }
            tail += size;
        }
        Ok(Self { entries, starts, tail })
    }

    /// Length of the content: all blocks but the last are whole.
    pub(super) fn length(&self) -> u64 {
        u64::try_from((self.starts.len() - 1) * BLOCK + self.tail).unwrap_or(u64::MAX)
    }

    /// The content. `look_up` gives number and type of an inode.
    pub(super) fn render(&self, look_up: impl Fn(u32) -> Option<(u64, u8)>) -> Result<Vec<u8>, ErofsError> {
        let mut bytes = Vec::new();
        let ends = self.starts.iter().skip(1).copied().chain([self.entries.len()]);
        for (start, end) in self.starts.iter().copied().zip(ends) {
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            let entries = &self.entries[start..end];
            let mut offset = entries.len() * ENTRY_BYTES;
            for entry in entries {
                let (number, kind) =
                    look_up(entry.inode).ok_or(damaged("a folder names an inode that is not there"))?;
                bytes.extend(number.to_le_bytes());
                bytes.extend(u16::try_from(offset).unwrap_or(u16::MAX).to_le_bytes());
                bytes.extend([kind, 0]);
                offset += entry.name.len();
            }
            entries.iter().for_each(|entry| bytes.extend(entry.name));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<(Vec<u8>, u32)> {
        names.iter().zip(2..).map(|(name, inode)| (name.as_bytes().to_vec(), inode)).collect()
    }

    #[test]
    fn dots_have_their_place_among_the_names() {
        let names = names(&["-x", ".-", ".a", "a"]);
        let folder = Folder::new(0, 1, &names).unwrap();
        let order: Vec<_> = folder.entries.iter().map(|entry| str::from_utf8(entry.name).unwrap()).collect();
        assert_eq!(order, ["-x", ".", ".-", "..", ".a", "a"]);
    }

    #[test]
    fn an_entry_says_where_its_name_is() {
        let names = names(&["bin"]);
        let folder = Folder::new(0, 1, &names).unwrap();
        let bytes = folder.render(|inode| Some((u64::from(inode) + 100, 2))).unwrap();
        let mut expected = Vec::new();
        for (number, offset) in [(100_u64, 36_u16), (101, 37), (102, 39)] {
            expected.extend(number.to_le_bytes());
            expected.extend(offset.to_le_bytes());
            expected.extend([2, 0]);
        }
        expected.extend(b"...bin");
        assert_eq!(bytes, expected);
        assert_eq!(folder.length(), 42);
    }

    #[test]
    fn names_that_no_folder_has_are_damage() {
        for list in [&["a/b"][..], &[""], &["a\0"], &["."], &[".."], &["a", "a"], &[&"x".repeat(256)]] {
            assert!(Folder::new(0, 0, &names(list)).is_err(), "{list:?}");
        }
        assert!(Folder::new(0, 0, &names(&[&"x".repeat(255)])).is_ok());
    }
}
