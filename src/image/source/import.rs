//! From a file or folder into the store: documents, then the blobs of layers, each verified while it is copied.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use super::container::{Container, Part};
use super::{SourceError, docker, layout};
use crate::image::images::Known;
use crate::image::manifest::{Descriptor, ImageManifest, ManifestError};
use crate::image::store::{Begun, PartialBlob, Shared, Store};
use crate::image::waiter::LOOK;
use crate::image::{Digest, ImageError, ImageRequest, ImageSource, ImageWaiter, LayerPhase, LayerProgress, Platform};

/// Bytes copied at once.
const CHUNK: usize = 1 << 18;

/// What is asked of a file.
pub(super) struct Given<'a> {
    pub(super) path: &'a Path,
    /// The image, for people.
    pub(super) image: &'a str,
    pub(super) platform: &'a Platform,
    pub(super) locked: Option<&'a Digest>,
}

impl Given<'_> {
    /// A manifest that is none.
    pub(super) fn manifest(&self, source: ManifestError) -> ImageError {
        ImageError::Manifest { image: self.image.to_owned(), source }
    }
}

/// The image that was found.
pub(super) struct Found {
    pub(super) manifest: Descriptor,
    pub(super) bytes: Vec<u8>,
    pub(super) content: ImageManifest,
    pub(super) config: Vec<u8>,
    pub(super) index: Option<Digest>,
}

/// Identity and state of what an image comes from: that of the tar, or of a layout's `index.json`, since blobs never change.
pub(in crate::image) fn stamp(source: &ImageSource) -> Option<String> {
    let path = match source {
        ImageSource::Reference(_) => return None,
        ImageSource::Oci(path) if path.is_dir() => path.join("index.json"),
        ImageSource::Oci(path) | ImageSource::DockerArchive(path) => path.clone(),
    };
    let facts = path.metadata().ok()?;
    let times = [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()];
    let [modified, modified_nanoseconds, changed, changed_nanoseconds] = times;
    let (device, inode, size) = (facts.dev(), facts.ino(), facts.size());
    Some(format!("{device} {inode} {size} {modified}.{modified_nanoseconds} {changed}.{changed_nanoseconds}"))
}

/// Brings what a file holds into the store.
pub(in crate::image) fn import(
    store: &Store,
    request: &ImageRequest,
    shared: &Shared,
    waiter: &mut dyn ImageWaiter,
) -> Result<Known, ImageError> {
    let image = request.source.to_string();
    // Before anything is read: what changes meanwhile is read again the next time.
    let stamp = stamp(&request.source);
    let path = match &request.source {
        ImageSource::Oci(path) | ImageSource::DockerArchive(path) => path,
        ImageSource::Reference(_) => return Err(ImageError::Vanished { image }),
    };
    let given = Given { path, image: &image, platform: &request.platform, locked: request.locked.as_ref() };
    let container = Container::open(path)?;
    let (found, files) = match &request.source {
        ImageSource::DockerArchive(_) => docker::find(&container, &given)?,
        _ => (layout::find(&container, &given)?, Vec::new()),
    };
    store.put_document(&found.config)?;
    store.put_document(&found.bytes)?;
    let known = Known::read(store, &image, &found.manifest)?;
    let known = known.ok_or_else(|| ImageError::Vanished { image: image.clone() })?;
    let count = found.content.layers.len();
    for (number, (layer, diff_id)) in found.content.layers.iter().zip(&known.config.diff_ids).enumerate() {
        if store.has_layer(diff_id) {
            continue;
        }
        let part = match files.get(number) {
            Some(name) => docker::layer(&container, &given, name)?,
            None => layout::blob(&container, &given, &layer.blob.digest)?,
        };
        Copy { store, given: &given, blob: &layer.blob, number: (number, count), _shared: shared }.run(part, waiter)?;
    }
    Ok(Known { index: found.index, stamp, ..known })
}

/// One blob on its way.
struct Copy<'a> {
    store: &'a Store,
    given: &'a Given<'a>,
    blob: &'a Descriptor,
    number: (usize, usize),
    _shared: &'a Shared,
}

impl Copy<'_> {
    fn run(&self, part: Part, waiter: &mut dyn ImageWaiter) -> Result<(), ImageError> {
        let Descriptor { digest, size, .. } = self.blob;
        if part.size != *size {
            let fault = format!("`{digest}` has {} bytes and should have {size}", part.size);
            return Err(SourceError::damaged(self.given.path, fault).into());
        }
        loop {
            match self.store.begin_blob(digest, *size)? {
                Begun::Here => return Ok(()),
                Begun::Open(blob) => return self.copy(part, *blob, waiter),
                Begun::Busy => {
                    self.look(0, LayerPhase::Waiting, waiter)?;
                    thread::sleep(LOOK);
                }
            }
        }
    }

    fn copy(&self, mut part: Part, mut to: PartialBlob, waiter: &mut dyn ImageWaiter) -> Result<(), ImageError> {
        let read = |source| SourceError::Read { path: self.given.path.to_owned(), source };
        // What a killed one left may be of another file: then it is not gone on with but made anew.
        let mut is_resumed = to.offset() > 0;
        loop {
            part.seek(to.offset()).map_err(read)?;
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = part.read(&mut chunk).map_err(read)?;
                if count == 0 {
                    break;
                }
                to.write(&chunk[..count])?;
                self.look(to.offset(), LayerPhase::Fetching, waiter)?;
            }
            match to.commit()? {
                None => return Ok(()),
                Some(_) if is_resumed => is_resumed = false,
                Some(found) => {
                    let fault = format!("`{}` is `{found}`", self.blob.digest);
                    return Err(SourceError::damaged(self.given.path, fault).into());
                }
            }
        }
    }

    fn look(&self, done: u64, phase: LayerPhase, waiter: &mut dyn ImageWaiter) -> Result<(), ImageError> {
        if waiter.has_left() {
            return Err(ImageError::Left { image: self.given.image.to_owned() });
        }
        let (digest, total) = (self.blob.digest.clone(), self.blob.size);
        waiter.layer(&LayerProgress { digest, number: self.number, phase, done, total });
        Ok(())
    }
}
