//! Layers, unpacked: a folder each, with the bytes of its files and what its archive says. Not here: unpacking.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use super::files::{remove, sync_folder};
use super::locks::Work;
use super::{Shared, Store, StoreError};
use crate::image::Digest;
use crate::rootfs::{LayerIndex, PackFacts};

/// Bytes of an index that are read.
const INDEX_MAX: u64 = 4 << 30;

/// What the store has for who wants to unpack a layer.
#[derive(Debug)]
pub enum LayerBegun {
    /// The layer, unpacked already, maybe by who was waited for.
    Here,
    /// A place to unpack it.
    Open(LayerWork),
}

/// A layer being unpacked. Dropped before [`LayerWork::keep`] it leaves nothing.
#[derive(Debug)]
pub struct LayerWork {
    store: Store,
    diff_id: Digest,
    /// The scratch folder.
    folder: PathBuf,
    pack: File,
    _work: Work,
}

impl Store {
    /// Folder of a layer.
    pub(super) fn layer_folder(&self, diff_id: &Digest) -> PathBuf {
        self.path("layers").join(diff_id.hex())
    }

    /// The pack of a layer; maybe there is none.
    pub(super) fn pack_path(&self, diff_id: &Digest) -> PathBuf {
        self.layer_folder(diff_id).join("pack")
    }

    /// Whether a layer is unpacked, damaged or not.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        let folder = self.layer_folder(diff_id);
        folder.join("index").is_file() && folder.join("pack").is_file()
    }

    /// What the archive of a layer says and what is known of its pack, verified but for the bytes of the pack. A damaged
    /// layer is removed.
    ///
    /// # Errors
    /// Where it cannot be read, or a damaged one not be removed.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<(LayerIndex, PackFacts)>, StoreError> {
        let folder = self.layer_folder(diff_id);
        let bytes = self.read(&folder.join("index"), INDEX_MAX)?;
        let decoded = bytes.and_then(|bytes| LayerIndex::decode(&bytes).ok());
        let length = fs::metadata(folder.join("pack")).map(|facts| facts.len()).ok();
        match decoded {
            Some((index, facts)) if length == Some(facts.length) => Ok(Some((index, facts))),
            _ => remove(&folder).map(|()| None),
        }
    }

    /// Removes a layer that is not what it should be.
    pub(super) fn drop_layer(&self, diff_id: &Digest) -> Result<(), StoreError> {
        remove(&self.layer_folder(diff_id))
    }

    /// Begins to unpack a layer; waits where another does.
    ///
    /// # Errors
    /// Where there is no place for it, or nobody waits for it any more.
    pub fn begin_layer(
        &self,
        diff_id: &Digest,
        shared: &Shared,
        has_left: &dyn Fn() -> bool,
    ) -> Result<LayerBegun, StoreError> {
        let _ = shared;
        if self.has_layer(diff_id) {
            return Ok(LayerBegun::Here);
        }
        let work = self.work(&format!("layer-{}", diff_id.hex()), has_left)?;
        if self.has_layer(diff_id) {
            return Ok(LayerBegun::Here);
        }
        let folder = self.path("partial").join(format!("layer-{}", diff_id.hex()));
        // What a killed one left: only its owner writes there, and that is us now.
        remove(&folder)?;
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| StoreError::system(&folder, "made", error))?;
        let path = folder.join("pack");
        let pack = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let pack = pack.map_err(|error| StoreError::system(&path, "written", error))?;
        Ok(LayerBegun::Open(LayerWork { store: self.clone(), diff_id: diff_id.clone(), folder, pack, _work: work }))
    }
}

impl LayerWork {
    /// The empty file for the bytes.
    pub fn pack(&mut self) -> &mut File {
        &mut self.pack
    }

    /// An error of writing that file, told as what it is.
    pub fn failed(&self, error: io::Error) -> StoreError {
        StoreError::system(&self.folder, "written", error)
    }

    /// Keeps the layer.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep(self, index: &LayerIndex, facts: &PackFacts) -> Result<(), StoreError> {
        let write = || {
            self.pack.sync_all()?;
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(self.folder.join("index"))?;
            io::Write::write_all(&mut file, &index.encode(facts))?;
            file.sync_all()
        };
        write().map_err(|error| self.failed(error))?;
        sync_folder(&self.folder)?;
        let to = self.store.layer_folder(&self.diff_id);
        remove(&to)?;
        fs::rename(&self.folder, &to).map_err(|error| StoreError::system(&to, "written", error))?;
        sync_folder(&self.store.path("layers"))
    }
}

impl Drop for LayerWork {
    fn drop(&mut self) {
        // Gone already where it was kept; what cannot be removed now is removed by the next one.
        let _ = remove(&self.folder);
    }
}
