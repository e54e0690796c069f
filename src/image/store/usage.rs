//! What the store holds, with its room on the disk, and which of it is in use. Not here: what is worth keeping (`prune`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::is_unlocked;
use super::{Store, StoreError};
use crate::image::Digest;

/// What parts the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Manifests, configs, packed layers.
    Blobs,
    /// Layers, unpacked.
    Layers,
    /// Trees of images, in all their forms.
    Roots,
    /// What is, or was, being made.
    Partial,
}

/// Something in the store: all that goes together.
#[derive(Debug, Clone)]
pub(in crate::image) struct Item {
    pub(in crate::image) part: Part,
    /// Digits of its digest or key; the file name where it has none.
    pub(in crate::image) hex: String,
    pub(super) paths: Vec<PathBuf>,
    /// Room on the disk.
    pub(in crate::image) bytes: u64,
    /// When it was used last, as far as that is known: of trees each use, of others when they were made.
    pub(in crate::image) used: SystemTime,
}

/// What machines run from now.
#[derive(Debug, Default)]
pub(in crate::image) struct InUse {
    /// Keys of trees.
    pub(in crate::image) roots: BTreeSet<String>,
    /// Digits of their layers.
    pub(in crate::image) layers: BTreeSet<String>,
    /// Whether of a tree it is not known which layers it has.
    pub(in crate::image) is_unclear: bool,
}

impl Store {
    /// All that is in the store but its own files.
    pub(in crate::image) fn items(&self) -> Vec<Item> {
        let folders = [
            (Part::Blobs, "blobs/sha256"),
            (Part::Layers, "layers"),
            (Part::Roots, "roots"),
            (Part::Partial, "partial"),
        ];
        let mut items: BTreeMap<(Part, String), Item> = BTreeMap::new();
        for (part, folder) in folders {
            for entry in fs::read_dir(self.path(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                // What lies beside a tree belongs to it.
                let hex =
                    if part == Part::Roots { name.split('.').next().unwrap_or_default().to_owned() } else { name };
                let path = entry.path();
                let used = entry.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                let bytes = room(&path);
                let item = items.entry((part, hex.clone())).or_insert_with(|| Item {
                    part,
                    hex,
                    paths: Vec::new(),
                    bytes: 0,
                    used,
                });
                item.bytes += bytes;
                item.used = item.used.max(used);
                item.paths.push(path);
            }
        }
        items.into_values().collect()
    }

    /// What machines run from now.
    pub(in crate::image) fn in_use(&self) -> Result<InUse, StoreError> {
        let mut in_use = InUse::default();
        for item in self.items().into_iter().filter(|item| item.part == Part::Roots) {
            if is_unlocked(&self.path("roots").join(&item.hex)) || !self.path("roots").join(&item.hex).exists() {
                continue;
            }
            match self.layers_of(&item.hex)? {
                Some(layers) => in_use.layers.extend(layers.iter().map(|(diff_id, _)| diff_id.hex().to_owned())),
                None => in_use.is_unclear = true,
            }
            in_use.roots.insert(item.hex);
        }
        Ok(in_use)
    }

    /// When a tree was used last, and the room of it and its layers.
    pub(in crate::image) fn root_used(&self, hex: &str) -> Option<SystemTime> {
        self.path("roots").join(hex).metadata().and_then(|facts| facts.modified()).ok()
    }

    /// Bytes of a layer's pack, where it is unpacked.
    pub(in crate::image) fn pack_length(&self, diff_id: &Digest) -> Option<u64> {
        self.pack_path(diff_id).metadata().map(|facts| facts.len()).ok()
    }
}

/// Room of a file, or a folder with all in it, on the disk.
fn room(path: &Path) -> u64 {
    let Ok(facts) = fs::symlink_metadata(path) else { return 0 };
    let own = facts.blocks() * 512;
    if !facts.is_dir() {
        return own;
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    below.map(|entry| room(&entry.path())).fold(own, u64::saturating_add)
}
