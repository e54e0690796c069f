//! A member of an archive: its header and all extended ones before it, as one. Not here: paths, which may still be anything.

use super::super::source::{BLOCK, Source};
use super::super::stop::Stop;
use super::super::{EntryFault, UnpackError};
use super::header::{Header, is_header};
use super::pax::Extended;
use super::sparse::{self, Places};

/// Bytes of an extended header, as other programs take them.
const MAX_EXTENDED: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    File,
    HardLink,
    Link,
    CharDevice,
    BlockDevice,
    Folder,
    Fifo,
    /// Says nothing of files: labels of volumes and the like.
    Nothing,
}

/// A member, before its data.
#[derive(Debug)]
pub(in super::super) struct Member {
    pub(in super::super) kind: Kind,
    pub(in super::super) path: Vec<u8>,
    pub(in super::super) link: Vec<u8>,
    pub(in super::super) mode: u16,
    pub(in super::super) uid: i64,
    pub(in super::super) gid: i64,
    pub(in super::super) modified: (i64, u32),
    pub(in super::super) device: (i64, i64),
    /// Names and values, sorted by name.
    pub(in super::super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of the file.
    pub(in super::super) size: u64,
    /// Where its data belongs, if it is sparse.
    pub(in super::super) places: Option<Places>,
    /// Bytes of data that follow, without what fills the last block.
    pub(in super::super) data: u64,
}

/// What comes next in an archive.
#[derive(Debug)]
pub(in super::super) enum Next {
    Member(Box<Member>),
    End,
}

/// Reads headers up to the next member. `path` is what is known of its path where something is wrong.
pub(in super::super) fn next(source: &mut Source<'_>, path: &mut Vec<u8>) -> Result<Next, Stop> {
    let mut extended = Extended::default();
    let mut is_extended = false;
    loop {
        let Some(block) = source.block()? else {
            return if is_extended { Err(Stop::End) } else { Ok(Next::End) };
        };
        if block == [0; BLOCK] {
            if is_extended {
                return Err(EntryFault::Header.into());
            }
            return end(source);
        }
        let header = Header::new(&block).ok_or(EntryFault::Header)?;
        match header.kind() {
            b'x' | b'X' => extended.read(&text(&header, source)?)?,
            // As docker, which takes nothing from headers for all members.
            b'g' => drop(text(&header, source)?),
            b'L' => extended.path = Some(c_text(text(&header, source)?)),
            b'K' => extended.link = Some(c_text(text(&header, source)?)),
            _ => {
                *path = extended.path.clone().unwrap_or_else(|| header.path());
                return member(&header, extended, source).map(|member| Next::Member(Box::new(member)));
            }
        }
        if let Some(known) = &extended.path {
            path.clone_from(known);
        }
        is_extended |= header.kind() != b'g';
    }
}

/// After a block of zeros: another one, or nothing. A header would say that the first was no end.
fn end(source: &mut Source<'_>) -> Result<Next, Stop> {
    match source.block()? {
        Some(block) if block != [0; BLOCK] => Err(UnpackError::Trailing.into()),
        _ => Ok(Next::End),
    }
}

fn text(header: &Header<'_>, source: &mut Source<'_>) -> Result<Vec<u8>, Stop> {
    let size = header.size().and_then(|size| u64::try_from(size).ok()).ok_or(EntryFault::Header)?;
    if size > MAX_EXTENDED {
        return Err(Stop::value("extended header", "longer than 1 MiB"));
    }
    source.text(usize::try_from(size).map_err(|_| EntryFault::Header)?)
}

/// GNU's long names end with a NUL.
fn c_text(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}

fn member(header: &Header<'_>, extended: Extended, source: &mut Source<'_>) -> Result<Member, Stop> {
    let sparse_name = extended.sparse.name.clone();
    let path = sparse_name.or(extended.path).unwrap_or_else(|| header.path());
    let (kind, has_data) = kind(header.kind(), path.ends_with(b"/"))?;
    let said = extended.size.or_else(|| header.size()).and_then(|size| u64::try_from(size).ok());
    let said = said.ok_or_else(|| Stop::value("size", "no number"))?;
    let (mut size, mut data, mut places) = if has_data { (said, said, None) } else { (0, 0, None) };
    if kind == Kind::HardLink && said > 0 {
        data = body_of_link(source, said)?;
    }
    if header.kind() == b'S' {
        let (real_size, found) = sparse::old_gnu(header, source, said)?;
        (size, places) = (real_size, Some(found));
    } else if kind == Kind::File
        && let Some((real_size, found, told)) = extended.sparse.places(source, said)?
    {
        (size, data, places) = (real_size, said - told, Some(found));
    }
    let device = header.device().unwrap_or((-1, -1));
    let number = |what, extended: Option<i64>, header: Option<i64>| {
        extended.or(header).ok_or_else(|| Stop::value(what, "no number"))
    };
    let modified = match extended.modified {
        Some(time) => time,
        None => (number("time", None, header.modified())?, 0),
    };
    let mode = number("mode", None, header.mode())?;
    Ok(Member {
        kind,
        path,
        link: extended.link.unwrap_or_else(|| header.link().to_vec()),
        mode: u16::try_from(mode & 0o7777).map_err(|_| Stop::value("mode", "no number"))?,
        uid: number("uid", extended.uid, header.uid())?,
        gid: number("gid", extended.gid, header.gid())?,
        modified,
        device: (extended.device_major.unwrap_or(device.0), extended.device_minor.unwrap_or(device.1)),
        xattrs: extended.xattrs.into_iter().collect(),
        size,
        places,
        data,
    })
}

/// What a type means, and whether data follows.
fn kind(letter: u8, is_folder_name: bool) -> Result<(Kind, bool), Stop> {
    Ok(match letter {
        // Before there was a type for them, folders were files whose name ends so.
        0 | b'0' if is_folder_name => (Kind::Folder, false),
        0 | b'0' | b'7' | b'S' => (Kind::File, true),
        b'1' => (Kind::HardLink, false),
        b'2' => (Kind::Link, false),
        b'3' => (Kind::CharDevice, false),
        b'4' => (Kind::BlockDevice, false),
        b'5' => (Kind::Folder, false),
        b'6' => (Kind::Fifo, false),
        // GNU's folder with a list of what was in it.
        b'D' => (Kind::Folder, true),
        b'V' => (Kind::Nothing, true),
        other => return Err(EntryFault::Type(other.escape_ascii().to_string()).into()),
    })
}

/// Bytes that follow a hard link: POSIX lets a file's data stand there once more, older programs write its size and no data.
/// What follows tells, as libarchive does it.
fn body_of_link(source: &mut Source<'_>, said: u64) -> Result<u64, Stop> {
    let Some(block) = source.block()? else { return Ok(0) };
    let is_body = !is_header(&block) && block != [0; BLOCK];
    source.push_back(block);
    Ok(if is_body { said } else { 0 })
}
