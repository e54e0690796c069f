//! Trees of whole images, and the leases on them. Not here: how a tree is made (`rootfs`).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::files::remove;
use super::locks::Work;
use super::{Lease, Shared, Store, StoreError};
use crate::image::Digest;
use crate::rootfs::{FORMAT_VERSION, RootTree, is_whole_tree};

/// Bytes of a list of layers that are read.
const LIST_MAX: u64 = 1 << 20;

/// What a tree is called: its layers in their order, and the version of its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey {
    hex: String,
    diff_ids: Vec<Digest>,
}

impl RootKey {
    /// The key of these layers, the lowest first.
    pub fn of(diff_ids: &[Digest]) -> Self {
        let mut text = format!("tree {FORMAT_VERSION}\n");
        for diff_id in diff_ids {
            text.push_str(diff_id.as_str());
            text.push('\n');
        }
        Self { hex: Digest::of(text.as_bytes()).hex().to_owned(), diff_ids: diff_ids.to_vec() }
    }
}

impl fmt::Display for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex)
    }
}

/// A tree that is here, with all its packs, and stays as long as this is held.
#[derive(Debug)]
pub struct LeasedRoot {
    /// Its file.
    pub tree: PathBuf,
    /// Its packs, the lowest layer's first.
    pub packs: Vec<PathBuf>,
    /// Their lengths in bytes.
    pub pack_lengths: Vec<u64>,
    /// What keeps all that.
    pub lease: Lease,
}

/// What the store has for who wants to make a tree.
#[derive(Debug)]
pub enum RootBegun {
    /// The tree, maybe made by who was waited for.
    Here(LeasedRoot),
    /// The right to make it.
    Open(RootWork),
}

/// A tree being made.
#[derive(Debug)]
pub struct RootWork {
    store: Store,
    key: RootKey,
    _work: Work,
}

impl Store {
    /// File of a tree.
    fn root_path(&self, key: &RootKey) -> PathBuf {
        self.path("roots").join(&key.hex)
    }

    /// The tree of these layers, if it is here and whole as far as sizes and its own digest tell. What is damaged is
    /// removed.
    ///
    /// # Errors
    /// Where it cannot be read, or a damaged part not be removed.
    pub fn root(&self, key: &RootKey, shared: &Shared) -> Result<Option<LeasedRoot>, StoreError> {
        let _ = shared;
        let path = self.root_path(key);
        let Ok(mut file) = File::open(&path) else { return Ok(None) };
        let listed = self.layers_of(&key.hex)?.unwrap_or_default();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| StoreError::system(&path, "read", error))?;
        if !listed.iter().map(|(diff_id, _)| diff_id).eq(&key.diff_ids) || !is_whole_tree(&bytes) {
            return self.drop_root(&key.hex).map(|()| None);
        }
        let mut are_whole = true;
        for (diff_id, length) in &listed {
            let found = self.pack_path(diff_id).metadata();
            if !found.is_ok_and(|facts| facts.len() == *length) {
                self.drop_layer(diff_id)?;
                are_whole = false;
            }
        }
        if !are_whole {
            return self.drop_root(&key.hex).map(|()| None);
        }
        // Who looks whether it is in use holds it alone for a moment; who removes it cannot be at it now.
        let lock = rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockShared));
        lock.map_err(|error| StoreError::system(&path, "locked", error.into()))?;
        // When it was used last; a file system that keeps no times keeps us from nothing.
        let _ = file.set_modified(SystemTime::now());
        let packs = listed.iter().map(|(diff_id, _)| self.pack_path(diff_id)).collect();
        let pack_lengths = listed.iter().map(|(_, length)| *length).collect();
        Ok(Some(LeasedRoot { tree: path, packs, pack_lengths, lease: Lease::new(file) }))
    }

    /// The tree of these layers, or the right to make it; waits where another does.
    ///
    /// # Errors
    /// Those of [`Store::root`], and where nobody waits for it any more.
    pub fn begin_root(
        &self,
        key: &RootKey,
        shared: &Shared,
        has_left: &dyn Fn() -> bool,
    ) -> Result<RootBegun, StoreError> {
        if let Some(root) = self.root(key, shared)? {
            return Ok(RootBegun::Here(root));
        }
        let work = self.work(&format!("root-{}", key.hex), has_left)?;
        Ok(match self.root(key, shared)? {
            Some(root) => RootBegun::Here(root),
            None => RootBegun::Open(RootWork { store: self.clone(), key: key.clone(), _work: work }),
        })
    }

    /// The layers of a tree and the lengths of their packs; none where that is not known.
    pub(super) fn layers_of(&self, hex: &str) -> Result<Option<Vec<(Digest, u64)>>, StoreError> {
        let bytes = self.read(&self.path(format!("roots/{hex}.layers")), LIST_MAX)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let line = |line: &str| {
            let (diff_id, length) = line.split_once(' ')?;
            Some((diff_id.parse().ok()?, length.parse().ok()?))
        };
        Ok(text.and_then(|text| text.lines().map(line).collect()))
    }

    /// Removes a tree and what lies beside it.
    pub(super) fn drop_root(&self, hex: &str) -> Result<(), StoreError> {
        ["", ".erofs", ".layers"].iter().try_for_each(|suffix| remove(&self.path(format!("roots/{hex}{suffix}"))))
    }
}

impl RootWork {
    /// Keeps the tree, and gives it.
    ///
    /// # Errors
    /// Where it cannot be written, or its layers are gone meanwhile.
    pub fn keep(
        self,
        tree: &RootTree,
        pack_lengths: &[u64],
        shared: &Shared,
    ) -> Result<Option<LeasedRoot>, StoreError> {
        let lines = self.key.diff_ids.iter().zip(pack_lengths);
        let list: String = lines.map(|(diff_id, length)| format!("{diff_id} {length}\n")).collect();
        self.store.write(&format!("roots/{}.layers", self.key.hex), list.as_bytes())?;
        self.store.write(&format!("roots/{}", self.key.hex), &tree.encode())?;
        self.store.root(&self.key, shared)
    }
}
