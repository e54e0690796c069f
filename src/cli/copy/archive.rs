//! Tar archives on standard input and output: `cp -`, as docker has it.
//!
//! What a machine sends becomes an archive without touching a file here. What a tar archive says goes to the machine as a
//! parcel: entries in any order, folders that it does not name, further names of files. Deliberately not here: the parcel.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use tar::{Archive, Builder, Entry, EntryType, Header};

use crate::guest::{Bytes, Head, Part, Skipped};

/// Bytes of a piece of a file.
const PIECE: usize = 64 << 10;

/// Folders in each other.
const DEPTH_MAX: usize = 128;

/// What an archive that is packed begins with, and the program that unpacks it.
const PACKED: [(&[u8], &str); 3] =
    [(b"BZh", "bzip2 -d"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz -d"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd -d")];

/// Writes what a machine sends as an archive. `is_contents`: the entries of the folder, without its name before them.
pub(super) fn write(input: &mut dyn Read, is_contents: bool, out: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(out);
    let mut path = PathBuf::new();
    let mut depth = 0usize;
    loop {
        let part = Part::receive(input)?;
        if depth > DEPTH_MAX {
            return Err(wrong("too many folders in each other"));
        }
        match part {
            Part::Folder(head) => {
                path.push(if is_contents && depth == 0 { OsStr::new(".") } else { head.checked_name()? });
                depth += 1;
                archive.append_data(&mut header(&head, EntryType::Directory, 0), &path, io::empty())?;
            }
            Part::Leave if depth > 0 => {
                path.pop();
                depth -= 1;
            }
            Part::File(head) => {
                let path = path.join(head.checked_name()?);
                let mut header = header(&head, EntryType::Regular, head.size);
                let mut bytes = FileBytes { input: &mut *input, left: head.size, piece: Vec::new(), is_done: false };
                archive.append_data(&mut header, &path, &mut bytes)?;
                bytes.finish(&path.to_string_lossy())?;
            }
            Part::Link { head, target } => {
                let path = path.join(head.checked_name()?);
                let mut header = header(&head, EntryType::Symlink, 0);
                archive.append_link(&mut header, &path, OsStr::from_bytes(&target.0))?;
            }
            Part::Pipe(head) => {
                let path = path.join(head.checked_name()?);
                archive.append_data(&mut header(&head, EntryType::Fifo, 0), &path, io::empty())?;
            }
            Part::End if depth == 0 => return archive.into_inner()?.flush(),
            _ => return Err(wrong("what came is not a row of files")),
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn header(head: &Head, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Symlink { 0o777 } else { head.mode & 0o7777 });
    header.set_uid(head.uid.into());
    header.set_gid(head.gid.into());
    // An archive knows no time before 1970.
    header.set_mtime(u64::try_from(head.seconds).unwrap_or(0));
    header.set_size(size);
    header
}

/// The bytes of one file, as many as it said that it has.
struct FileBytes<'a> {
    input: &'a mut dyn Read,
    left: u64,
    piece: Vec<u8>,
    is_done: bool,
}

impl FileBytes<'_> {
    fn next(&mut self) -> io::Result<()> {
        match Part::receive(self.input)? {
            Part::Data(Bytes(bytes)) => self.piece = bytes,
            Part::Done => self.is_done = true,
            _ => return Err(wrong("what came is not a row of files")),
        }
        Ok(())
    }

    /// Passes over what a file has got since it was opened, as tar does.
    fn finish(mut self, path: &str) -> io::Result<()> {
        if self.left > 0 {
            return Err(wrong(&format!("`{path}` became shorter while it was read")));
        }
        while !self.is_done {
            self.next()?;
        }
        Ok(())
    }
}

impl Read for FileBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.left > 0 && !self.is_done {
            self.next()?;
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = buffer.len().min(self.piece.len()).min(left);
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece.drain(..count);
        self.left -= count as u64;
        Ok(count)
    }
}

/// Sends the entries of an archive, which may be packed by gzip. Devices are noted and passed over.
pub(super) fn read(input: impl Read, out: &mut dyn Write, skipped: &mut Skipped) -> io::Result<()> {
    let mut input = BufReader::with_capacity(PIECE, input);
    let start = input.fill_buf()?;
    if let Some((_, program)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(wrong(&format!("the archive is packed in a way that is not taken; `{program}` unpacks it")));
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        send_all(Archive::new(flate2::bufread::MultiGzDecoder::new(input)), out, skipped)
    } else {
        send_all(Archive::new(input), out, skipped)
    }
}

fn send_all(mut archive: Archive<impl Read>, out: &mut dyn Write, skipped: &mut Skipped) -> io::Result<()> {
    let mut walk = Walk { open: Vec::new(), out, skipped };
    Part::Folder(folder(b"contents")).send(walk.out)?;
    for entry in archive.entries()? {
        walk.entry(&mut entry?)?;
    }
    walk.enter(&[])?;
    Part::Leave.send(walk.out)?;
    Part::End.send(walk.out)?;
    walk.out.flush()
}

/// A folder that the archive does not name.
fn folder(name: &[u8]) -> Head {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
    Head { name: Bytes(name.to_vec()), mode: 0o755, uid: 0, gid: 0, size: 0, seconds, nanoseconds: 0 }
}

/// Where the parcel is, while entries come in any order.
struct Walk<'a> {
    /// Names of the folders that are open.
    open: Vec<Vec<u8>>,
    out: &'a mut dyn Write,
    skipped: &'a mut Skipped,
}

impl Walk<'_> {
    /// Goes to a folder; those that are not there yet are made.
    fn enter(&mut self, folders: &[Vec<u8>]) -> io::Result<()> {
        let common = self.open.iter().zip(folders).take_while(|(one, other)| one == other).count();
        for _ in common..self.open.len() {
            Part::Leave.send(self.out)?;
        }
        self.open.truncate(common);
        for name in &folders[common..] {
            Part::Folder(folder(name)).send(self.out)?;
            self.open.push(name.clone());
        }
        Ok(())
    }

    fn entry(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        let path = entry.path_bytes().into_owned();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.escape_ascii()));
        let names = components(&path).map_err(named)?;
        // The archive's own folder is the destination, which is there.
        let Some((name, above)) = names.split_last() else { return Ok(()) };
        let header = entry.header();
        let id = |id: io::Result<u64>| id.and_then(|id| u32::try_from(id).map_err(io::Error::other)).map_err(named);
        let head = Head {
            name: Bytes(name.clone()),
            mode: header.mode().map_err(named)? & 0o7777,
            uid: id(header.uid())?,
            gid: id(header.gid())?,
            size: entry.size(),
            seconds: i64::try_from(header.mtime().map_err(named)?).unwrap_or(0),
            nanoseconds: 0,
        };
        let target = entry.link_name_bytes().map(|target| target.into_owned());
        self.enter(above)?;
        match (kind, target) {
            (EntryType::Directory, _) => {
                Part::Folder(head).send(self.out)?;
                self.open.push(name.clone());
                Ok(())
            }
            (EntryType::Symlink, Some(target)) => Part::Link { head, target: Bytes(target) }.send(self.out),
            (EntryType::Link, Some(target)) => {
                let of = components(&target).map_err(named)?.into_iter().map(Bytes).collect();
                Part::Same { name: head.name, of }.send(self.out)
            }
            (EntryType::Fifo, _) => Part::Pipe(head).send(self.out),
            (EntryType::Char, _) => {
                self.skipped.note(path.escape_ascii(), "a character device");
                Ok(())
            }
            (EntryType::Block, _) => {
                self.skipped.note(path.escape_ascii(), "a block device");
                Ok(())
            }
            (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse, _) => self.file(head, entry),
            _ => Err(named(wrong("it is of a kind that is not known"))),
        }
    }

    fn file(&mut self, head: Head, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        Part::File(head).send(self.out)?;
        let mut piece = vec![0; PIECE];
        loop {
            match entry.read(&mut piece) {
                Ok(0) => return Part::Done.send(self.out),
                Ok(count) => Part::Data(Bytes(piece[..count].to_vec())).send(self.out)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The names of a path in an archive. A leading `/` means nothing there, as with tar.
fn components(path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let names: Vec<Vec<u8>> =
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect();
    match names.iter().any(|name| name == b".." || name.len() > 255 || name.contains(&0)) {
        false if names.len() <= DEPTH_MAX => Ok(names),
        false => Err(wrong("too many folders in each other")),
        true => Err(wrong("the name leads out of the archive, or is too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, size: u64) -> Head {
        let name = Bytes(name.as_bytes().to_vec());
        Head { name, mode: 0o4751, uid: 7, gid: 8, size, seconds: 9, nanoseconds: 0 }
    }

    fn row(parts: &[Part]) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| part.send(&mut bytes).unwrap());
        bytes
    }

    fn written(parts: &[Part], is_contents: bool) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        write(&mut &row(parts)[..], is_contents, &mut out).map(|()| out)
    }

    fn sent(archive: &[u8]) -> io::Result<Vec<Part>> {
        let mut bytes = Vec::new();
        read(archive, &mut bytes, &mut Skipped::default())?;
        let mut bytes = &bytes[..];
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            parts.push(Part::receive(&mut bytes).unwrap());
        }
        Ok(parts)
    }

    /// The parts in short, without the folder that holds all.
    fn shown(parts: &[Part]) -> String {
        let name = |head: &Head| String::from_utf8_lossy(&head.name.0).into_owned();
        let one = |part: &Part| match part {
            Part::Folder(head) => format!("{}/{:o}(", name(head), head.mode),
            Part::Leave => ") ".to_owned(),
            Part::File(head) => format!("{}:{}:{}=", name(head), head.uid, head.size),
            Part::Data(bytes) => String::from_utf8_lossy(&bytes.0).into_owned(),
            Part::Done => "; ".to_owned(),
            Part::Pipe(head) => format!("{}| ", name(head)),
            Part::Link { head, target } => format!("{}>{} ", name(head), String::from_utf8_lossy(&target.0)),
            Part::Same { name, of } => format!("{}=={} ", String::from_utf8_lossy(&name.0), of.len()),
            Part::End => String::new(),
        };
        parts[1..parts.len() - 2].iter().map(one).collect()
    }

    fn tree() -> Vec<Part> {
        let data = |text: &str| Part::Data(Bytes(text.as_bytes().to_vec()));
        let link = Part::Link { head: head("l", 0), target: Bytes(b"../out".to_vec()) };
        // The file has grown while it was read: as many bytes are taken as it said.
        let file = [Part::File(head("f", 3)), data("ab"), data("cd"), data("e"), Part::Done];
        let long = [Part::File(head(&"n".repeat(200), 0)), Part::Done];
        let mut parts = vec![Part::Folder(head("t", 0))];
        parts.extend(file.into_iter().chain([link]).chain(long));
        parts.extend([Part::Leave, Part::End]);
        parts
    }

    #[test]
    fn what_becomes_an_archive_is_the_same_when_it_is_read() {
        let long = "n".repeat(200);
        let archive = written(&tree(), false).unwrap();
        assert_eq!(shown(&sent(&archive).unwrap()), format!("t/4751(f:7:3=abc; l>../out {long}:7:0=; ) "));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&written(&tree(), true).unwrap()).unwrap();
        let contents = sent(&packed.finish().unwrap()).unwrap();
        assert_eq!(shown(&contents), format!("f:7:3=abc; l>../out {long}:7:0=; "));
    }

    #[test]
    fn a_machine_cannot_make_an_archive_of_names_that_lead_elsewhere_or_of_bytes_that_are_not_there() {
        for name in ["..", "a/b", "", "/x"] {
            written(&[Part::File(head(name, 0)), Part::Done, Part::End], false).unwrap_err();
        }
        let short = written(&[Part::File(head("f", 1 << 60)), Part::Done, Part::End], false).unwrap_err();
        assert_eq!(short.to_string(), "`f` became shorter while it was read");
        let deep: Vec<Part> = (0..200).map(|_| Part::Folder(head("d", 0))).collect();
        written(&deep, false).unwrap_err();
        written(&[Part::Leave], false).unwrap_err();
        written(&[Part::Folder(head("d", 0)), Part::End], false).unwrap_err();
        assert_eq!(written(&[], false).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn entries_come_in_any_order_and_without_their_folders() {
        let mut archive = Builder::new(Vec::new());
        let mut add = |path: &str, kind, target: &str| {
            let mut header = header(&head("", 0), kind, 0);
            match target {
                "" => archive.append_data(&mut header, path, io::empty()).unwrap(),
                target => archive.append_link(&mut header, path, target).unwrap(),
            }
        };
        add("a/b/one", EntryType::Regular, "");
        add("./two", EntryType::Regular, "");
        add("a/b", EntryType::Directory, "");
        add("a/b/again", EntryType::Link, "./two");
        let parts = sent(&archive.into_inner().unwrap()).unwrap();
        assert_eq!(shown(&parts), "a/755(b/755(one:7:0=; ) ) two:7:0=; a/755(b/4751(again==1 ) ) ");
    }

    #[test]
    fn pipes_come_along_and_devices_are_named() {
        let mut archive = Builder::new(Vec::new());
        for (name, kind) in [("pipe", EntryType::Fifo), ("tty", EntryType::Char), ("disk", EntryType::Block)] {
            archive.append_data(&mut header(&head("", 0), kind, 0), name, io::empty()).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        assert_eq!(shown(&sent(&archive).unwrap()), "pipe| ");
        let mut skipped = Skipped::default();
        read(&archive[..], &mut Vec::new(), &mut skipped).unwrap();
        let lines =
            ["`tty` is a character device, which is not copied", "`disk` is a block device, which is not copied"];
        assert_eq!(skipped.lines(), lines);
        let pipe = written(&[Part::Folder(head("t", 0)), Part::Pipe(head("p", 0)), Part::Leave, Part::End], false);
        assert_eq!(shown(&sent(&pipe.unwrap()).unwrap()), "t/4751(p| ) ");
    }

    #[test]
    fn what_is_no_archive_or_cannot_be_taken_is_told() {
        assert!(sent(b"BZh9").unwrap_err().to_string().contains("`bzip2 -d` unpacks it"));
        sent(&[7; 2048]).unwrap_err();
        for (path, is_one) in [("a/../b", false), ("..", false), ("/etc//x/.", true)] {
            assert_eq!(components(path.as_bytes()).is_ok(), is_one, "{path}");
        }
    }
}
