//! Who owns the files of a share as the guest sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use virtiofsd::fuse::Attr;

/// A user and a group of the guest that change while the share is served. One number, so that no reader sees the
/// user of one view with the group of another.
#[derive(Debug)]
pub(crate) struct View(AtomicU64);

impl View {
    /// A view with these ids.
    pub(crate) fn new(uid: u32, gid: u32) -> Self {
        Self(AtomicU64::new(pack(uid, gid)))
    }

    /// Changes both ids.
    pub(crate) fn set(&self, uid: u32, gid: u32) {
        self.0.store(pack(uid, gid), Ordering::Release);
    }

    /// Puts the ids into what the guest is told about a file.
    pub(crate) fn apply(&self, attr: &mut Attr) {
        let [u0, u1, u2, u3, g0, g1, g2, g3] = self.0.load(Ordering::Acquire).to_be_bytes();
        attr.uid = u32::from_be_bytes([u0, u1, u2, u3]).into();
        attr.gid = u32::from_be_bytes([g0, g1, g2, g3]).into();
    }
}

fn pack(uid: u32, gid: u32) -> u64 {
    (u64::from(uid) << 32) | u64::from(gid)
}
