//! Files on their way between host and guest: one entry with all below it, as a row of frames.
//!
//! ```text
//! Folder [entries…] Leave │ File Data… Done │ Link        … End
//! ```
//!
//! Both ends are the same code. Who unpacks trusts nothing: a name is one component, each folder is opened below the one
//! before without following links, depths and lengths have limits. Blocks of zeros are not written, so that a file with
//! holes takes no more than it did. Where it ends midway, folders are left as if it had not, and no half of a file. Owners
//! are those of who unpacks, unless others are asked for. Deliberately not here: the frames (`part`), what carries the bytes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::bytes::Bytes;
use crate::part::{DEPTH_MAX, Head, Part, at, checked, malformed};

/// Where a parcel goes.
#[derive(Debug, Clone)]
pub struct Destination<'a> {
    /// The place. A folder that is there takes the entry by its name; else the entry gets this name.
    pub path: &'a Path,
    /// Whether a folder's entries are wanted in the place, instead of the folder.
    pub is_contents: bool,
    /// Which bits of modes are kept.
    pub mode_mask: u32,
    /// Whether entries belong to whom they belonged to, instead of who unpacks.
    pub has_owners: bool,
    /// Whether the sender is trusted with further names of files.
    pub is_trusted: bool,
}

/// Takes what [`pack`] sent.
///
/// # Errors
/// What cannot be made, by its path; a parcel that is not whole or no parcel.
pub fn unpack(to: &Destination<'_>, input: &mut dyn Read) -> io::Result<()> {
    let first = Part::receive(input)?;
    let name = match &first {
        Part::Folder(head) | Part::File(head) | Part::Pipe(head) | Part::Link { head, .. } => head.checked_name()?,
        _ => return Err(malformed()),
    };
    let is_folder_there = fs::metadata(to.path).is_ok_and(|found| found.is_dir());
    let is_named = to.path.as_os_str().as_bytes().ends_with(b"/");
    let is_folder = matches!(first, Part::Folder(_));
    if is_named && !is_folder_there && !is_folder {
        return Err(at(to.path, Errno::NOENT.into()));
    }
    let (parent, name) = if is_folder_there && to.is_contents && is_folder {
        (to.path.to_owned(), None)
    } else if is_folder_there {
        (to.path.to_owned(), Some(name.to_owned()))
    } else {
        let parent = to.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (parent.to_owned(), to.path.file_name().map(OsStr::to_owned))
    };
    let opened = rustix::fs::open(&parent, FOLDER, Mode::empty()).map_err(|error| at(&parent, error.into()))?;
    let mut place = Place { folders: vec![(opened, None)], path: parent, to };
    let taken = place.take_all(first, name.as_deref(), input);
    if taken.is_err() {
        place.give_up();
    }
    taken
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn renamed(part: Part, to: &OsStr) -> Part {
    let name = Bytes(to.as_bytes().to_vec());
    match part {
        Part::Folder(head) => Part::Folder(Head { name, ..head }),
        Part::File(head) => Part::File(Head { name, ..head }),
        Part::Pipe(head) => Part::Pipe(Head { name, ..head }),
        Part::Link { head, target } => Part::Link { head: Head { name, ..head }, target },
        part => part,
    }
}

/// Where entries are made: the folders that are open, the innermost last, each with what it gets when it is left.
struct Place<'a> {
    folders: Vec<(OwnedFd, Option<Head>)>,
    /// Path of the innermost, to be told.
    path: PathBuf,
    to: &'a Destination<'a>,
}

impl Place<'_> {
    /// Takes a whole parcel, whose first part gets this name.
    fn take_all(&mut self, first: Part, name: Option<&OsStr>, input: &mut dyn Read) -> io::Result<()> {
        match (first, name) {
            (Part::Folder(_), None) => self.again()?,
            (first, Some(name)) => self.take(renamed(first, name), input)?,
            (_, None) => return Err(malformed()),
        }
        loop {
            match Part::receive(input)? {
                Part::End if self.folders.len() == 1 => return Ok(()),
                // One entry is a parcel.
                _ if self.folders.len() == 1 => return Err(malformed()),
                part => self.take(part, input)?,
            }
        }
    }

    /// What was begun is to look as if it were whole: nothing more comes.
    fn give_up(&mut self) {
        while self.folders.len() > 1 {
            // The failure that is told is the one that ended it all.
            let _ = self.leave();
        }
    }

    fn take(&mut self, part: Part, input: &mut dyn Read) -> io::Result<()> {
        match part {
            Part::Folder(head) => self.enter(head),
            Part::Leave => self.leave(),
            Part::File(head) => self.file(&head, input),
            Part::Link { head, target } => self.link(&head, &target),
            Part::Pipe(head) => self.pipe(&head),
            Part::Same { name, of } => self.same(&name, &of),
            Part::Data(_) | Part::Done | Part::End => Err(malformed()),
        }
    }

    fn innermost(&self) -> io::Result<&OwnedFd> {
        self.folders.last().map(|(folder, _)| folder).ok_or_else(malformed)
    }

    /// The first folder takes the entries itself.
    fn again(&mut self) -> io::Result<()> {
        let folder = self.innermost()?.try_clone()?;
        self.folders.push((folder, None));
        self.path.push(".");
        Ok(())
    }

    fn enter(&mut self, head: Head) -> io::Result<()> {
        let name = head.checked_name()?.to_owned();
        let path = self.path.join(&name);
        let failed = |error: Errno| at(&path, error.into());
        if self.folders.len() > DEPTH_MAX {
            return Err(at(&path, io::Error::other("too many folders in each other")));
        }
        let above = self.innermost()?;
        // Whoever is killed before it leaves it has not shut others out.
        let mode = Mode::from_raw_mode(head.mode & self.to.mode_mask & 0o777) | Mode::RWXU;
        let is_new = match rustix::fs::mkdirat(above, &name, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(failed(error)),
        };
        let folder = rustix::fs::openat(above, &name, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        self.folders.push((folder, is_new.then_some(head)));
        self.path = path;
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        let (folder, head) = self.folders.pop().filter(|_| !self.folders.is_empty()).ok_or_else(malformed)?;
        if let Some(head) = head {
            self.finish(&folder, &head).map_err(|error| at(&self.path, error.into()))?;
        }
        self.path.pop();
        Ok(())
    }

    fn file(&self, head: &Head, input: &mut dyn Read) -> io::Result<()> {
        let name = head.checked_name()?;
        let path = self.path.join(name);
        let failed = |error| at(&path, error);
        self.clear(name).map_err(|error| failed(error.into()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.innermost()?, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|error| failed(error.into()))?);
        let filled = fill(&mut file, &path, input);
        if filled.is_err() {
            // Half a file would look like a whole one.
            let _ = self.clear(name);
        }
        filled?;
        self.finish(&file.into(), head).map_err(|error| failed(error.into()))
    }

    fn pipe(&self, head: &Head) -> io::Result<()> {
        let name = head.checked_name()?;
        let failed = |error: Errno| at(&self.path.join(name), error.into());
        self.clear(name).map_err(failed)?;
        let folder = self.innermost()?;
        rustix::fs::mknodat(folder, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(failed)?;
        // To read, and without waiting: nobody who writes is needed for it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let pipe = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(failed)?;
        // Others may write to the folder, and have put something else there.
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&pipe).map_err(failed)?.st_mode);
        if kind == FileType::Fifo { self.finish(&pipe, head).map_err(failed) } else { Ok(()) }
    }

    fn link(&self, head: &Head, target: &Bytes) -> io::Result<()> {
        let name = head.checked_name()?;
        let failed = |error: Errno| at(&self.path.join(name), error.into());
        self.clear(name).map_err(failed)?;
        let folder = self.innermost()?;
        rustix::fs::symlinkat(OsStr::from_bytes(&target.0), folder, name).map_err(failed)?;
        if self.to.has_owners {
            let (user, group) = (Uid::from_raw(head.uid), Gid::from_raw(head.gid));
            rustix::fs::chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        Ok(())
    }

    /// Another name of a file below the outermost folder; nothing is followed on the way to it.
    fn same(&self, name: &Bytes, of: &[Bytes]) -> io::Result<()> {
        let Some((last, above)) = of.split_last().filter(|_| self.to.is_trusted && of.len() <= DEPTH_MAX) else {
            return Err(malformed());
        };
        let (name, last) = (checked(name)?, checked(last)?);
        let failed = |error: Errno| at(&self.path.join(name), error.into());
        // Behind the folder that the parcel goes to.
        let (outermost, _) = self.folders.get(1).ok_or_else(malformed)?;
        let mut folder = outermost.try_clone()?;
        for component in above {
            let component = checked(component)?;
            folder =
                rustix::fs::openat(&folder, component, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        }
        self.clear(name).map_err(failed)?;
        rustix::fs::linkat(&folder, last, self.innermost()?, name, AtFlags::empty()).map_err(failed)
    }

    /// Takes away what has the name, unless it is a folder.
    fn clear(&self, name: &OsStr) -> Result<(), Errno> {
        let Ok(folder) = self.innermost() else { return Err(Errno::BADF) };
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn finish(&self, file: &OwnedFd, head: &Head) -> Result<(), Errno> {
        if self.to.has_owners {
            // Before the mode: a change of the owner takes setuid away.
            rustix::fs::fchown(file, Some(Uid::from_raw(head.uid)), Some(Gid::from_raw(head.gid)))?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(head.mode & self.to.mode_mask & 0o7777))?;
        rustix::fs::futimens(file, &head.times())
    }
}

/// Writes the bytes that come, with holes where there are zeros.
fn fill(file: &mut File, path: &Path, input: &mut dyn Read) -> io::Result<()> {
    let failed = |error| at(path, error);
    let mut length = 0u64;
    loop {
        match Part::receive(input)? {
            Part::Data(Bytes(bytes)) => {
                if bytes.iter().all(|byte| *byte == 0) {
                    let count = i64::try_from(bytes.len()).map_err(|_| malformed())?;
                    file.seek(SeekFrom::Current(count)).map_err(failed)?;
                } else {
                    file.write_all(&bytes).map_err(failed)?;
                }
                length = length.saturating_add(bytes.len() as u64);
            }
            Part::Done => return file.set_len(length).map_err(failed),
            _ => return Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::packing::pack;
    use crate::part::PIECE;
    use crate::skipped::Skipped;
    use std::os::unix::fs::MetadataExt as _;

    fn head(name: &str) -> Head {
        Head {
            name: Bytes(name.as_bytes().to_vec()),
            mode: 0o6755,
            uid: 4242,
            gid: 4343,
            size: 0,
            seconds: 1,
            nanoseconds: i64::MAX,
        }
    }

    fn row(parts: &[Part]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in parts {
            part.send(&mut bytes).unwrap();
        }
        bytes
    }

    fn destination(path: &Path) -> Destination<'_> {
        Destination { path, is_contents: false, mode_mask: 0o777, has_owners: false, is_trusted: false }
    }

    fn take(to: &Path, bytes: &[u8]) -> io::Result<()> {
        unpack(&destination(to), &mut &*bytes)
    }

    #[test]
    fn tree_arrives_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("in")).unwrap();
        let mut content = vec![0; 3 * PIECE];
        content[PIECE + 5] = 7;
        fs::write(from.join("in/holes"), &content).unwrap();
        fs::set_permissions(from.join("in"), fs::Permissions::from_mode(0o500)).unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        let mut bytes = Vec::new();
        pack(&from, false, &mut bytes, &mut Skipped::default()).unwrap();
        let to = folder.path().join("to");
        take(&to, &bytes).unwrap();
        assert_eq!(fs::read(to.join("in/holes")).unwrap(), content);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/nowhere"));
        let (was, is) = (fs::metadata(from.join("in")).unwrap(), fs::metadata(to.join("in")).unwrap());
        assert_eq!((was.mode(), was.mtime(), was.mtime_nsec()), (is.mode(), is.mtime(), is.mtime_nsec()));
        // A folder that is there takes it by its name, and its entries where they alone are wanted.
        take(&to, &bytes).unwrap();
        assert!(to.join("from/in/holes").exists());
        let flat = folder.path().join("flat");
        fs::create_dir(&flat).unwrap();
        unpack(&Destination { is_contents: true, ..destination(&flat) }, &mut &bytes[..]).unwrap();
        assert!(flat.join("in/holes").exists());
        for at in [&from, &to, &flat, &to.join("from")] {
            fs::set_permissions(at.join("in"), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn a_pipe_arrives_and_what_is_nothing_elsewhere_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("in")).unwrap();
        let pipe = from.join("in/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::set_permissions(&pipe, fs::Permissions::from_mode(0o622)).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(from.join("in/socket")).unwrap();
        fs::write(from.join("in/text"), "text").unwrap();
        let (mut bytes, mut skipped) = (Vec::new(), Skipped::default());
        pack(&from, false, &mut bytes, &mut skipped).unwrap();
        let path = from.join("in/socket");
        assert_eq!(skipped.lines(), [format!("`{}` is a socket, which is not copied", path.display())]);
        // What has the name makes way, but for a folder.
        fs::create_dir_all(to.join("from/in")).unwrap();
        fs::write(to.join("from/in/pipe"), "in its place").unwrap();
        take(&to, &bytes).unwrap();
        let (was, is) = (fs::metadata(&pipe).unwrap(), fs::metadata(to.join("from/in/pipe")).unwrap());
        assert_eq!((was.mode(), was.mtime(), was.mtime_nsec()), (is.mode(), is.mtime(), is.mtime_nsec()));
        assert_eq!(fs::read_to_string(to.join("from/in/text")).unwrap(), "text");
        assert!(!to.join("from/in/socket").exists());
        // It alone cannot be copied.
        let error = pack(&path, false, &mut Vec::new(), &mut Skipped::default()).unwrap_err().to_string();
        assert!(error.ends_with("it is a socket, which is not copied"), "{error}");
        drop(socket);
    }

    #[test]
    fn where_it_ends_midway_folders_are_whole_and_no_half_of_a_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("to");
        let folder_of = |name: &str, mode| Part::Folder(Head { mode, ..head(name) });
        let parts = [
            folder_of("t", 0o755),
            folder_of("in", 0o750),
            Part::File(head("half")),
            Part::Data(Bytes(b"half".to_vec())),
        ];
        take(&to, &row(&parts)).unwrap_err();
        for (path, mode) in [(to.clone(), 0o755), (to.join("in"), 0o750)] {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.mode() & 0o7777, found.mtime()), (mode, 1), "{}", path.display());
        }
        assert!(!to.join("in/half").exists());
    }

    #[test]
    fn nothing_leaves_the_destination() {
        let folder = tempfile::tempdir().unwrap();
        let (outside, to) = (folder.path().join("outside"), folder.path().join("to"));
        fs::create_dir(&outside).unwrap();
        fs::create_dir(&to).unwrap();
        for name in ["..", ".", "", "a/b", "../x", "/x", "a\0b", &"n".repeat(256)] {
            let parts = [Part::Folder(head("t")), Part::File(head(name)), Part::Done, Part::Leave, Part::End];
            take(&to, &row(&parts)).unwrap_err();
            take(&to, &row(&[Part::File(head(name)), Part::Done, Part::End])).unwrap_err();
        }
        // A link is not entered, and a file is made in its place, not where it leads.
        let link = || Part::Link { head: head("l"), target: Bytes(outside.as_os_str().as_bytes().to_vec()) };
        take(&to, &row(&[Part::Folder(head("t")), link(), Part::Folder(head("l"))])).unwrap_err();
        let parts = [Part::Folder(head("t")), link(), Part::File(head("l")), Part::Done, Part::Leave, Part::End];
        take(&to, &row(&parts)).unwrap();
        assert!(fs::symlink_metadata(to.join("t/l")).unwrap().is_file());
        assert_eq!(fs::metadata(to.join("t/l")).unwrap().mode() & 0o7777, 0o755, "no setuid bit comes along");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_followed_where_it_is_the_source_and_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, to) = (folder.path().join("file"), folder.path().join("link"), folder.path().join("to"));
        fs::write(&file, "text").unwrap();
        symlink("file", &link).unwrap();
        for (is_followed, is_link) in [(false, true), (true, false)] {
            let mut bytes = Vec::new();
            pack(&link, is_followed, &mut bytes, &mut Skipped::default()).unwrap();
            take(&to, &bytes).unwrap();
            assert_eq!(fs::symlink_metadata(&to).unwrap().is_symlink(), is_link);
        }
        assert_eq!(fs::read_to_string(&to).unwrap(), "text");
    }

    #[test]
    fn another_name_is_made_only_for_who_is_trusted_and_of_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("out/secret"), "").unwrap();
        let to = folder.path().join("to");
        let bytes = |text: &str| Bytes(text.as_bytes().to_vec());
        let give = |of: &[&str], is_trusted| {
            let same = Part::Same { name: bytes("b"), of: of.iter().map(|name| bytes(name)).collect() };
            let link = Part::Link { head: head("l"), target: bytes("../out") };
            let file = Part::File(head("a"));
            let parts = [Part::Folder(head("t")), file, Part::Done, link, same, Part::Leave, Part::End];
            unpack(&Destination { is_contents: true, is_trusted, ..destination(&to) }, &mut &row(&parts)[..])
        };
        give(&["a"], true).unwrap();
        assert_eq!(fs::metadata(to.join("b")).unwrap().nlink(), 2);
        give(&["a"], false).unwrap_err();
        for of in [&["l", "secret"][..], &["..", "out", "secret"], &[], &["/"], &["nothing"]] {
            give(of, true).unwrap_err();
        }
        assert_eq!(fs::metadata(folder.path().join("out/secret")).unwrap().nlink(), 1);
    }

    #[test]
    fn owners_are_kept_only_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (to, own) = (folder.path().join("to"), fs::metadata(folder.path()).unwrap().uid());
        let parts = || row(&[Part::File(head("f")), Part::Done, Part::End]);
        take(&to, &parts()).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().uid(), own);
        let kept = unpack(&Destination { has_owners: true, ..destination(&to) }, &mut &parts()[..]);
        match own {
            0 => assert_eq!(fs::metadata(&to).map(|found| (found.uid(), found.gid())).unwrap(), (4242, 4343)),
            _ => assert_eq!(kept.unwrap_err().kind(), io::ErrorKind::PermissionDenied),
        }
    }

    #[test]
    fn a_row_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let rows: [&[Part]; 6] = [
            &[],
            &[Part::End],
            &[Part::Leave],
            &[Part::Folder(head("t")), Part::Leave, Part::Leave],
            &[Part::Folder(head("t")), Part::End],
            &[Part::File(head("f")), Part::Done, Part::File(head("g")), Part::Done, Part::End],
        ];
        for parts in rows {
            take(folder.path(), &row(parts)).unwrap_err();
        }
        take(folder.path(), &[0xff; 64]).unwrap_err();
        let deep: Vec<Part> = (0..DEPTH_MAX + 8).map(|_| Part::Folder(head("d"))).collect();
        assert!(take(folder.path(), &row(&deep)).unwrap_err().to_string().ends_with("too many folders in each other"));
    }
}
