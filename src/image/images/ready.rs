//! The last step: the layers, all unpacked, become a tree, and the tree a [`ReadyImage`].

use super::bring::left_or;
use super::known::Known;
use crate::image::store::{LeasedRoot, RootBegun, RootKey, Shared, Store, StoreError};
use crate::image::{ImageError, ImageWaiter, ReadyImage};
use crate::rootfs::merge;

/// The image, if its tree is here.
pub(super) fn find(store: &Store, known: &Known, shared: &Shared) -> Result<Option<ReadyImage>, StoreError> {
    let root = store.root(&RootKey::of(&known.config.diff_ids), shared)?;
    Ok(root.map(|root| ready(root, known)))
}

/// Makes the tree; none where a layer was damaged, and is removed.
pub(super) fn make(
    store: &Store,
    known: &Known,
    (image, shared): (&str, &Shared),
    waiter: &mut dyn ImageWaiter,
) -> Result<Option<ReadyImage>, ImageError> {
    let key = RootKey::of(&known.config.diff_ids);
    let begun = store.begin_root(&key, shared, &|| waiter.has_left()).map_err(|error| left_or(image, error))?;
    let work = match begun {
        RootBegun::Here(root) => return Ok(Some(ready(root, known))),
        RootBegun::Open(work) => work,
    };
    let (mut layers, mut lengths) = (Vec::new(), Vec::new());
    for diff_id in &known.config.diff_ids {
        let Some((layer, facts)) = store.layer(diff_id)? else { return Ok(None) };
        layers.push(layer);
        lengths.push(facts.length);
    }
    let tree = merge(&layers).map_err(|source| ImageError::Merge { image: image.to_owned(), source })?;
    Ok(work.keep(&tree, &lengths, shared)?.map(|root| ready(root, known)))
}

fn ready(root: LeasedRoot, known: &Known) -> ReadyImage {
    let LeasedRoot { tree, packs, pack_lengths, lease } = root;
    let (digest, config) = (known.manifest.digest.clone(), known.config.clone());
    ReadyImage { digest, config, tree, packs, pack_lengths, lease }
}
