//! What a guest may ask of the one file and of the folder around it.

use std::ffi::CStr;
use std::io;
use std::time::Duration;

use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions, ROOT_ID,
    SerializableFileSystem, SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};

use super::super::rules::{check_name, errno};
use super::super::tree::lock;
use super::{FILE_ID, OneEntry, SingleFs};

fn check_folder(node: u64) -> io::Result<()> {
    match node {
        ROOT_ID => Ok(()),
        FILE_ID => Err(errno(libc::ENOTDIR)),
        _ => Err(errno(libc::EBADF)),
    }
}

fn check_file(node: u64) -> io::Result<()> {
    match node {
        FILE_ID => Ok(()),
        ROOT_ID => Err(errno(libc::EISDIR)),
        _ => Err(errno(libc::EBADF)),
    }
}

impl SerializableFileSystem for SingleFs {}

/// Hands an operation on an open file to the inner node of its handle.
macro_rules! on_handle {
    {$( fn $name:ident$(<$generic:ident: $bound:path>)?(handle, $($arg:ident: $kind:ty),*) -> $reply:ty; )*} => {
        $( fn $name$(<$generic: $bound>)?(
            &self, context: Context, node: u64, handle: u64, $($arg: $kind),*
        ) -> io::Result<$reply> {
            self.inner.$name(context, self.opened(node, handle)?, handle, $($arg),*)
        } )*
    };
}

impl FileSystem for SingleFs {
    type Inode = u64;
    type Handle = u64;
    type DirIter = OneEntry;

    on_handle! {
        fn read<W: ZeroCopyWriter>(
            handle, writer: W, size: u32, offset: u64, lock_owner: Option<u64>, flags: u32
        ) -> usize;
        fn write<R: ZeroCopyReader>(
            handle, reader: R, size: u32, offset: u64, lock_owner: Option<u64>, is_delayed: bool,
            kill_set_id: bool, flags: u32
        ) -> usize;
        fn flush(handle, lock_owner: u64) -> ();
        fn fallocate(handle, mode: u32, offset: u64, length: u64) -> ();
        fn lseek(handle, offset: u64, whence: u32) -> u64;
    }

    fn fsync(&self, context: Context, node: u64, is_data_only: bool, handle: u64) -> io::Result<()> {
        self.inner.fsync(context, self.opened(node, handle)?, is_data_only, handle)
    }

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        lock(&self.opened).clear();
        // With attributes for each entry, the file would be looked up by whoever lists the folder.
        Ok(self.inner.init(capable)? - (FsOptions::DO_READDIRPLUS | FsOptions::READDIRPLUS_AUTO))
    }

    fn destroy(&self) {
        lock(&self.opened).clear();
        self.inner.destroy();
    }

    fn lookup(&self, context: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        check_folder(parent)?;
        check_name(name)?;
        if name != &*self.name {
            return Err(errno(libc::ENOENT));
        }
        let found = self.find(context)?;
        Ok(Entry { inode: FILE_ID, attr: Self::shown(found.entry.attr), ..found.entry })
    }

    fn getattr(&self, context: Context, node: u64, handle: Option<u64>) -> io::Result<(Attr, Duration)> {
        if node == ROOT_ID {
            return self.folder_attr(context);
        }
        check_file(node)?;
        if let Some(handle) = handle
            && let Ok(inner) = self.opened(node, handle)
        {
            let (attr, timeout) = self.inner.getattr(context, inner, Some(handle))?;
            return Ok((Self::shown(attr), timeout));
        }
        let found = self.find(context)?;
        Ok((Self::shown(found.entry.attr), found.entry.attr_timeout))
    }

    fn setattr(
        &self,
        context: Context,
        node: u64,
        attr: SetattrIn,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        if node == ROOT_ID {
            return Err(errno(if self.is_read_only { libc::EROFS } else { libc::EPERM }));
        }
        check_file(node)?;
        let changed = match handle {
            Some(handle) => {
                let inner = self.opened(node, handle)?;
                self.inner.setattr(context, inner, attr, Some(handle), valid)
            }
            None => self.with_file(context, |found| self.inner.setattr(context, found.node(), attr, None, valid)),
        };
        changed.map(|(attr, timeout)| (Self::shown(attr), timeout))
    }

    fn open(
        &self,
        context: Context,
        node: u64,
        kill_set_id: bool,
        flags: u32,
    ) -> io::Result<(Option<u64>, OpenOptions)> {
        check_file(node)?;
        self.with_file(context, |found| {
            let (handle, options) = self.inner.open(context, found.node(), kill_set_id, flags)?;
            let handle = handle.ok_or_else(|| errno(libc::EIO))?;
            lock(&self.opened).insert(handle, found.node());
            found.keep();
            Ok((Some(handle), options))
        })
    }

    fn release(
        &self,
        context: Context,
        node: u64,
        flags: u32,
        handle: u64,
        flush: bool,
        flock: bool,
        lock_owner: Option<u64>,
    ) -> io::Result<()> {
        let inner = self.opened(node, handle)?;
        if lock(&self.opened).remove(&handle).is_none() {
            return Err(errno(libc::EBADF));
        }
        let released = self.inner.release(context, inner, flags, handle, flush, flock, lock_owner);
        self.inner.forget(context, inner, 1);
        released
    }

    fn copyfilerange(
        &self,
        context: Context,
        node_in: u64,
        handle_in: u64,
        offset_in: u64,
        node_out: u64,
        handle_out: u64,
        offset_out: u64,
        length: u64,
        flags: u64,
    ) -> io::Result<usize> {
        let (from, to) = (self.opened(node_in, handle_in)?, self.opened(node_out, handle_out)?);
        self.inner.copyfilerange(context, from, handle_in, offset_in, to, handle_out, offset_out, length, flags)
    }

    fn statfs(&self, context: Context, _node: u64) -> io::Result<libc::statvfs64> {
        self.inner.statfs(context, ROOT_ID)
    }

    fn syncfs(&self, context: Context, _node: u64) -> io::Result<()> {
        self.inner.syncfs(context, ROOT_ID)
    }

    fn access(&self, context: Context, _node: u64, mask: u32) -> io::Result<()> {
        self.inner.access(context, ROOT_ID, mask)
    }

    fn setxattr(
        &self,
        context: Context,
        node: u64,
        name: &CStr,
        value: &[u8],
        flags: u32,
        extra: SetxattrFlags,
    ) -> io::Result<()> {
        if node == ROOT_ID {
            return Err(errno(if self.is_read_only { libc::EROFS } else { libc::EPERM }));
        }
        check_file(node)?;
        self.with_file(context, |found| self.inner.setxattr(context, found.node(), name, value, flags, extra))
    }

    fn getxattr(&self, context: Context, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        if node == ROOT_ID {
            return Err(errno(libc::ENODATA));
        }
        check_file(node)?;
        self.with_file(context, |found| self.inner.getxattr(context, found.node(), name, size))
    }

    fn listxattr(&self, context: Context, node: u64, size: u32) -> io::Result<ListxattrReply> {
        if node == ROOT_ID {
            return Ok(if size == 0 { ListxattrReply::Count(0) } else { ListxattrReply::Names(Vec::new()) });
        }
        check_file(node)?;
        self.with_file(context, |found| self.inner.listxattr(context, found.node(), size))
    }

    fn removexattr(&self, context: Context, node: u64, name: &CStr) -> io::Result<()> {
        if node == ROOT_ID {
            return Err(errno(if self.is_read_only { libc::EROFS } else { libc::EPERM }));
        }
        check_file(node)?;
        self.with_file(context, |found| self.inner.removexattr(context, found.node(), name))
    }

    fn readlink(&self, _: Context, _node: u64) -> io::Result<Vec<u8>> {
        Err(errno(libc::EINVAL))
    }

    fn opendir(&self, _: Context, node: u64, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        check_folder(node)?;
        Ok((Some(0), OpenOptions::empty()))
    }

    fn readdir(&self, context: Context, node: u64, _handle: u64, _size: u32, offset: u64) -> io::Result<OneEntry> {
        check_folder(node)?;
        let ino = self.inner.getattr(context, ROOT_ID, None)?.0.ino;
        Ok(OneEntry { name: self.name.clone(), ino, offset })
    }

    fn fsyncdir(&self, _: Context, node: u64, _is_data_only: bool, _handle: u64) -> io::Result<()> {
        check_folder(node)
    }

    fn releasedir(&self, _: Context, node: u64, _flags: u32, _handle: u64) -> io::Result<()> {
        check_folder(node)
    }

    fn create(
        &self,
        _: Context,
        _parent: u64,
        name: &CStr,
        _mode: u32,
        _kill_set_id: bool,
        _flags: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
        Err(self.refusal(name))
    }

    fn symlink(&self, _: Context, _target: &CStr, _parent: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        Err(self.refusal(name))
    }

    fn mknod(
        &self,
        _: Context,
        _parent: u64,
        name: &CStr,
        _mode: u32,
        _rdev: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        Err(self.refusal(name))
    }

    fn mkdir(
        &self,
        _: Context,
        _parent: u64,
        name: &CStr,
        _mode: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        Err(self.refusal(name))
    }

    fn unlink(&self, _: Context, _parent: u64, name: &CStr) -> io::Result<()> {
        Err(self.refusal(name))
    }

    fn rmdir(&self, _: Context, _parent: u64, name: &CStr) -> io::Result<()> {
        Err(self.refusal(name))
    }

    fn rename(
        &self,
        _: Context,
        _old_parent: u64,
        old_name: &CStr,
        _new_parent: u64,
        new_name: &CStr,
        _flags: u32,
    ) -> io::Result<()> {
        check_name(old_name)?;
        Err(self.refusal(if old_name == &*self.name { old_name } else { new_name }))
    }

    fn link(&self, _: Context, _node: u64, _parent: u64, name: &CStr) -> io::Result<Entry> {
        Err(self.refusal(name))
    }
}
