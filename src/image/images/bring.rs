//! The order of the steps. Not here: the steps.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::known::{self, Known};
use super::{fetch, layers, ready};
use crate::config::Reference;
use crate::image::registry::{PullError, Registry, RegistryAccess};
use crate::image::store::{ImageEntry, Shared, Store, StoreError};
use crate::image::{Access, Digest, ImageError, ImageRequest, ImageSource, ImageWaiter, ReadyImage, source};

/// How often damaged parts are made anew before the disk, or whoever else writes there, is to blame.
const ROUNDS: usize = 3;

/// Images of this user.
#[derive(Debug)]
pub struct Images {
    store: Store,
    access: RegistryAccess,
    /// Made when it is needed: most runs need none.
    registry: Mutex<Option<Arc<Registry>>>,
}

impl Images {
    /// Opens the store below smolvm's cache folder.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(cache: &Path, access: RegistryAccess) -> Result<Self, ImageError> {
        Ok(Self { store: Store::open(cache)?, access, registry: Mutex::default() })
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
        let shared = self.share(waiter).map_err(|error| gone(request, error))?;
        for _ in 0..ROUNDS {
            let known = self.identify(request, &shared, waiter)?;
            check_lock(request, &known)?;
            match self.make_ready(request, &known, &shared, waiter)? {
                Some(image) => {
                    self.name(request, &known, &shared)?;
                    return Ok(image);
                }
                // Something was damaged, and is removed.
                None => continue,
            }
        }
        Err(ImageError::Vanished { image: request.source.to_string() })
    }

    /// The image, if it is here and ready: nothing is asked, fetched or made.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, request: &ImageRequest) -> Result<Option<ReadyImage>, ImageError> {
        // What is pruned this moment is not here.
        let Ok(Some(shared)) = self.store.try_share() else { return Ok(None) };
        let known = match &request.source {
            ImageSource::Reference(_) => known::by_name(&self.store, request)?,
            ImageSource::Oci(_) | ImageSource::DockerArchive(_) => known::by_file(&self.store, request)?,
        };
        let Some(known) = known else { return Ok(None) };
        Ok(ready::find(&self.store, &known, &shared)?)
    }

    /// What the image is: from the store, or from where it comes.
    fn identify(
        &self,
        request: &ImageRequest,
        shared: &Shared,
        waiter: &mut dyn ImageWaiter,
    ) -> Result<Known, ImageError> {
        let reference = match &request.source {
            ImageSource::Reference(reference) => reference,
            ImageSource::Oci(_) | ImageSource::DockerArchive(_) => {
                if let Some(known) = known::by_file(&self.store, request)?
                    && known.has_all_blobs(&self.store)?
                {
                    return Ok(known);
                }
                return source::import(&self.store, request, shared, waiter);
            }
        };
        if request.access != Access::Refresh
            && let Some(known) = known::by_name(&self.store, request)?
        {
            return Ok(known);
        }
        if request.access == Access::Offline {
            return Err(offline(request));
        }
        fetch::resolve(&*self.registry()?, &self.store, reference, request, waiter)
    }

    /// Layers and tree; none where a part was damaged and is removed.
    fn make_ready(
        &self,
        request: &ImageRequest,
        known: &Known,
        shared: &Shared,
        waiter: &mut dyn ImageWaiter,
    ) -> Result<Option<ReadyImage>, ImageError> {
        if let Some(image) = ready::find(&self.store, known, shared)? {
            return Ok(Some(image));
        }
        let wanted = layers::wanted(&self.store, known)?;
        let missing: Vec<_> = wanted.iter().filter(|layer| !layer.is_here()).collect();
        let registry = match (&request.source, missing.is_empty(), request.access) {
            (_, true, _) => None,
            (ImageSource::Reference(_), false, Access::Offline) => return Err(offline(request)),
            (ImageSource::Reference(reference), false, _) => Some((self.registry()?, reference)),
            // Its file is read again.
            (ImageSource::Oci(_) | ImageSource::DockerArchive(_), false, _) => return Ok(None),
        };
        let from = registry.as_ref().map(|(registry, reference)| (&**registry, *reference));
        if !layers::bring(&self.store, &wanted, from, (&request.source.to_string(), shared), waiter)? {
            return Ok(None);
        }
        ready::make(&self.store, known, (&request.source.to_string(), shared), waiter)
    }

    /// Remembers what the name means.
    fn name(&self, request: &ImageRequest, known: &Known, shared: &Shared) -> Result<(), ImageError> {
        let name = match (&request.source, &request.locked) {
            // What a lock file says is no news on what the name means by now.
            (ImageSource::Reference(reference), Some(locked)) if reference.digest().is_none() => {
                if known.is_named {
                    return Ok(());
                }
                format!("{}@{locked}", reference.name())
            }
            _ => request.source.name(),
        };
        let entry = ImageEntry {
            name,
            platform: request.platform.clone(),
            manifest: known.manifest.clone(),
            index: known.index.clone(),
            stamp: known.stamp.clone(),
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        Ok(self.store.set_name(&entry, shared)?)
    }

    fn registry(&self) -> Result<Arc<Registry>, PullError> {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registry) = &*registry {
            return Ok(Arc::clone(registry));
        }
        let made = Arc::new(Registry::new(self.access.clone())?);
        Ok(Arc::clone(registry.insert(made)))
    }

    fn share(&self, waiter: &mut dyn ImageWaiter) -> Result<Shared, StoreError> {
        if let Some(shared) = self.store.try_share()? {
            return Ok(shared);
        }
        waiter.tell("waiting for another smolvm that clears the store of images");
        self.store.share(&|| waiter.has_left())
    }
}

/// An error of the store, or that nobody waits any more.
pub(super) fn gone(request: &ImageRequest, error: StoreError) -> ImageError {
    left_or(&request.source.to_string(), error)
}

/// The same where only the name is at hand.
pub(super) fn left_or(image: &str, error: StoreError) -> ImageError {
    match error {
        StoreError::Left => ImageError::Left { image: image.to_owned() },
        error => ImageError::Store(error),
    }
}

fn offline(request: &ImageRequest) -> ImageError {
    ImageError::Offline { image: request.source.to_string(), platform: request.platform.clone() }
}

/// The digest that the image must have: the lock file's, or that of the reference itself.
pub(super) fn pinned(request: &ImageRequest) -> Option<Digest> {
    let own = |reference: &Reference| reference.digest().and_then(|digest| digest.parse().ok());
    match &request.source {
        ImageSource::Reference(reference) => request.locked.clone().or_else(|| own(reference)),
        ImageSource::Oci(_) | ImageSource::DockerArchive(_) => request.locked.clone(),
    }
}

fn check_lock(request: &ImageRequest, known: &Known) -> Result<(), ImageError> {
    match &request.locked {
        Some(wanted) if known.manifest.digest != *wanted && known.index.as_ref() != Some(wanted) => {
            Err(ImageError::Locked {
                image: request.source.to_string(),
                wanted: wanted.clone(),
                found: known.manifest.digest.clone(),
            })
        }
        _ => Ok(()),
    }
}
