//! What is asked of [`super::Images`], and what is given. Not here: how it comes about.

use std::fmt;
use std::path::PathBuf;

use super::store::Lease;
use super::{Digest, ImageConfig, Platform};
use crate::config::Reference;
use crate::config::model::Image;

/// Which image is wanted, and how far one may go for it.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// Where it comes from.
    pub source: ImageSource,
    /// What it is to run on.
    pub platform: Platform,
    /// The digest that it must have: that of the platform's manifest, or of the index that names it.
    pub locked: Option<Digest>,
    /// What may be asked of others.
    pub access: Access,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A registry.
    Reference(Reference),
    /// An OCI layout: a folder or a tar, absolute.
    Oci(PathBuf),
    /// A tar of `docker save`, absolute.
    DockerArchive(PathBuf),
}

impl ImageSource {
    /// Where the image of a machine has to be brought from; `None` where it is on this computer as it is.
    pub fn of(image: &Image) -> Option<Self> {
        match image {
            Image::Reference(reference) => Some(Self::Reference(reference.clone())),
            Image::Oci(path) => Some(Self::Oci(path.clone())),
            Image::DockerArchive(path) => Some(Self::DockerArchive(path.clone())),
            Image::Host | Image::Dir(_) | Image::Unreadable => None,
        }
    }

    /// What the store calls images from there: the reference in full, or the path with its prefix.
    pub fn name(&self) -> String {
        match self {
            Self::Reference(reference) => reference.to_string(),
            Self::Oci(path) => format!("oci:{}", path.display()),
            Self::DockerArchive(path) => format!("docker-archive:{}", path.display()),
        }
    }
}

/// As a file may say it.
impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => f.write_str(reference.written()),
            Self::Oci(_) | Self::DockerArchive(_) => f.write_str(&self.name()),
        }
    }
}

/// What may be asked of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// What the store does not have.
    Missing,
    /// Also what a name means by now, where the store knows what it meant.
    Refresh,
    /// Nothing: the image is in the store, or in a file of this computer.
    Offline,
}

/// An image that machines can run from. What it names stays in the store as long as its lease is held.
#[derive(Debug)]
pub struct ReadyImage {
    /// Digest of the platform's manifest.
    pub digest: Digest,
    /// What it says about processes.
    pub config: ImageConfig,
    /// The file of its [`crate::rootfs::RootTree`], as `RootTree::decode` reads it.
    pub tree: PathBuf,
    /// The packs that the tree refers to, that of the lowest layer first.
    pub packs: Vec<PathBuf>,
    /// Lengths of the packs in bytes, in the same order.
    pub pack_lengths: Vec<u64>,
    /// Keeps all that from being pruned.
    pub lease: Lease,
}

/// Who waits for an image. Any closure that takes words does, and never leaves.
pub trait ImageWaiter {
    /// Is told what takes long, in words.
    fn tell(&mut self, words: &str);

    /// Is told how far a layer is.
    fn layer(&mut self, _progress: &LayerProgress) {}

    /// Whether the image is no longer wanted; then the work ends with [`super::ImageError::Left`]. Asked some times a
    /// second.
    fn has_left(&self) -> bool {
        false
    }
}

impl<F: FnMut(&str)> ImageWaiter for F {
    fn tell(&mut self, words: &str) {
        self(words);
    }
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest of the blob, which tells the layers of an image apart.
    pub digest: Digest,
    /// Its number from the lowest, which is 0, and how many there are.
    pub number: (usize, usize),
    /// What is done with it.
    pub phase: LayerPhase,
    /// Bytes of the blob that are behind in this phase.
    pub done: u64,
    /// Bytes of the blob.
    pub total: u64,
}

/// What is done with a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerPhase {
    /// Nothing yet, or someone else is at it.
    Waiting,
    /// It comes from a registry or a file.
    Fetching,
    /// It becomes a pack and an index.
    Unpacking,
    /// It is here.
    Done,
}
