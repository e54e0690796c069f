//! The frames of a parcel: what each says, and how it is written and read. Deliberately not here: who packs (`packing`) and
//! who unpacks (`parcel`).

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::frame::{ANSWER_MAX, decode, encode, frame_length};

/// Bytes of a piece of a file.
pub(super) const PIECE: usize = 64 << 10;

/// Folders in each other; each is a descriptor while it is open.
pub(super) const DEPTH_MAX: usize = 128;

/// Bytes of a name.
const NAME_MAX: usize = 255;

const NANOSECONDS_MAX: i64 = 999_999_999;

/// A part of a parcel.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A folder, whose entries follow.
    Folder(Head),
    /// Back to the folder above.
    Leave,
    /// A file, whose bytes follow.
    File(Head),
    /// Bytes of the file.
    Data(Bytes),
    /// The end of the file.
    Done,
    /// A symbolic link.
    Link {
        /// What it is called.
        head: Head,
        /// Where it leads, as it is written.
        target: Bytes,
    },
    /// A named pipe.
    Pipe(Head),
    /// Another name of a file that came before. Taken only of who is trusted.
    Same {
        /// The name.
        name: Bytes,
        /// Where the file is, from the outermost folder on.
        of: Vec<Bytes>,
    },
    /// The end of the parcel.
    End,
}

/// What an entry is called, whose it is, and when it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// One component.
    pub name: Bytes,
    /// Permissions, with setuid, setgid and sticky.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file when it was opened; it may have become longer or shorter since.
    pub size: u64,
    /// When it was changed, in seconds since 1970.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: i64,
}

pub(super) fn checked(name: &Bytes) -> io::Result<&OsStr> {
    let bytes = &name.0[..];
    let is_one = !bytes.is_empty() && bytes.len() <= NAME_MAX && !bytes.contains(&b'/') && !bytes.contains(&0);
    if !is_one || bytes == b"." || bytes == b".." {
        return Err(malformed());
    }
    Ok(OsStr::from_bytes(bytes))
}

impl Head {
    /// The name, where it is one component.
    ///
    /// # Errors
    /// Where it is not, and so could lead elsewhere.
    pub fn checked_name(&self) -> io::Result<&OsStr> {
        checked(&self.name)
    }

    pub(super) fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds.clamp(0, NANOSECONDS_MAX) };
        Timestamps { last_access: time, last_modification: time }
    }
}

impl Part {
    /// Writes it as a frame.
    ///
    /// # Errors
    /// What the writer says.
    pub fn send(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&encode(self, ANSWER_MAX).map_err(io::Error::other)?)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// What the reader says, or where it is none.
    pub fn receive(input: &mut dyn Read) -> io::Result<Self> {
        let mut header = [0; 4];
        input.read_exact(&mut header)?;
        let mut payload = vec![0; frame_length(header, ANSWER_MAX).map_err(io::Error::other)?];
        input.read_exact(&mut payload)?;
        decode(&payload).map_err(io::Error::other)
    }
}

pub(super) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is not a row of files")
}

pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}
