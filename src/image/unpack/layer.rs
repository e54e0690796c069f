//! Members of an archive become entries of an index, their data a pack. Not here: formats of archives.

use crate::rootfs::{
    Attributes, LayerEntry, LayerIndex, LayerNode, MAX_FILE, MAX_NAME, MAX_XATTRS, Name, PackFacts, is_device,
    is_target,
};

use super::pack::Pack;
use super::path::{self, Meaning};
use super::source::{BLOCK, Source};
use super::stop::Stop;
use super::tar::{Kind, Member, Next, next};
use super::{Limits, UnpackError};

/// A layer that is being read.
pub(super) struct Layer<'a> {
    source: Source<'a>,
    pack: Pack<'a>,
    limits: &'a Limits,
    index: LayerIndex,
    /// Entries and parts of sparse files.
    count: usize,
    /// Bytes of memory that the index takes, roughly.
    memory: usize,
}

impl<'a> Layer<'a> {
    pub(super) fn new(source: Source<'a>, pack: Pack<'a>, limits: &'a Limits) -> Self {
        Self { source, pack, limits, index: LayerIndex::default(), count: 0, memory: 0 }
    }

    /// Reads all; gives the index, the digest of the archive, and what is known of the pack.
    pub(super) fn read(mut self) -> Result<(LayerIndex, [u8; 32], PackFacts), UnpackError> {
        let mut number = 0_u64;
        loop {
            number += 1;
            let mut path = Vec::new();
            match self.one(&mut path) {
                Ok(true) => {}
                Ok(false) => break,
                Err(stop) => return Err(stop.at(place(number, &path))),
            }
        }
        let pack = self.pack.finish()?;
        let digest = self.source.finish().map_err(|stop| stop.at("its end".to_owned()))?;
        Ok((self.index, digest, pack))
    }

    /// Reads a member, unless the archive is at its end.
    fn one(&mut self, path: &mut Vec<u8>) -> Result<bool, Stop> {
        let Next::Member(member) = next(&mut self.source, path)? else { return Ok(false) };
        path.clone_from(&member.path);
        let block = u64::try_from(BLOCK).unwrap_or(1);
        let fill = member.data.next_multiple_of(block) - member.data;
        let (names, node) = match path::meaning(&member.path)? {
            _ if member.kind == Kind::Nothing => return self.pass_over(&member),
            Meaning::Foreign => return self.pass_over(&member),
            Meaning::Whiteout(names) => (names, LayerNode::Whiteout),
            Meaning::Opaque(names) => (names, LayerNode::Opaque),
            Meaning::Plain(names) => (names, self.node(&member)?),
        };
        let attributes = match node {
            LayerNode::Whiteout | LayerNode::Opaque | LayerNode::HardLink { .. } => Attributes::default(),
            _ => attributes(&member)?,
        };
        if !matches!(node, LayerNode::File { .. }) {
            self.source.skip(member.data)?;
        }
        self.source.skip_fill(fill)?;
        self.add(LayerEntry { path: names, node, attributes })?;
        Ok(true)
    }

    fn pass_over(&mut self, member: &Member) -> Result<bool, Stop> {
        self.count(1)?;
        let block = u64::try_from(BLOCK).unwrap_or(1);
        self.source.skip(member.data.next_multiple_of(block))?;
        Ok(true)
    }

    fn node(&mut self, member: &Member) -> Result<LayerNode, Stop> {
        Ok(match member.kind {
            Kind::File => return self.file(member),
            Kind::Folder | Kind::Nothing => LayerNode::Folder,
            Kind::Fifo => LayerNode::Fifo,
            Kind::HardLink => LayerNode::HardLink { target: path::names(&member.link, "target")? },
            Kind::Link if !is_target(&member.link) => {
                return Err(Stop::value("target", "empty, or longer than 4095 bytes"));
            }
            Kind::Link => LayerNode::Link { target: member.link.clone() },
            Kind::CharDevice => LayerNode::CharDevice { number: device(member)? },
            Kind::BlockDevice => LayerNode::BlockDevice { number: device(member)? },
        })
    }

    /// Writes a file's data to the pack.
    fn file(&mut self, member: &Member) -> Result<LayerNode, Stop> {
        if member.size > MAX_FILE {
            return Err(Stop::value("size", "more than 16 TiB"));
        }
        let mut extents = Vec::new();
        let whole = [(0, member.size)];
        let places = member.places.as_deref().unwrap_or(if member.size > 0 { &whole } else { &[] });
        self.count(places.len())?;
        for (offset, length) in places {
            self.pack.begin(&mut extents, *offset, *length)?;
            let pack = &mut self.pack;
            self.source.copy(*length, |bytes| pack.write(bytes))?;
        }
        self.pack.align()?;
        Ok(LayerNode::File { size: member.size, extents })
    }

    fn count(&mut self, more: usize) -> Result<(), UnpackError> {
        self.count = self.count.saturating_add(more);
        let limit = u64::try_from(self.limits.entries).unwrap_or(u64::MAX);
        if self.count > self.limits.entries { Err(UnpackError::Limit { limit, of: "entries" }) } else { Ok(()) }
    }

    fn add(&mut self, entry: LayerEntry) -> Result<(), UnpackError> {
        self.count(1)?;
        self.memory = self.memory.saturating_add(memory(&entry));
        if self.memory > self.limits.memory {
            let limit = u64::try_from(self.limits.memory).unwrap_or(u64::MAX);
            return Err(UnpackError::Limit { limit, of: "bytes of names and attributes" });
        }
        self.index.entries.push(entry);
        Ok(())
    }
}

fn place(number: u64, path: &[u8]) -> String {
    if path.is_empty() { format!("entry {number}") } else { format!("entry {number}, `{}`", path::shown(path)) }
}

/// What an entry takes in memory, roughly.
fn memory(entry: &LayerEntry) -> usize {
    let names = |path: &[Name]| path.iter().map(|name| size_of::<Name>() + name.len() + 16).sum::<usize>();
    let xattrs =
        entry.attributes.xattrs.iter().map(|(name, value)| 2 * size_of::<Name>() + name.len() + value.len() + 32);
    let node = match &entry.node {
        LayerNode::File { extents, .. } => size_of_val(extents.as_slice()),
        LayerNode::Link { target } => target.len(),
        LayerNode::HardLink { target } => names(target),
        _ => 0,
    };
    size_of::<LayerEntry>() + names(&entry.path) + xattrs.sum::<usize>() + node
}

fn device(member: &Member) -> Result<(u32, u32), Stop> {
    let (major, minor) = member.device;
    let number = u32::try_from(major).ok().zip(u32::try_from(minor).ok()).filter(|number| is_device(*number));
    number.ok_or_else(|| Stop::value("device number", "none that Linux has"))
}

/// Owner, mode, time, extended attributes.
fn attributes(member: &Member) -> Result<Attributes, Stop> {
    // The greatest number means `no change` to Linux.
    let owner = |what, number: i64| {
        u32::try_from(number)
            .ok()
            .filter(|number| *number != u32::MAX)
            .ok_or_else(|| Stop::value(what, "none that Linux has"))
    };
    let xattrs: Vec<_> = member.xattrs.iter().filter(|(name, _)| is_kept(name)).cloned().collect();
    if xattrs.iter().any(|(name, _)| name.len() > MAX_NAME || name.contains(&0)) {
        return Err(Stop::value("extended attribute", "a name that Linux does not take"));
    }
    if xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_XATTRS {
        return Err(Stop::value("extended attributes", "longer than 64 KiB"));
    }
    let mode = if member.kind == Kind::Link { 0o777 } else { member.mode };
    let (uid, gid) = (owner("uid", member.uid)?, owner("gid", member.gid)?);
    Ok(Attributes { mode, uid, gid, modified: member.modified, xattrs })
}

/// Whether an extended attribute is one of a file.
///
/// `trusted.overlay.*` is not: the guest lays a writable layer over the image, and would take it as its own notes of what is
/// hidden, moved or elsewhere. Access lists stay as they are; they are data of the same form on every Linux.
fn is_kept(name: &[u8]) -> bool {
    let is_own = |space: &&[u8]| name.len() > space.len() && name.starts_with(space);
    let spaces: [&[u8]; 3] = [b"user.", b"security.", b"trusted."];
    let is_access_list = name == b"system.posix_acl_access" || name == b"system.posix_acl_default";
    is_access_list || (spaces.iter().any(is_own) && !name.starts_with(b"trusted.overlay."))
}
