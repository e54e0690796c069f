//! Files as a row of frames, on their way out. Deliberately not here: the frames, and who takes them (`parcel`).

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::bytes::Bytes;
use crate::part::{DEPTH_MAX, Head, PIECE, Part, at};
use crate::skipped::{Skipped, kind_of};

/// Sends a file, folder, link or named pipe; links are sent as such, but the source itself where it `is_followed`. What else
/// a folder holds is noted and passed over.
///
/// # Errors
/// What cannot be read, by its path; a source that is none of these; what the writer says.
pub fn pack(source: &Path, is_followed: bool, out: &mut dyn Write, skipped: &mut Skipped) -> io::Result<()> {
    // A name that ends in `.` or `..` is called what it leads to.
    let real = if source.file_name().is_none() || source.as_os_str().as_bytes().ends_with(b"/.") {
        fs::canonicalize(source).map_err(|error| at(source, error))?
    } else {
        source.to_owned()
    };
    let name = real.file_name().unwrap_or(OsStr::new("root")).to_owned();
    let found = if is_followed { fs::metadata(&real) } else { fs::symlink_metadata(&real) };
    let found = found.map_err(|error| at(source, error))?;
    if let Some(kind) = kind_of(found.file_type()) {
        return Err(at(source, io::Error::other(format!("it is {kind}, which is not copied"))));
    }
    send_entry(&real, &found, &name, 0, &mut Sink { out, skipped })?;
    Part::End.send(out)?;
    out.flush()
}

/// Sends a folder of this name with files of these names and places; links are followed.
///
/// # Errors
/// As [`pack`].
pub fn pack_files(name: &str, files: &[(String, PathBuf)], out: &mut dyn Write) -> io::Result<()> {
    let name = Bytes(name.as_bytes().to_vec());
    let head = Head { name, mode: 0o755, uid: 0, gid: 0, size: 0, seconds: 0, nanoseconds: 0 };
    Part::Folder(head).send(out)?;
    let mut skipped = Skipped::default();
    for (name, path) in files {
        let real = fs::canonicalize(path).map_err(|error| at(path, error))?;
        let found = fs::metadata(&real).map_err(|error| at(&real, error))?;
        send_entry(&real, &found, OsStr::new(name), 1, &mut Sink { out, skipped: &mut skipped })?;
    }
    Part::Leave.send(out)?;
    Part::End.send(out)?;
    out.flush()
}

/// Where entries go, or that they do not.
struct Sink<'a> {
    out: &'a mut dyn Write,
    skipped: &'a mut Skipped,
}

fn send_entry(path: &Path, found: &Metadata, name: &OsStr, depth: usize, to: &mut Sink<'_>) -> io::Result<()> {
    let failed = |error| at(path, error);
    if depth > DEPTH_MAX {
        return Err(failed(io::Error::other("too many folders in each other")));
    }
    let head = Head::of(name, found);
    if found.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        return Part::Link { head, target: Bytes(target.as_os_str().as_bytes().to_vec()) }.send(to.out);
    }
    if found.is_dir() {
        Part::Folder(head).send(to.out)?;
        for entry in fs::read_dir(path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let found = fs::symlink_metadata(&path).map_err(|error| at(&path, error))?;
            send_entry(&path, &found, path.file_name().unwrap_or_default(), depth + 1, to)?;
        }
        return Part::Leave.send(to.out);
    }
    if let Some(kind) = kind_of(found.file_type()) {
        to.skipped.note(path.display(), kind);
        return Ok(());
    }
    if !found.is_file() {
        return Part::Pipe(head).send(to.out);
    }
    let mut file = File::open(path).map_err(failed)?;
    Part::File(head).send(to.out)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Part::Done.send(to.out),
            Ok(count) => Part::Data(Bytes(piece[..count].to_vec())).send(to.out)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

impl Head {
    fn of(name: &OsStr, found: &Metadata) -> Self {
        Self {
            name: Bytes(name.as_bytes().to_vec()),
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            size: found.size(),
            seconds: found.mtime(),
            nanoseconds: found.mtime_nsec(),
        }
    }
}
