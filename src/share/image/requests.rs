//! What a guest may ask of an image: all that reads but for bytes of files ([`super::content`]); what would change it is
//! `EROFS`.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SerializableFileSystem, SetattrValid, SetxattrFlags, ZeroCopyReader,
};
use virtiofsd::fuse::{Attr, SetattrIn};

use crate::rootfs::{BLOCK, InodeKind, MAX_NAME};

use super::super::rules::{check_name, errno};
use super::super::settings::LONG;
use super::attributes::attr_of;
use super::entries::ImageEntries;
use super::{ImageFs, node_of};

/// On this answer the guest's kernel does without the question from then on.
fn not_needed<T>() -> io::Result<T> {
    Err(errno(libc::ENOSYS))
}

/// Refuses what would change something.
macro_rules! refused {
    {$( fn $name:ident$(<$generic:ident: $bound:path>)?($($kind:ty),*) -> $reply:ty; )*} => {
        $( fn $name$(<$generic: $bound>)?(&self, _: Context, $(_: $kind),*) -> io::Result<$reply> {
            Err(errno(libc::EROFS))
        } )*
    };
}

impl SerializableFileSystem for ImageFs {}

impl FileSystem for ImageFs {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ImageEntries;

    refused! {
        fn setattr(u64, SetattrIn, Option<u64>, SetattrValid) -> (Attr, Duration);
        fn symlink(&CStr, u64, &CStr, Extensions) -> Entry;
        fn mknod(u64, &CStr, u32, u32, u32, Extensions) -> Entry;
        fn mkdir(u64, &CStr, u32, u32, Extensions) -> Entry;
        fn unlink(u64, &CStr) -> ();
        fn rmdir(u64, &CStr) -> ();
        fn rename(u64, &CStr, u64, &CStr, u32) -> ();
        fn link(u64, u64, &CStr) -> Entry;
        fn create(u64, &CStr, u32, bool, u32, u32, Extensions) -> (Entry, Option<u64>, OpenOptions);
        fn write<R: ZeroCopyReader>(u64, u64, R, u32, u64, Option<u64>, bool, bool, u32) -> usize;
        fn fallocate(u64, u64, u32, u64, u64) -> ();
        fn setxattr(u64, &CStr, &[u8], u32, SetxattrFlags) -> ();
        fn removexattr(u64, &CStr) -> ();
        fn copyfilerange(u64, u64, u64, u64, u64, u64, u64, u64) -> usize;
    }

    fn init(&self, _capable: FsOptions) -> io::Result<FsOptions> {
        Ok(FsOptions::DO_READDIRPLUS
            | FsOptions::READDIRPLUS_AUTO
            | FsOptions::ZERO_MESSAGE_OPEN
            | FsOptions::ZERO_MESSAGE_OPENDIR
            | FsOptions::CACHE_SYMLINKS)
    }

    fn lookup(&self, _: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        check_name(name)?;
        let folder = self.content.folder(parent)?;
        if name.to_bytes().len() > MAX_NAME {
            return Err(errno(libc::ENAMETOOLONG));
        }
        let found = self.content.tree.child(folder, name.to_bytes());
        let found = found.and_then(|number| Some((number, self.content.tree.inode(number)?)));
        let entry = Entry { inode: 0, generation: 0, attr: Attr::default(), attr_timeout: LONG, entry_timeout: LONG };
        // Node 0 is a name that is absent, which the guest may remember.
        Ok(match found {
            Some((number, inode)) => Entry { inode: node_of(number), attr: attr_of(number, inode), ..entry },
            None => entry,
        })
    }

    fn getattr(&self, _: Context, node: u64, _handle: Option<u64>) -> io::Result<(Attr, Duration)> {
        Ok((attr_of(self.content.number(node)?, self.content.inode(node)?), LONG))
    }

    fn readlink(&self, _: Context, node: u64) -> io::Result<Vec<u8>> {
        match &self.content.inode(node)?.kind {
            InodeKind::Link { target } => Ok(target.clone()),
            _ => Err(errno(libc::EINVAL)),
        }
    }

    fn open(&self, _: Context, _node: u64, _kill_set_id: bool, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        not_needed()
    }

    fn opendir(&self, _: Context, _node: u64, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        not_needed()
    }

    fn readdir(&self, _: Context, node: u64, _handle: u64, _size: u32, offset: u64) -> io::Result<ImageEntries> {
        Ok(ImageEntries::new(Arc::clone(&self.content.tree), self.content.folder(node)?, offset))
    }

    fn lseek(&self, _: Context, node: u64, _handle: u64, offset: u64, whence: u32) -> io::Result<u64> {
        match whence.cast_signed() {
            libc::SEEK_DATA => self.content.next_data(node, offset),
            libc::SEEK_HOLE => self.content.next_hole(node, offset),
            _ => Err(errno(libc::EINVAL)),
        }
    }

    fn getxattr(&self, _: Context, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        self.xattr(node, name, size)
    }

    fn listxattr(&self, _: Context, node: u64, size: u32) -> io::Result<ListxattrReply> {
        self.xattr_names(node, size)
    }

    fn statfs(&self, _: Context, _node: u64) -> io::Result<libc::statvfs64> {
        let mut space = crate::sys::statvfs::empty();
        space.f_bsize = BLOCK;
        space.f_frsize = BLOCK;
        space.f_blocks = self.bytes / BLOCK;
        space.f_files = u64::try_from(self.content.tree.inodes.len()).unwrap_or(u64::MAX);
        space.f_namemax = 255;
        Ok(space)
    }
}
