//! Extended attributes of users, which only files and folders have. Which names pass is decided before
//! ([`super::rules`]).

use std::ffi::CStr;
use std::fs::File;
use std::io;

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, flistxattr, fremovexattr, fsetxattr};
use virtiofsd::filesystem::{GetxattrReply, ListxattrReply};

use super::rules::errno;
use super::tree::Tree;

impl Tree {
    fn has_xattrs(&self, node: u64) -> io::Result<bool> {
        Ok(matches!(self.nodes().kind(node)?, libc::S_IFREG | libc::S_IFDIR))
    }

    fn open_for_xattrs(&self, node: u64, absent: i32) -> io::Result<File> {
        if self.has_xattrs(node)? { self.open_node(node, 0) } else { Err(errno(absent)) }
    }

    pub(super) fn set_xattr(&self, node: u64, name: &CStr, value: &[u8], flags: XattrFlags) -> io::Result<()> {
        Ok(fsetxattr(self.open_for_xattrs(node, libc::EPERM)?, name, value, flags)?)
    }

    /// An attribute, or its length where there is no room for it.
    pub(super) fn xattr(&self, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        let file = self.open_for_xattrs(node, libc::ENODATA)?;
        if size == 0 {
            let length = fgetxattr_query(file, name)?;
            return Ok(GetxattrReply::Count(u32::try_from(length).map_err(io::Error::other)?));
        }
        let mut value = vec![0_u8; usize::try_from(size).map_err(io::Error::other)?];
        let length = fgetxattr(file, name, &mut value[..])?;
        value.truncate(length);
        Ok(GetxattrReply::Value(value))
    }

    /// The names of all attributes, which must find room.
    pub(super) fn xattr_names(&self, node: u64, size: u32) -> io::Result<ListxattrReply> {
        if !self.has_xattrs(node)? {
            return Ok(ListxattrReply::Names(Vec::new()));
        }
        let mut names = vec![0_u8; usize::try_from(size).map_err(io::Error::other)?];
        let length = flistxattr(self.open_node(node, 0)?, &mut names[..])?;
        names.truncate(length);
        Ok(ListxattrReply::Names(names))
    }

    pub(super) fn remove_xattr(&self, node: u64, name: &CStr) -> io::Result<()> {
        Ok(fremovexattr(self.open_for_xattrs(node, libc::EPERM)?, name)?)
    }
}
