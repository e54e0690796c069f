//! Which names go, and with them what no other name leads to. What a machine runs from stays, whatever is asked.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::bring::Images;
use super::known::Known;
use crate::image::ImageError;
use crate::image::store::{Item, Keep, Part, RootKey};

/// What may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PruneRequest {
    /// Images that have a name; without, only what no name leads to.
    pub takes_named: bool,
    /// Of images that have a name only those that no machine used for so long.
    pub unused_for: Option<Duration>,
    /// Nothing is removed, only told.
    pub is_dry: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names that are gone, sorted.
    pub images: Vec<String>,
    /// Names that would be gone, had they not been in use.
    pub in_use: Vec<String>,
    /// How many files and folders of each part, and their room.
    pub parts: Vec<(Part, usize, u64)>,
}

impl Pruned {
    /// All the room.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, _, bytes)| *bytes).fold(0, u64::saturating_add)
    }
}

/// What becomes of names.
#[derive(Debug, Default)]
pub(super) struct Names {
    going: BTreeSet<usize>,
    images: Vec<String>,
    in_use: Vec<String>,
}

impl Images {
    /// Removes what is asked for and not in use. Waits a moment for those who add images, and gives up then.
    ///
    /// # Errors
    /// Where others add images for long, or something cannot be removed.
    pub fn prune(&self, request: &PruneRequest) -> Result<Pruned, ImageError> {
        let closed = if request.is_dry { None } else { Some(self.store().close()?) };
        let (items, names) = self.removable(request)?;
        if !request.is_dry {
            // Names first: what is killed here leaves things without a name, and never a name without its things.
            if !names.going.is_empty() {
                self.store().drop_names(&names.going)?;
            }
            self.store().remove_items(&items)?;
        }
        drop(closed);
        let of = |part: Part| {
            let own: Vec<&Item> = items.iter().filter(|item| item.part == part).collect();
            (part, own.len(), own.iter().map(|item| item.bytes).sum())
        };
        let parts = [Part::Blobs, Part::Layers, Part::Roots, Part::Partial].map(of).to_vec();
        Ok(Pruned { images: names.images, in_use: names.in_use, parts })
    }

    /// What can go, and the names that lead there.
    pub(super) fn removable(&self, request: &PruneRequest) -> Result<(Vec<Item>, Names), ImageError> {
        let store = self.store();
        let in_use = store.in_use()?;
        let (mut keep, mut names) = (Keep::default(), Names::default());
        for (number, entry) in store.names()?.into_iter().enumerate() {
            let Some(known) = Known::read(store, &entry.name, &entry.manifest).ok().flatten() else {
                // A name that leads nowhere.
                names.going.insert(number);
                names.images.push(entry.name);
                continue;
            };
            let key = RootKey::of(&known.config.diff_ids).to_string();
            let used = store.root_used(&key).or_else(|| Some(entry.since.parse::<jiff::Timestamp>().ok()?.into()));
            if request.takes_named && is_unused(used, request.unused_for) {
                if in_use.roots.contains(&key) {
                    names.in_use.push(entry.name);
                } else {
                    names.going.insert(number);
                    names.images.push(entry.name);
                    continue;
                }
            }
            let hex = |digest: &crate::image::Digest| digest.hex().to_owned();
            keep.blobs.extend([hex(&known.manifest.digest), hex(&known.content.config.digest)]);
            keep.blobs.extend(known.content.layers.iter().map(|layer| hex(&layer.blob.digest)));
            keep.layers.extend(known.config.diff_ids.iter().map(hex));
            keep.roots.insert(key);
        }
        Ok((store.removable(&keep, &in_use), names))
    }
}

/// Whether nobody used it for that long; where it is not known when, nobody did.
fn is_unused(used: Option<SystemTime>, for_long: Option<Duration>) -> bool {
    let (Some(used), Some(for_long)) = (used, for_long) else { return true };
    used.elapsed().is_ok_and(|age| age >= for_long)
}
