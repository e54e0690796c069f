//! Writes cpio archives in the form that the kernel unpacks as its initial file system ("newc", no checksum).
//!
//! Deterministic: times are zero, inode numbers count up, all is owned by root.

use std::io::{self, Write};

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFCHR: u32 = 0o020_000;

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    out: W,
    inode: u32,
}

/// What an entry is, besides its name.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    mode: u32,
    links: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub(crate) fn new(out: W) -> Archive<W> {
        Archive { out, inode: 0 }
    }

    /// Adds a folder; parents come before what is in them.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(path, Entry { mode: S_IFDIR | mode, links: 2, ..Entry::default() }, &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, Entry { mode: S_IFREG | mode, links: 1, ..Entry::default() }, content)
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, path: &str, mode: u32, device: (u32, u32)) -> io::Result<()> {
        self.entry(path, Entry { mode: S_IFCHR | mode, links: 1, device }, &[])
    }

    /// Ends the archive. Another one may follow in the same file.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", Entry { links: 1, ..Entry::default() }, &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, entry: Entry, content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let size = u32::try_from(content.len()).map_err(too_long)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_long)?;
        self.inode += 1;
        let (major, minor) = entry.device;
        // Inode, mode, uid, gid, links, time, size, device of the file, device that it is, name, checksum.
        let fields = [self.inode, entry.mode, 0, 0, entry.links, 0, size, 0, 0, major, minor, name_size, 0];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(b"\0")?;
        self.pad(110 + path.len() + 1)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Name, mode, device, content.
    type ReadBack = (String, u32, (u32, u32), Vec<u8>);

    /// Reads archives back.
    pub(crate) fn read(mut bytes: &[u8]) -> Vec<ReadBack> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + index * 8..14 + index * 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            let start = (110 + name_size).next_multiple_of(4);
            let content = bytes[start..start + size].to_vec();
            entries.push((name, field(1), (field(9), field(10)), content));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
        entries
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(files in prop::collection::vec(("[a-z/.]{1,40}", 0..0o7777_u32, prop::collection::vec(any::<u8>(), 0..100)), 0..8)) {
            let mut archive = Archive::new(Vec::new());
            for (name, mode, content) in &files {
                archive.file(name, *mode, content).unwrap();
            }
            let bytes = archive.finish().unwrap();
            prop_assert_eq!(bytes.len() % 4, 0);
            let mut expected: Vec<_> = files.into_iter().map(|(name, mode, content)| (name, S_IFREG | mode, (0, 0), content)).collect();
            expected.push(("TRAILER!!!".to_owned(), 0, (0, 0), Vec::new()));
            prop_assert_eq!(read(&bytes), expected);
        }
    }

    #[test]
    fn devices_and_folders_have_their_types() {
        let mut archive = Archive::new(Vec::new());
        archive.folder("dev", 0o755).unwrap();
        archive.device("dev/console", 0o600, (5, 1)).unwrap();
        let entries = read(&archive.finish().unwrap());
        assert_eq!(entries[0], ("dev".to_owned(), 0o040_755, (0, 0), vec![]));
        assert_eq!(entries[1], ("dev/console".to_owned(), 0o020_600, (5, 1), vec![]));
    }
}
