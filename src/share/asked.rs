//! What tests of a share have in common: a tree over a folder, who asks, and bytes as a queue would hold them.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use virtiofsd::filesystem::{Context, ZeroCopyReader, ZeroCopyWriter};
use virtiofsd::oslib::{ReadvFlags, WritevFlags};

use super::spec::ShareCache;
use super::tree::{Tree, TreeSettings};

/// A tree over a folder of the host, believed for this long.
pub(super) fn tree_over(folder: &Path, is_read_only: bool, timeout: Duration, open_max: usize) -> Tree {
    let settings = TreeSettings {
        is_read_only,
        cache: ShareCache::Auto,
        timeout,
        name_timeout: timeout,
        open_max,
        own_fds: own_fds(),
        sink: File::options().write(true).open("/dev/null").unwrap(),
    };
    Tree::open(&root_name(folder), settings).unwrap()
}

/// The folder of this process's descriptors, as a server has it.
pub(super) fn own_fds() -> File {
    openat(CWD, "/proc/self/fd", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap().into()
}

/// A folder as the name of a root.
pub(super) fn root_name(folder: &Path) -> CString {
    CString::new(folder.to_str().unwrap()).unwrap()
}

/// A user of the guest that is nobody on the host.
pub(super) fn guest() -> Context {
    Context { uid: 4_000_000.into(), gid: 4_000_000.into(), pid: 1 }
}

/// The number of an error.
pub(super) fn number<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// What is written, or was read.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl ZeroCopyReader for Bytes {
    fn write_to_file_at(&mut self, file: &File, _: usize, off: u64, _: Option<WritevFlags>) -> io::Result<usize> {
        file.write_at(&self.0, off)
    }
}

impl ZeroCopyWriter for Bytes {
    fn read_from_file_at(&mut self, file: &File, count: usize, off: u64, _: Option<ReadvFlags>) -> io::Result<usize> {
        self.0 = vec![0; count];
        file.read_at(&mut self.0, off)
    }
}
