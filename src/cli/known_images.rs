//! Which images are here, for whoever only looks: nothing is asked, fetched or made.

use std::fmt;
use std::sync::OnceLock;

use super::exit::{Class, Failure};
use super::printer::Printer;
use crate::compose::Places;
use crate::config::model::{Image, KernelSource};
use crate::host::{FindImage, StoredImage};
use crate::image::registry::RegistryAccess;
use crate::image::{Access, ImageRequest, ImageSource, Images, Platform, ReadyImage};
use crate::plan::{MachinePlan, Plan};

/// The store of this user, opened when it is first looked into; none where nothing was ever brought.
#[derive(Default)]
pub(crate) struct KnownImages {
    images: OnceLock<Option<Images>>,
}

impl fmt::Debug for KnownImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownImages")
    }
}

impl KnownImages {
    fn images(&self) -> Option<&Images> {
        let open = || {
            let cache = Places::find().ok()?.cache;
            // Whoever only looks makes no folder.
            cache.join("images").is_dir().then(|| Images::open(&cache, RegistryAccess::default()).ok()).flatten()
        };
        self.images.get_or_init(open).as_ref()
    }

    /// An image that is here and ready.
    pub(crate) fn ready(&self, source: ImageSource, lock: Option<&str>) -> Option<ReadyImage> {
        let locked = lock.and_then(|digest| digest.parse().ok());
        let request = ImageRequest { source, platform: Platform::machine(), locked, access: Access::Offline };
        self.images()?.find(&request).ok().flatten()
    }

    /// What the images of machines are called that are not here, each once, in their order.
    pub(crate) fn missing<'a>(&self, machines: impl Iterator<Item = &'a MachinePlan>) -> Vec<String> {
        let mut missing = Vec::new();
        for machine in machines {
            let image = ImageSource::of(&machine.image).map(|source| (source, machine.image_lock.as_deref()));
            let kernel = match &machine.kernel {
                KernelSource::Reference(reference) => {
                    Some((ImageSource::Reference(reference.clone()), machine.kernel_lock.as_deref()))
                }
                KernelSource::Auto | KernelSource::Path(_) => None,
            };
            for (source, lock) in image.into_iter().chain(kernel) {
                let name = source.to_string();
                // Archives are made ready from what lies there, without any network.
                let is_remote = matches!(source, ImageSource::Reference(_));
                if is_remote && !missing.contains(&name) && self.ready(source, lock).is_none() {
                    missing.push(name);
                }
            }
        }
        missing
    }
}

/// Why a run without network does not begin.
#[derive(Debug, thiserror::Error)]
#[error("{what} not here, and smolvm is to be offline")]
struct NotHere {
    what: String,
}

/// Whether all images of a plan are here: said of all at once, before anything boots.
pub(crate) fn all_here(plan: &Plan) -> Result<(), Failure> {
    let Some(what) = missing_words(&plan.machines) else { return Ok(()) };
    let help = "with network (SMOLVM_OFFLINE unset), `smolvm pull` brings what is missing";
    Err(Failure::new(Class::World, NotHere { what }).help(help))
}

/// Says after a run that failed which images are still not here.
pub(crate) fn tell_missing(machines: &[MachinePlan], printer: &Printer) {
    if let Some(what) = missing_words(machines) {
        printer.note(&format!("note: {what} not here; `smolvm pull` brings all that the project needs\n"));
    }
}

/// `image A is`, `images A and B are`.
fn missing_words(machines: &[MachinePlan]) -> Option<String> {
    let missing = KnownImages::default().missing(machines.iter());
    let named: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    match named.as_slice() {
        [] => None,
        [one] => Some(format!("image {one} is")),
        [first @ .., last] => Some(format!("images {} and {last} are", first.join(", "))),
    }
}

impl FindImage for KnownImages {
    fn find(&self, image: &Image, lock: Option<&str>) -> Option<StoredImage> {
        let ready = self.ready(ImageSource::of(image)?, lock)?;
        let ReadyImage { tree, packs, pack_lengths, lease, .. } = ready;
        Some(StoredImage { tree, packs, pack_lengths, lease: Box::new(lease) })
    }
}
