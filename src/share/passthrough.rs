//! A [`Tree`] as a file system: each operation of the guest as a call on the host's files.
//!
//! The calls are made with this process's own rights whoever asks, and where the tree is read-only none that changes
//! anything is made: `EROFS`. What the guest may ask for at all is decided before ([`super::filesystem`]).

use std::ffi::CStr;
use std::io;
use std::time::Duration;

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, RenameFlags, SeekFrom, XattrFlags, copy_file_range, fallocate, fdatasync, fsync,
    linkat, mkdirat, mknodat, readlinkat, seek, symlinkat,
};
use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions, SetattrValid,
    SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};
use virtiofsd::oslib::WritevFlags;
use virtiofsd::read_dir::ReadDir;
use virtiofsd::soft_idmap::Id;

use super::changes::{as_maker, mode_of};
use super::nodes::Reach;
use super::rules::{check_offset, errno};
use super::spec::ShareCache;
use super::tree::{Tree, fd_name, host_flags, lock, stat_fd};

impl Tree {
    fn options(&self, is_folder: bool) -> OpenOptions {
        match (self.settings.cache, is_folder) {
            (ShareCache::Always, false) => OpenOptions::KEEP_CACHE,
            (ShareCache::Always, true) => OpenOptions::KEEP_CACHE | OpenOptions::CACHE_DIR,
            (ShareCache::Never, false) => OpenOptions::DIRECT_IO,
            (ShareCache::Auto | ShareCache::Names, _) | (ShareCache::Never, true) => OpenOptions::empty(),
        }
    }
}

impl FileSystem for Tree {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;

    fn init(&self, _capable: FsOptions) -> io::Result<FsOptions> {
        self.reset();
        // Saves the guest a question about file capabilities at each write; this process lacks CAP_FSETID, so that the
        // host's kernel drops set-id bits by itself.
        let writes = if self.settings.is_read_only { FsOptions::empty() } else { FsOptions::HANDLE_KILLPRIV_V2 };
        Ok(FsOptions::DO_READDIRPLUS | FsOptions::READDIRPLUS_AUTO | writes)
    }

    fn destroy(&self) {
        self.reset();
    }

    fn lookup(&self, _: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.look_up(parent, name)
    }

    fn forget(&self, _: Context, node: u64, count: u64) {
        self.nodes().forget(node, count);
    }

    fn getattr(&self, _: Context, node: u64, handle: Option<u64>) -> io::Result<(Attr, Duration)> {
        let stat = match handle.and_then(|handle| self.handle(node, handle).ok()) {
            Some(handle) => stat_fd(&handle.file)?,
            None => self.stat(node)?,
        };
        Ok((self.attr(&stat), self.settings.timeout))
    }

    fn setattr(
        &self,
        context: Context,
        node: u64,
        attr: SetattrIn,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        self.check_writable()?;
        if valid.intersects(SetattrValid::UID | SetattrValid::GID) {
            let uid = valid.contains(SetattrValid::UID).then(|| attr.uid.into_inner());
            let gid = valid.contains(SetattrValid::GID).then(|| attr.gid.into_inner());
            self.set_owner(node, handle, uid, gid)?;
        }
        if valid.contains(SetattrValid::MODE) {
            self.set_mode(node, handle, attr.mode)?;
        }
        if valid.contains(SetattrValid::SIZE) {
            self.set_size(node, handle, attr.size)?;
        }
        if valid.intersects(SetattrValid::ATIME | SetattrValid::MTIME) {
            self.set_times(node, handle, &attr, valid)?;
        }
        self.getattr(context, node, handle)
    }

    fn readlink(&self, _: Context, node: u64) -> io::Result<Vec<u8>> {
        let reach = self.nodes().reach(node)?;
        let target = match reach {
            Reach::Open(fd) => readlinkat(&*fd, c"", Vec::new())?,
            Reach::Named { folder, name, .. } => readlinkat(&*self.node_fd(folder)?, &*name, Vec::new())?,
        };
        Ok(target.into_bytes())
    }

    fn symlink(&self, maker: Context, target: &CStr, parent: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        self.check_writable()?;
        as_maker(maker, || Ok(symlinkat(target, self.node_fd(parent)?, name)?))?;
        self.look_up(parent, name)
    }

    fn mknod(
        &self,
        maker: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _device: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        self.check_writable()?;
        let kind = match FileType::from_raw_mode(mode) {
            kind @ (FileType::Fifo | FileType::Socket) => kind,
            FileType::CharacterDevice | FileType::BlockDevice => return Err(errno(libc::EPERM)),
            _ => FileType::RegularFile,
        };
        as_maker(maker, || Ok(mknodat(self.node_fd(parent)?, name, kind, mode_of(mode), 0)?))?;
        self.look_up(parent, name)
    }

    fn mkdir(
        &self,
        maker: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        self.check_writable()?;
        as_maker(maker, || Ok(mkdirat(self.node_fd(parent)?, name, mode_of(mode))?))?;
        self.look_up(parent, name)
    }

    fn unlink(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.remove(parent, name, AtFlags::empty())
    }

    fn rmdir(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        self.remove(parent, name, AtFlags::REMOVEDIR)
    }

    fn rename(
        &self,
        _: Context,
        old_parent: u64,
        old_name: &CStr,
        new_parent: u64,
        new_name: &CStr,
        flags: u32,
    ) -> io::Result<()> {
        self.check_writable()?;
        self.move_name((old_parent, old_name), (new_parent, new_name), RenameFlags::from_bits_retain(flags))
    }

    fn link(&self, _: Context, node: u64, parent: u64, name: &CStr) -> io::Result<Entry> {
        self.check_writable()?;
        let _naming = self.name();
        let (fd, folder) = (self.node_fd(node)?, self.node_fd(parent)?);
        linkat(&self.settings.own_fds, fd_name(&fd), &*folder, name, AtFlags::SYMLINK_FOLLOW)?;
        self.look_up(parent, name)
    }

    fn open(&self, _: Context, node: u64, _kill_set_id: bool, flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        let asked = host_flags(flags);
        if asked & libc::O_ACCMODE != libc::O_RDONLY || asked & libc::O_TRUNC != 0 {
            self.check_writable()?;
        }
        let file = self.open_node(node, flags)?;
        let handle = self.add_handle(node, file)?;
        Ok((Some(handle), self.options(false)))
    }

    fn create(
        &self,
        context: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _kill_set_id: bool,
        flags: u32,
        _umask: u32,
        _: Extensions,
    ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
        let Some(file) = self.make_file(context, parent, name, mode, flags)? else {
            let entry = self.look_up(parent, name)?;
            let opened = self.open(context, entry.inode, false, flags);
            let (handle, options) = opened.inspect_err(|_| self.forget(context, entry.inode, 1))?;
            return Ok((entry, handle, options));
        };
        let entry = self.entry(parent, name, &stat_fd(&file)?)?;
        let handle = self.add_handle(entry.inode, file).inspect_err(|_| self.forget(context, entry.inode, 1))?;
        Ok((entry, Some(handle), self.options(false)))
    }

    fn read<W: ZeroCopyWriter>(
        &self,
        _: Context,
        node: u64,
        handle: u64,
        mut writer: W,
        size: u32,
        offset: u64,
        _lock_owner: Option<u64>,
        _flags: u32,
    ) -> io::Result<usize> {
        check_offset(offset)?;
        let size = usize::try_from(size).map_err(io::Error::other)?;
        writer.read_from_file_at(&self.handle(node, handle)?.file, size, offset, None)
    }

    fn write<R: ZeroCopyReader>(
        &self,
        _: Context,
        node: u64,
        handle: u64,
        mut reader: R,
        size: u32,
        offset: u64,
        _lock_owner: Option<u64>,
        is_delayed: bool,
        _kill_set_id: bool,
        flags: u32,
    ) -> io::Result<usize> {
        self.check_writable()?;
        check_offset(offset)?;
        let handle = self.handle(node, handle)?;
        let size = usize::try_from(size).map_err(io::Error::other)?;
        // A delayed write comes from a mapping and knows its place.
        let is_append = !is_delayed && host_flags(flags) & libc::O_APPEND != 0;
        let flags = is_append.then_some(WritevFlags::RWF_APPEND);
        match reader.write_to_file_at(&handle.file, size, offset, flags) {
            // Whoever wrote to a mapping has gone on, and only the error tells.
            Err(error) if !is_delayed => self.written_before(error, reader, size),
            written => written,
        }
    }

    fn flush(&self, _: Context, node: u64, handle: u64, _lock_owner: u64) -> io::Result<()> {
        if self.settings.is_read_only || self.is_local {
            // A local file system has nothing to tell at a close: the guest need not ask again.
            return Err(errno(libc::ENOSYS));
        }
        // Closing a copy does what closing the file would, such as telling of a full disk on a network file system.
        drop(self.handle(node, handle)?.file.try_clone()?);
        Ok(())
    }

    fn fsync(&self, _: Context, node: u64, is_data_only: bool, handle: u64) -> io::Result<()> {
        let handle = self.handle(node, handle)?;
        Ok(if is_data_only { fdatasync(&handle.file) } else { fsync(&handle.file) }?)
    }

    fn fsyncdir(&self, context: Context, node: u64, is_data_only: bool, handle: u64) -> io::Result<()> {
        self.fsync(context, node, is_data_only, handle)
    }

    fn syncfs(&self, _: Context, _node: u64) -> io::Result<()> {
        self.sync()
    }

    fn fallocate(&self, _: Context, node: u64, handle: u64, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        let mode = FallocateFlags::from_bits_retain(mode);
        let handle = self.handle(node, handle)?;
        Ok(fallocate(&handle.file, mode, offset, length)?)
    }

    fn release(
        &self,
        _: Context,
        node: u64,
        _flags: u32,
        handle: u64,
        _flush: bool,
        _flock: bool,
        _lock_owner: Option<u64>,
    ) -> io::Result<()> {
        self.close_handle(node, handle)
    }

    fn statfs(&self, _: Context, node: u64) -> io::Result<libc::statvfs64> {
        self.space(node)
    }

    fn setxattr(
        &self,
        _: Context,
        node: u64,
        name: &CStr,
        value: &[u8],
        flags: u32,
        _: SetxattrFlags,
    ) -> io::Result<()> {
        self.check_writable()?;
        self.set_xattr(node, name, value, XattrFlags::from_bits_retain(flags))
    }

    fn getxattr(&self, _: Context, node: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        self.xattr(node, name, size)
    }

    fn listxattr(&self, _: Context, node: u64, size: u32) -> io::Result<ListxattrReply> {
        self.xattr_names(node, size)
    }

    fn removexattr(&self, _: Context, node: u64, name: &CStr) -> io::Result<()> {
        self.check_writable()?;
        self.remove_xattr(node, name)
    }

    fn opendir(&self, _: Context, node: u64, _flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        let file = self.open_node(node, libc::O_DIRECTORY.cast_unsigned())?;
        Ok((Some(self.add_handle(node, file)?), self.options(true)))
    }

    fn readdir(&self, _: Context, node: u64, handle: u64, size: u32, offset: u64) -> io::Result<ReadDir<Vec<u8>>> {
        let handle = self.handle(node, handle)?;
        let buffer = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        let _position = lock(&handle.position);
        ReadDir::new(&handle.file, offset, buffer)
    }

    fn releasedir(&self, _: Context, node: u64, _flags: u32, handle: u64) -> io::Result<()> {
        self.close_handle(node, handle)
    }

    fn access(&self, _: Context, _node: u64, _mask: u32) -> io::Result<()> {
        // The guest's kernel checks permissions by itself, and asks no more after this.
        Err(errno(libc::ENOSYS))
    }

    fn lseek(&self, _: Context, node: u64, handle: u64, offset: u64, whence: u32) -> io::Result<u64> {
        let handle = self.handle(node, handle)?;
        let _position = lock(&handle.position);
        let from = match whence.cast_signed() {
            libc::SEEK_DATA => SeekFrom::Data(offset),
            libc::SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(errno(libc::EINVAL)),
        };
        Ok(seek(&handle.file, from)?)
    }

    fn copyfilerange(
        &self,
        _: Context,
        node_in: u64,
        handle_in: u64,
        offset_in: u64,
        node_out: u64,
        handle_out: u64,
        offset_out: u64,
        length: u64,
        _flags: u64,
    ) -> io::Result<usize> {
        self.check_writable()?;
        let (from, to) = (self.handle(node_in, handle_in)?, self.handle(node_out, handle_out)?);
        let (mut offset_in, mut offset_out) = (offset_in, offset_out);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        Ok(copy_file_range(&from.file, Some(&mut offset_in), &to.file, Some(&mut offset_out), length)?)
    }
}
