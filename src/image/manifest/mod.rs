//! What an image is made of, read from bytes: manifests and indexes of OCI and of docker (schema 2), platforms of configs.
//!
//! The bytes come from a registry or an archive and are believed in nothing: digests have their form, sizes are sizes,
//! media types are known, counts have limits. Deliberately not here: where bytes come from, whether they have their
//! digest, and what a config says besides its platform.

mod choose;
mod error;
mod read;
#[cfg(test)]
mod tests;

pub use choose::{candidates, platform_of_config};
pub use error::ManifestError;
pub use read::read;

use super::Digest;
use super::platform::Platform;

/// Bytes of a manifest or index. Registries take no larger ones.
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Bytes of a config.
pub const CONFIG_MAX: u64 = 8 << 20;
/// Layers of an image; docker makes no more than 127.
pub const LAYERS_MAX: usize = 1000;
/// How deep indexes may lie in one another.
pub const INDEX_DEPTH_MAX: usize = 4;

/// Content by name, with its size and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// What it is, a media type.
    pub media_type: String,
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// `gzip`.
    Gzip,
    /// `zstd`.
    Zstd,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The packed tar.
    pub blob: Descriptor,
    /// How it is packed.
    pub compression: Compression,
}

/// A manifest of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Its config.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A manifest that an index names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest, or another index.
    pub manifest: Descriptor,
    /// What it is for, where that is said.
    pub platform: Option<Platform>,
}

/// What a manifest's bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// Manifests to choose from.
    Index(Vec<IndexEntry>),
    /// An image.
    Image(ImageManifest),
}
