//! The root of a machine: this computer's, a folder, or an image that is brought into the store for it.
//!
//! Deliberately not here: which form the root takes in the guest (`root`), how images come (`image`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::provide::HookedWaiter;
use super::words::chain;
use crate::config::model::{Image, Reference};
use crate::image::registry::RegistryAccess;
use crate::image::store::Lease;
use crate::image::{
    Access, Digest, ImageError, ImageRequest, ImageSource, ImageWaiter, Images, LayerPhase, LayerProgress, Platform,
    ReadyImage, Waiter,
};
use crate::plan::{ImageDefaults, MachinePlan};
use crate::run::ProvideError;
use crate::share::ShareTree;

/// Images for the machines of one run.
#[derive(Debug)]
pub(super) struct ProjectImages {
    cache: PathBuf,
    /// None where nobody is to be asked.
    registries: Option<RegistryAccess>,
    /// Whether registries are asked what a name means now, also where an image of it is here.
    is_asked_anew: bool,
    /// Opened when the first machine has an image.
    images: Mutex<Option<Arc<Images>>>,
}

/// What a machine's root is, and what its image says of commands.
#[derive(Debug)]
pub(super) struct BroughtRoot {
    pub(super) tree: ShareTree,
    pub(super) defaults: ImageDefaults,
    /// What keeps it in the store.
    pub(super) lease: Option<Lease>,
}

impl ProjectImages {
    /// Images of the store in `cache`.
    pub(super) fn new(cache: PathBuf, registries: Option<RegistryAccess>) -> Self {
        Self { cache, registries, is_asked_anew: false, images: Mutex::default() }
    }

    /// The same, but registries are asked what each name means now.
    pub(super) fn asked_anew(self) -> Self {
        Self { is_asked_anew: true, ..self }
    }

    /// The root of a machine.
    pub(super) fn bring(&self, machine: &MachinePlan, waiter: &mut HookedWaiter) -> Result<BroughtRoot, ProvideError> {
        // Neither this computer's root nor a folder has a config.
        let bare = |tree| BroughtRoot { tree, defaults: ImageDefaults::default(), lease: None };
        let source = match &machine.image {
            Image::Host => return Ok(bare(ShareTree::HostRoot)),
            Image::Dir(path) => return Ok(bare(ShareTree::RootFolder { path: path.clone() })),
            image => ImageSource::of(image),
        };
        let Some(source) = source else {
            let message = format!("image `{}` cannot be used", machine.image);
            return Err(ProvideError { message, is_host_unfit: false });
        };
        let ReadyImage { config, tree, packs, lease, .. } =
            self.ready(source, machine.image_lock.as_deref(), waiter)?;
        Ok(BroughtRoot { tree: ShareTree::Image { tree, packs }, defaults: config.into(), lease: Some(lease) })
    }

    /// The image that a reference means, whole: a kernel is in it.
    pub(super) fn with_kernel(
        &self,
        reference: &Reference,
        lock: Option<&str>,
        waiter: &mut HookedWaiter,
    ) -> Result<ReadyImage, ProvideError> {
        self.ready(ImageSource::Reference(reference.clone()), lock, waiter)
    }

    fn ready(
        &self,
        source: ImageSource,
        lock: Option<&str>,
        waiter: &mut HookedWaiter,
    ) -> Result<ReadyImage, ProvideError> {
        let request = ImageRequest {
            source,
            platform: Platform::machine(),
            locked: lock.and_then(|digest| digest.parse().ok()),
            access: match &self.registries {
                None => Access::Offline,
                Some(_) if self.is_asked_anew => Access::Refresh,
                Some(_) => Access::Missing,
            },
        };
        let mut told = ImageTold::new(waiter, request.source.to_string());
        let brought = self.images().and_then(|images| images.bring(&request, &mut told));
        brought.map_err(|error| failure(&error))
    }

    fn images(&self) -> Result<Arc<Images>, ImageError> {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(images) = &*images {
            return Ok(Arc::clone(images));
        }
        let opened = Arc::new(Images::open(&self.cache, self.registries.clone().unwrap_or_default())?);
        Ok(Arc::clone(images.insert(opened)))
    }
}

/// The error with its causes, and what to do.
fn failure(error: &ImageError) -> ProvideError {
    let mut message = chain(error).collect::<Vec<_>>().join(": ");
    if let Some(help) = error.help() {
        message.push_str("; ");
        message.push_str(&help);
    }
    ProvideError { message, is_host_unfit: false }
}

/// Who waits for a kernel or a machine, as who waits for one image.
pub(crate) struct ImageTold<'a> {
    waiter: &'a mut dyn Waiter,
    image: String,
    /// Bytes that are here of each layer, and all of it.
    layers: HashMap<Digest, (u64, u64)>,
    is_unpacking: bool,
}

impl<'a> ImageTold<'a> {
    /// Tells the waiter of the image with this name.
    pub(crate) fn new(waiter: &'a mut dyn Waiter, image: String) -> Self {
        Self { waiter, image, layers: HashMap::new(), is_unpacking: false }
    }
}

impl ImageWaiter for ImageTold<'_> {
    fn tell(&mut self, words: &str) {
        self.waiter.tell(words);
    }

    fn layer(&mut self, progress: &LayerProgress) {
        let LayerProgress { digest, phase, done, total, .. } = progress;
        let done = match phase {
            LayerPhase::Waiting => 0,
            LayerPhase::Fetching => *done,
            LayerPhase::Unpacking | LayerPhase::Done => *total,
        };
        self.layers.insert(digest.clone(), (done, *total));
        let sum = self.layers.values().fold((0_u64, 0_u64), |(done, total), (own_done, own_total)| {
            (done.saturating_add(*own_done), total.saturating_add(*own_total))
        });
        if *phase != LayerPhase::Waiting {
            self.waiter.pulled(&self.image, sum.0, Some(sum.1));
        }
        if *phase == LayerPhase::Unpacking && sum.0 == sum.1 && !self.is_unpacking {
            self.is_unpacking = true;
            let words = format!("unpacking image `{}`", self.image);
            self.waiter.tell(&words);
        }
    }

    fn has_left(&self) -> bool {
        self.waiter.has_left()
    }
}
