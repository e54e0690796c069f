//! The file system that a share serves: the host's folder ([`Tree`]), seen through the share's [`Rules`].
//!
//! Whoever asks in the guest, the host is asked as the share's owner: created files are the owner's, a change of
//! owner is accepted and changes nothing, and the guest's own kernel checks permissions by the owner that the
//! [`View`] shows. Extended attributes outside `user.`, devices and set-id bits stay out, both ways. Where the guest's
//! ids are taken literally, what a user of the guest makes is that user's on the host, and owners and set-id bits change
//! as the guest says. Not here: where the folder comes from and what confines this process ([`super::confine`]).

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SerializableFileSystem, SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};

use super::entries::Entries;
use super::rules::{Owners, Rules, XATTR_MAX_BYTES, check_name, check_node, errno, is_public, user_xattrs};
use super::tree::Tree;
use super::view::View;

/// As whom the host is asked: user 0 of the server's namespace, which is the owner of the share.
fn owner() -> Context {
    Context { uid: 0.into(), gid: 0.into(), pid: 0 }
}

/// A served folder.
pub(crate) struct ShareFs {
    inner: Arc<Tree>,
    rules: Rules,
    view: Arc<View>,
}

impl ShareFs {
    /// Serves `inner` by these rules.
    pub(crate) fn new(inner: Arc<Tree>, rules: Rules, view: Arc<View>) -> Self {
        Self { inner, rules, view }
    }

    /// As whom the host is asked to make or change something.
    fn maker(&self, asking: Context) -> Context {
        if self.rules.is_literal { asking } else { owner() }
    }

    /// Something new, or a new name.
    fn made(&self, entry: Entry) -> Entry {
        self.inner.note(entry.inode);
        self.shown(entry)
    }

    /// A change of a file that has succeeded.
    fn changed<T>(&self, inode: u64, result: io::Result<T>) -> io::Result<T> {
        result.inspect(|_| self.inner.note(inode))
    }

    fn shown_attr(&self, mut attr: Attr) -> Attr {
        match self.rules.owners {
            Owners::Disk => {}
            Owners::Root => (attr.uid, attr.gid) = (0.into(), 0.into()),
            Owners::View => self.view.apply(&mut attr),
        }
        attr
    }

    fn shown(&self, entry: Entry) -> Entry {
        Entry { attr: self.shown_attr(entry.attr), ..entry }
    }

    /// Node id 0 is a name that is absent, which the guest may remember.
    fn absent(&self) -> Entry {
        let timeout = self.rules.absence;
        Entry { inode: 0, generation: 0, attr: Attr::default(), attr_timeout: timeout, entry_timeout: timeout }
    }

    /// Holds a guest that guesses node ids, and one that remembers what has become private, to what is public.
    fn check_shown(&self, inode: u64) -> io::Result<()> {
        if !self.rules.is_public_only || is_public(self.inner.getattr(owner(), inode, None)?.0.mode) {
            return Ok(());
        }
        Err(errno(libc::ENOENT))
    }
}

impl SerializableFileSystem for ShareFs {}

/// Hands an operation on as the owner's.
macro_rules! as_owner {
    {$( fn $name:ident$(<$generic:ident: $bound:path>)?($($arg:ident: $kind:ty),*) -> $reply:ty; )*} => {
        $( fn $name$(<$generic: $bound>)?(&self, _: Context, $($arg: $kind),*) -> $reply {
            self.inner.$name(owner(), $($arg),*)
        } )*
    };
}

impl FileSystem for ShareFs {
    type Inode = u64;
    type Handle = u64;
    type DirIter = Entries;

    as_owner! {
        fn forget(inode: u64, count: u64) -> ();
        fn batch_forget(requests: Vec<(u64, u64)>) -> ();
        fn statfs(inode: u64) -> io::Result<libc::statvfs64>;
        fn read<W: ZeroCopyWriter>(
            inode: u64, handle: u64, writer: W, size: u32, offset: u64, lock_owner: Option<u64>, flags: u32
        ) -> io::Result<usize>;
        fn flush(inode: u64, handle: u64, lock_owner: u64) -> io::Result<()>;
        fn fsync(inode: u64, is_data_only: bool, handle: u64) -> io::Result<()>;
        fn fsyncdir(inode: u64, is_data_only: bool, handle: u64) -> io::Result<()>;
        fn syncfs(inode: u64) -> io::Result<()>;
        fn lseek(inode: u64, handle: u64, offset: u64, whence: u32) -> io::Result<u64>;
        fn release(
            inode: u64, flags: u32, handle: u64, flush: bool, flock: bool, lock_owner: Option<u64>
        ) -> io::Result<()>;
        fn releasedir(inode: u64, flags: u32, handle: u64) -> io::Result<()>;
        fn access(inode: u64, mask: u32) -> io::Result<()>;
    }

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        let offered = self.inner.init(capable)?;
        // A guest that leaves it to the host to drop set-id bits at a write goes on showing them, and runs programs by
        // them, for as long as it believes attributes. Where there are such bits it asks for it.
        Ok(if self.rules.is_literal { offered - FsOptions::HANDLE_KILLPRIV_V2 } else { offered })
    }

    fn destroy(&self) {
        self.inner.destroy();
    }

    fn lookup(&self, _: Context, parent: u64, name: &CStr) -> io::Result<Entry> {
        check_name(name)?;
        self.check_shown(parent)?;
        match self.inner.lookup(owner(), parent, name) {
            Ok(entry) if self.rules.is_public_only && !is_public(entry.attr.mode) => {
                self.inner.forget(owner(), entry.inode, 1);
                Ok(self.absent())
            }
            Ok(entry) => Ok(self.shown(entry)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(self.absent()),
            Err(error) if self.rules.is_public_only && error.raw_os_error() == Some(libc::EACCES) => Ok(self.absent()),
            Err(error) => Err(error),
        }
    }

    fn getattr(&self, _: Context, inode: u64, handle: Option<u64>) -> io::Result<(Attr, Duration)> {
        let (attr, timeout) = self.inner.getattr(owner(), inode, handle)?;
        if self.rules.is_public_only && !is_public(attr.mode) {
            return Err(errno(libc::ENOENT));
        }
        Ok((self.shown_attr(attr), timeout))
    }

    fn setattr(
        &self,
        _: Context,
        inode: u64,
        attr: SetattrIn,
        handle: Option<u64>,
        valid: SetattrValid,
    ) -> io::Result<(Attr, Duration)> {
        let (mut attr, mut valid) = (attr, valid);
        if !self.rules.is_literal {
            valid -= SetattrValid::UID | SetattrValid::GID | SetattrValid::KILL_SUIDGID;
        }
        if valid.contains(SetattrValid::MODE) {
            attr.mode = self.rules.changed_mode(attr.mode, &self.inner.getattr(owner(), inode, None)?.0);
        }
        let (attr, timeout) = self.changed(inode, self.inner.setattr(owner(), inode, attr, handle, valid))?;
        Ok((self.shown_attr(attr), timeout))
    }

    fn readlink(&self, _: Context, inode: u64) -> io::Result<Vec<u8>> {
        self.check_shown(inode)?;
        self.inner.readlink(owner(), inode)
    }

    fn symlink(&self, who: Context, target: &CStr, parent: u64, name: &CStr, _: Extensions) -> io::Result<Entry> {
        check_name(name)?;
        self.inner.symlink(self.maker(who), target, parent, name, Extensions::default()).map(|entry| self.made(entry))
    }

    fn mknod(
        &self,
        who: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _rdev: u32,
        umask: u32,
        _: Extensions,
    ) -> io::Result<Entry> {
        check_name(name)?;
        check_node(mode)?;
        let (maker, mode) = (self.maker(who), self.rules.new_mode(mode));
        self.inner.mknod(maker, parent, name, mode, 0, umask, Extensions::default()).map(|entry| self.made(entry))
    }

    fn mkdir(&self, who: Context, parent: u64, name: &CStr, mode: u32, umask: u32, _: Extensions) -> io::Result<Entry> {
        check_name(name)?;
        let (maker, mode) = (self.maker(who), self.rules.new_mode(mode));
        self.inner.mkdir(maker, parent, name, mode, umask, Extensions::default()).map(|entry| self.made(entry))
    }

    fn unlink(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        check_name(name)?;
        self.inner.unlink(owner(), parent, name)
    }

    fn rmdir(&self, _: Context, parent: u64, name: &CStr) -> io::Result<()> {
        check_name(name)?;
        self.inner.rmdir(owner(), parent, name)
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
        check_name(old_name)?;
        check_name(new_name)?;
        if flags & libc::RENAME_WHITEOUT != 0 {
            // It would leave a device node behind.
            return Err(errno(libc::EINVAL));
        }
        self.inner.rename(owner(), old_parent, old_name, new_parent, new_name, flags)
    }

    fn link(&self, _: Context, inode: u64, parent: u64, name: &CStr) -> io::Result<Entry> {
        check_name(name)?;
        self.inner.link(owner(), inode, parent, name).map(|entry| self.made(entry))
    }

    fn open(&self, _: Context, inode: u64, _kill_set_id: bool, flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        self.check_shown(inode)?;
        // In a user namespace nobody has the right to keep set-id bits: the host's kernel drops them by itself.
        let opened = self.inner.open(owner(), inode, false, flags)?;
        if flags & libc::O_TRUNC.cast_unsigned() != 0 {
            self.inner.note(inode);
        }
        Ok(opened)
    }

    fn create(
        &self,
        who: Context,
        parent: u64,
        name: &CStr,
        mode: u32,
        _kill_set_id: bool,
        flags: u32,
        umask: u32,
        _: Extensions,
    ) -> io::Result<(Entry, Option<u64>, OpenOptions)> {
        check_name(name)?;
        if self.rules.is_public_only {
            // The inner one would open a file that is there and not shown.
            return Err(errno(libc::EROFS));
        }
        let (maker, mode) = (self.maker(who), self.rules.new_mode(mode));
        let (entry, handle, options) =
            self.inner.create(maker, parent, name, mode, false, flags, umask, Extensions::default())?;
        Ok((self.made(entry), handle, options))
    }

    fn write<R: ZeroCopyReader>(
        &self,
        _: Context,
        inode: u64,
        handle: u64,
        reader: R,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        is_delayed: bool,
        _kill_set_id: bool,
        flags: u32,
    ) -> io::Result<usize> {
        let written =
            self.inner.write(owner(), inode, handle, reader, size, offset, lock_owner, is_delayed, false, flags);
        self.changed(inode, written)
    }

    fn fallocate(&self, who: Context, inode: u64, handle: u64, mode: u32, offset: u64, length: u64) -> io::Result<()> {
        self.changed(inode, self.inner.fallocate(self.maker(who), inode, handle, mode, offset, length))
    }

    fn copyfilerange(
        &self,
        who: Context,
        inode_in: u64,
        handle_in: u64,
        offset_in: u64,
        inode_out: u64,
        handle_out: u64,
        offset_out: u64,
        length: u64,
        flags: u64,
    ) -> io::Result<usize> {
        let maker = self.maker(who);
        let copied = self
            .inner
            .copyfilerange(maker, inode_in, handle_in, offset_in, inode_out, handle_out, offset_out, length, flags);
        self.changed(inode_out, copied)
    }

    fn opendir(&self, _: Context, inode: u64, flags: u32) -> io::Result<(Option<u64>, OpenOptions)> {
        self.check_shown(inode)?;
        self.inner.opendir(owner(), inode, flags)
    }

    fn readdir(&self, _: Context, inode: u64, handle: u64, size: u32, offset: u64) -> io::Result<Entries> {
        let mut offset = offset;
        loop {
            let batch = self.inner.readdir(owner(), inode, handle, size, offset)?;
            let is_last = batch.remaining() == 0;
            let entries = Entries::new(Arc::clone(&self.inner), batch, inode, self.rules.is_public_only);
            // An empty reply means the end of the folder: a batch of which nothing is shown must not be one.
            match entries.end_if_empty() {
                Some(end) if !is_last => offset = end,
                _ => return Ok(entries),
            }
        }
    }

    fn setxattr(
        &self,
        _: Context,
        inode: u64,
        name: &CStr,
        value: &[u8],
        flags: u32,
        extra: SetxattrFlags,
    ) -> io::Result<()> {
        self.rules.check_xattr(name)?;
        self.changed(inode, self.inner.setxattr(owner(), inode, name, value, flags, extra))
    }

    fn getxattr(&self, _: Context, inode: u64, name: &CStr, size: u32) -> io::Result<GetxattrReply> {
        self.rules.check_xattr(name)?;
        self.check_shown(inode)?;
        self.inner.getxattr(owner(), inode, name, size.min(XATTR_MAX_BYTES))
    }

    fn listxattr(&self, _: Context, inode: u64, size: u32) -> io::Result<ListxattrReply> {
        self.rules.check_xattr(c"user.")?;
        self.check_shown(inode)?;
        // The whole list, so that the count is that of the names that are let through.
        let ListxattrReply::Names(names) = self.inner.listxattr(owner(), inode, XATTR_MAX_BYTES)? else {
            return Err(errno(libc::EIO));
        };
        let names = user_xattrs(&names);
        let length = u32::try_from(names.len()).map_err(|_| errno(libc::ERANGE))?;
        match size {
            0 => Ok(ListxattrReply::Count(length)),
            size if size < length => Err(errno(libc::ERANGE)),
            _ => Ok(ListxattrReply::Names(names)),
        }
    }

    fn removexattr(&self, _: Context, inode: u64, name: &CStr) -> io::Result<()> {
        self.rules.check_xattr(name)?;
        self.changed(inode, self.inner.removexattr(owner(), inode, name))
    }
}

#[cfg(test)]
mod tests;
