//! What the store knows of an image: its manifest and config. Not here: whether its layers are there.

use super::bring::pinned;
use crate::image::manifest::{self, CONFIG_MAX, Descriptor, ImageManifest, MANIFEST_MAX, Manifest, ManifestError};
use crate::image::store::{ImageEntry, Store, StoreError};
use crate::image::{Digest, ImageConfig, ImageError, ImageRequest, source};

/// An image whose manifest and config are in the store.
#[derive(Debug, Clone)]
pub(in crate::image) struct Known {
    /// Its manifest.
    pub(in crate::image) manifest: Descriptor,
    /// What that says.
    pub(in crate::image) content: ImageManifest,
    /// What its config says.
    pub(in crate::image) config: ImageConfig,
    /// The index that its name means at its registry.
    pub(in crate::image) index: Option<Digest>,
    /// Identity and state of the file that it comes from.
    pub(in crate::image) stamp: Option<String>,
    /// Whether a name leads to it already.
    pub(in crate::image) is_named: bool,
}

impl Known {
    /// Reads the documents of an image; none where one is not in the store.
    pub(in crate::image) fn read(
        store: &Store,
        image: &str,
        manifest: &Descriptor,
    ) -> Result<Option<Self>, ImageError> {
        let wrong = |source| ImageError::Manifest { image: image.to_owned(), source };
        let Some(bytes) = store.document(&manifest.digest, MANIFEST_MAX)? else { return Ok(None) };
        let content = match manifest::read(&bytes, Some(&manifest.media_type)).map_err(wrong)? {
            Manifest::Image(content) => content,
            Manifest::Index(_) => return Err(wrong(ManifestError::Form("it is an index".to_owned()))),
        };
        let Some(bytes) = store.document(&content.config.digest, CONFIG_MAX)? else { return Ok(None) };
        let config =
            ImageConfig::read(&bytes).map_err(|source| ImageError::Config { image: image.to_owned(), source })?;
        if config.diff_ids.len() != content.layers.len() {
            let (layers, diff_ids) = (content.layers.len(), config.diff_ids.len());
            return Err(ImageError::Layers { image: image.to_owned(), layers, diff_ids });
        }
        let manifest = manifest.clone();
        Ok(Some(Self { manifest, content, config, index: None, stamp: None, is_named: false }))
    }

    /// Whether every layer is here, packed or unpacked, so that its file need not be read.
    pub(in crate::image) fn has_all_blobs(&self, store: &Store) -> Result<bool, StoreError> {
        for (layer, diff_id) in self.content.layers.iter().zip(&self.config.diff_ids) {
            if !store.has_layer(diff_id) && store.blob(&layer.blob.digest, layer.blob.size)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of(store: &Store, entry: ImageEntry) -> Result<Option<Self>, ImageError> {
        let known = Self::read(store, &entry.name, &entry.manifest)?;
        Ok(known.map(|known| Self { index: entry.index, stamp: entry.stamp, is_named: true, ..known }))
    }
}

/// The image that a reference means here.
pub(super) fn by_name(store: &Store, request: &ImageRequest) -> Result<Option<Known>, ImageError> {
    let name = request.source.name();
    let pinned = pinned(request);
    let is_it = |entry: &&ImageEntry| match &pinned {
        // Content is content, whatever it was called when it came.
        Some(digest) => entry.has_digest(digest) && !entry.is_from_file(),
        None => entry.name == name,
    };
    let names = store.names()?;
    let mut found = names.iter().filter(|entry| entry.platform == request.platform).filter(is_it);
    match found.next() {
        Some(entry) => Known::of(store, entry.clone()),
        None => Ok(None),
    }
}

/// The image that a file meant when it was read, if the file is the same.
pub(super) fn by_file(store: &Store, request: &ImageRequest) -> Result<Option<Known>, ImageError> {
    let Some(entry) = store.name(&request.source.name(), &request.platform)? else { return Ok(None) };
    let stamp = source::stamp(&request.source);
    if stamp.is_none() || entry.stamp != stamp {
        return Ok(None);
    }
    Known::of(store, entry)
}
