//! An archive that is to be read into a volume, looked through to its end before any of it is: what is no tar archive, or not
//! a whole one, changes nothing.
//!
//! A file is read twice. What comes through a pipe is kept in a file without a name meanwhile. Deliberately not here: what is
//! done with it (`copy`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use tar::Archive;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// What packed archives begin with, and the program that unpacks each.
const PACKED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "gzip -d"),
    (b"BZh", "bzip2 -d"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "xz -d"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -d"),
];

/// Two blocks of zeros end an archive; one is enough to find its end.
const END: [u8; 1024] = [0; 1024];

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("standard input is empty, which is no tar archive")]
    Empty,
    #[error("standard input is a packed archive")]
    Packed {
        /// What unpacks it.
        program: &'static str,
    },
    #[error("standard input is no tar archive")]
    NoTar(#[source] io::Error),
    #[error("the archive is damaged behind `{behind}`")]
    Damaged { behind: String, source: io::Error },
    #[error("the archive is not whole: it ends behind the beginning of `{behind}`")]
    Short { behind: String },
    #[error("standard input cannot be read")]
    Read(#[source] io::Error),
    #[error("there is no place to keep the archive while it is looked through")]
    Keep(#[source] io::Error),
}

/// Looks an archive through, and gives a file that is at its beginning. `unnamed` makes a file for what can be read only once.
pub(super) fn whole(mut input: File, unnamed: impl FnOnce() -> io::Result<File>) -> Result<File, ArchiveError> {
    if input.metadata().is_ok_and(|found| found.is_file()) {
        let start = input.stream_position().map_err(ArchiveError::Read)?;
        check(&input)?;
        input.seek(SeekFrom::Start(start)).map_err(ArchiveError::Read)?;
        return Ok(input);
    }
    let mut kept = unnamed().map_err(ArchiveError::Keep)?;
    let mut copy = Kept { input: &input, to: &kept, failed: None };
    let checked = check(&mut copy);
    if let Some(error) = copy.failed {
        return Err(ArchiveError::Keep(error));
    }
    checked?;
    // Who writes the archive has some more zeros, and is not to be told that nobody reads on.
    io::copy(&mut input, &mut io::sink()).map_err(ArchiveError::Read)?;
    kept.write_all(&END).and_then(|()| kept.rewind()).map_err(ArchiveError::Keep)?;
    Ok(kept)
}

/// What is read, which is written to a file too.
struct Kept<'a> {
    input: &'a File,
    to: &'a File,
    failed: Option<io::Error>,
}

impl Read for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if let Err(error) = self.to.write_all(&buffer[..count]) {
            self.failed = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }
}

/// What is read, with whether its end was met.
struct Met<R> {
    input: R,
    is_end: bool,
}

impl<R: Read> Read for Met<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.is_end |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

/// Reads every header to the end of the archive.
fn check(input: impl Read) -> Result<(), ArchiveError> {
    let mut input = BufReader::with_capacity(PIECE, input);
    let start = input.fill_buf().map_err(ArchiveError::Read)?;
    if start.is_empty() {
        return Err(ArchiveError::Empty);
    }
    if let Some((_, program)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(ArchiveError::Packed { program });
    }
    let mut met = Met { input, is_end: false };
    let mut behind = None;
    let walked = walk(&mut Archive::new(&mut met), &mut behind);
    match (walked, behind, met.is_end) {
        (Ok(()), _, false) => Ok(()),
        (Ok(()) | Err(_), Some(behind), true) => Err(ArchiveError::Short { behind }),
        (Err(source), Some(behind), false) => Err(ArchiveError::Damaged { behind, source }),
        (Err(source), None, _) => Err(ArchiveError::NoTar(source)),
        (Ok(()), None, true) => Err(ArchiveError::NoTar(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Goes from entry to entry; `behind` is the last one. What is in them is passed over.
fn walk(archive: &mut Archive<impl Read>, behind: &mut Option<String>) -> io::Result<()> {
    for entry in archive.entries()? {
        *behind = Some(entry?.path_bytes().escape_ascii().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (name, size) in [("a", 700), ("b", 0), (&"n".repeat(180)[..], 2000)] {
            let mut header = Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, io::repeat(b'x').take(size)).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn said(bytes: &[u8]) -> String {
        check(bytes).err().map_or_else(|| "whole".to_owned(), |error| error.to_string())
    }

    #[test]
    fn what_is_no_archive_or_not_a_whole_one_is_told() {
        let whole = archive();
        assert_eq!(said(&whole), "whole");
        assert_eq!(said(&END), "whole", "one without entries");
        assert_eq!(said(b""), "standard input is empty, which is no tar archive");
        for bytes in [&b"text"[..], &[7; 4096], &whole[..100]] {
            assert_eq!(said(bytes), "standard input is no tar archive");
        }
        for (magic, _) in PACKED {
            assert_eq!(said(&[magic, &[1; 600]].concat()), "standard input is a packed archive");
        }
        // Cut off anywhere it is not whole, also between two entries.
        for length in [512, 600, 1536, 1600, 2048, 3000, whole.len() - 1024, whole.len() - 1100] {
            let text = said(&whole[..length]);
            assert!(
                text.starts_with("the archive is not whole: it ends behind the beginning of `"),
                "{length}: {text}"
            );
        }
        let mut damaged = whole.clone();
        damaged[1536 + 5] ^= 1;
        assert_eq!(said(&damaged), "the archive is damaged behind `a`");
    }

    #[test]
    fn a_pipe_is_kept_and_a_file_is_at_its_beginning_again() {
        let (reader, mut writer) = io::pipe().unwrap();
        let bytes = archive();
        let sent = bytes.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.write_all(&[0; 70_000])));
        let reader = File::from(std::os::fd::OwnedFd::from(reader));
        let mut kept = whole(reader, tempfile::tempfile).unwrap();
        writing.join().unwrap().unwrap();
        let mut text = Vec::new();
        kept.read_to_end(&mut text).unwrap();
        assert!(text.starts_with(&bytes) && text.len() >= bytes.len());
        kept.seek(SeekFrom::Start(0)).unwrap();
        let mut again = whole(kept, || panic!("a file needs none")).unwrap();
        let mut first = [0; 1];
        again.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"a");
    }
}
