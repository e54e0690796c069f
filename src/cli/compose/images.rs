//! The root of a machine: this computer's, a folder, or an image that is brought into the store for it.
//!
//! Deliberately not here: which form the root takes in the guest (`root`), how images come (`image`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::provide::HookedWaiter;
use crate::cli::exit::chain;
use crate::cli::known_images::source_of;
use crate::config::model::Image;
use crate::image::registry::RegistryAccess;
use crate::image::store::Lease;
use crate::image::{
    Access, Digest, ImageError, ImageRequest, ImageWaiter, Images, LayerPhase, LayerProgress, Platform, ReadyImage,
};
use crate::plan::{ImageDefaults, MachinePlan};
use crate::run::{ProvideError, Pulled};
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
            image => source_of(image),
        };
        let Some(source) = source else {
            let message = format!("image `{}` cannot be used", machine.image);
            return Err(ProvideError { message, is_host_unfit: false });
        };
        let request = ImageRequest {
            source,
            platform: Platform::machine(),
            locked: machine.image_lock.as_deref().and_then(|digest| digest.parse().ok()),
            access: match &self.registries {
                None => Access::Offline,
                Some(_) if self.is_asked_anew => Access::Refresh,
                Some(_) => Access::Missing,
            },
        };
        let mut told = Told { waiter, image: machine.image.to_string(), layers: HashMap::new(), is_unpacking: false };
        let brought = self.images().and_then(|images| images.bring(&request, &mut told));
        let ReadyImage { config, tree, packs, lease, .. } = brought.map_err(|error| failure(&error))?;
        Ok(BroughtRoot { tree: ShareTree::Image { tree, packs }, defaults: config.into(), lease: Some(lease) })
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

/// The run, as who waits for one image.
struct Told<'a> {
    waiter: &'a mut HookedWaiter,
    image: String,
    /// Bytes that are here of each layer, and all of it.
    layers: HashMap<Digest, (u64, u64)>,
    is_unpacking: bool,
}

impl ImageWaiter for Told<'_> {
    fn tell(&mut self, words: &str) {
        crate::image::Waiter::tell(self.waiter, words);
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
            self.waiter.say_pulled(Pulled { name: self.image.clone(), done: sum.0, total: Some(sum.1) });
        }
        if *phase == LayerPhase::Unpacking && sum.0 == sum.1 && !self.is_unpacking {
            self.is_unpacking = true;
            let words = format!("unpacking image `{}`", self.image);
            crate::image::Waiter::tell(self.waiter, &words);
        }
    }

    fn has_left(&self) -> bool {
        crate::image::Waiter::has_left(self.waiter)
    }
}
