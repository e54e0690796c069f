//! The registry's side: what a name means there, and where its blobs go here.

use std::io;

use super::known::Known;
use crate::config::Reference;
use crate::image::manifest::{Descriptor, MANIFEST_MAX};
use crate::image::registry::{Ask, BlobPlaces, BlobSink, Commit, FetchWatch, Place, Registry};
use crate::image::store::{Begun, PartialBlob, Store};
use crate::image::{Digest, ImageError, ImageRequest, ImageWaiter};

/// Asks the registry what a name means, and keeps the documents.
pub(super) fn resolve(
    registry: &Registry,
    store: &Store,
    reference: &Reference,
    request: &ImageRequest,
    waiter: &mut dyn ImageWaiter,
) -> Result<Known, ImageError> {
    let known = |digest: &Digest| store.document(digest, MANIFEST_MAX).ok().flatten();
    let ask = Ask { image: reference, locked: request.locked.as_ref(), platform: &request.platform, known: &known };
    let resolved = registry.resolve(&ask, &mut Words(waiter))?;
    store.put_document(&resolved.config.bytes)?;
    store.put_document(&resolved.manifest.bytes)?;
    let image = reference.to_string();
    let known = Known::read(store, &image, &resolved.manifest.descriptor)?.ok_or(ImageError::Vanished { image })?;
    Ok(Known { index: resolved.indexes.first().map(|index| index.descriptor.digest.clone()), ..known })
}

/// Who waits for an image, as who waits for a registry's answer.
struct Words<'a>(&'a mut dyn ImageWaiter);

impl FetchWatch for Words<'_> {
    fn tell(&mut self, words: &str) {
        self.0.tell(words);
    }

    fn fetched(&mut self, _: &Descriptor, _: u64) {}

    fn finished(&mut self, _: &Descriptor) {}

    fn has_left(&self) -> bool {
        self.0.has_left()
    }
}

/// The store, as a registry sees it.
pub(super) struct Places<'a>(pub(super) &'a Store);

impl BlobPlaces for Places<'_> {
    fn open(&self, blob: &Descriptor) -> io::Result<Place<'_>> {
        Ok(match self.0.begin_blob(&blob.digest, blob.size)? {
            Begun::Here => Place::Here,
            Begun::Busy => Place::Busy,
            Begun::Open(blob) => Place::Open(blob),
        })
    }
}

impl BlobSink for PartialBlob {
    fn offset(&self) -> u64 {
        PartialBlob::offset(self)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Ok(PartialBlob::write(self, bytes)?)
    }

    fn restart(&mut self) -> io::Result<()> {
        Ok(PartialBlob::restart(self)?)
    }

    fn commit(&mut self) -> io::Result<Commit> {
        Ok(match PartialBlob::commit(self)? {
            None => Commit::Kept,
            Some(found) => Commit::Wrong(found),
        })
    }
}
