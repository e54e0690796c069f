//! What there is: images by name, and what takes room. Not here: how it is shown (`cli`).

use std::time::SystemTime;

use super::bring::Images;
use super::known::Known;
use super::prune::PruneRequest;
use crate::image::store::{ImageEntry, Part, RootKey};
use crate::image::{Digest, ImageError, Platform};

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// Its name: a reference in full, or a path with its prefix.
    pub name: String,
    /// What it is for.
    pub platform: Platform,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its packed layers.
    pub packed: u64,
    /// Bytes of its files, where it is unpacked.
    pub unpacked: Option<u64>,
    /// When it was made, as its config says.
    pub created: Option<String>,
    /// When the name got this meaning here, as RFC 3339.
    pub since: String,
    /// When a machine used it last.
    pub used: Option<SystemTime>,
    /// Whether a machine runs from it now.
    pub is_in_use: bool,
}

/// A part of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartUse {
    /// Which.
    pub part: Part,
    /// How many there are.
    pub count: usize,
    /// Room on the disk, in bytes.
    pub bytes: u64,
    /// How much of it `system prune --all` would give back.
    pub reclaimable: u64,
}

/// What the store takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUse {
    /// Names that mean an image.
    pub images: usize,
    /// How many of them machines run from now.
    pub in_use: usize,
    /// Its parts.
    pub parts: Vec<PartUse>,
}

impl Images {
    /// All images, by name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, ImageError> {
        let in_use = self.store().in_use()?;
        let mut listed = Vec::new();
        for entry in self.store().names()? {
            let known = Known::read(self.store(), &entry.name, &entry.manifest).ok().flatten();
            let key = known.as_ref().map(|known| RootKey::of(&known.config.diff_ids).to_string());
            let ImageEntry { name, platform, manifest, since, .. } = entry;
            listed.push(ListedImage {
                name,
                platform,
                digest: manifest.digest,
                packed: known.as_ref().map_or(0, packed),
                unpacked: known.as_ref().and_then(|known| self.unpacked(known)),
                created: known.and_then(|known| known.config.created),
                since,
                used: key.as_ref().and_then(|key| self.store().root_used(key)),
                is_in_use: key.is_some_and(|key| in_use.roots.contains(&key)),
            });
        }
        Ok(listed)
    }

    fn unpacked(&self, known: &Known) -> Option<u64> {
        let lengths = known.config.diff_ids.iter().map(|diff_id| self.store().pack_length(diff_id));
        lengths.sum()
    }

    /// What takes how much room.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn usage(&self) -> Result<StoreUse, ImageError> {
        let all = PruneRequest { takes_named: true, unused_for: None, is_dry: true };
        let (removable, _) = self.removable(&all)?;
        let items = self.store().items();
        let of = |part: Part| {
            let own = || items.iter().filter(move |item| item.part == part);
            let gone = removable.iter().filter(|item| item.part == part);
            PartUse {
                part,
                count: own().count(),
                bytes: own().map(|item| item.bytes).sum(),
                reclaimable: gone.map(|item| item.bytes).sum(),
            }
        };
        let parts = [Part::Blobs, Part::Layers, Part::Roots, Part::Partial].map(of).to_vec();
        let images = self.list()?;
        let in_use = images.iter().filter(|image| image.is_in_use).count();
        Ok(StoreUse { images: images.len(), in_use, parts })
    }
}

fn packed(known: &Known) -> u64 {
    known.content.layers.iter().map(|layer| layer.blob.size).fold(0, u64::saturating_add)
}
