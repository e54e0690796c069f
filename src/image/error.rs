//! Why an image cannot be had: what, where, and what to do about it.

use super::config::ImageConfigError;
use super::manifest::ManifestError;
use super::registry::PullError;
use super::source::SourceError;
use super::store::StoreError;
use super::unpack::UnpackError;
use super::{Digest, Platform};
use crate::rootfs::MergeError;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store cannot be used.
    #[error("the store of images cannot be used")]
    Store(#[from] StoreError),
    /// The registry did not give it; the cause names it.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The file or folder does not hold it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It may not be fetched.
    #[error("`{image}` is not here for {platform}, and without network it cannot be fetched")]
    Offline {
        /// The image.
        image: String,
        /// What it is to run on.
        platform: Platform,
    },
    /// It is not the one that it must be.
    #[error("`{image}` is {found}, and must be {wanted}")]
    Locked {
        /// The image.
        image: String,
        /// What it must be.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// Its manifest is none.
    #[error("`{image}` cannot be used")]
    Manifest {
        /// The image.
        image: String,
        /// Why.
        source: ManifestError,
    },
    /// Its config is none.
    #[error("`{image}` cannot be used")]
    Config {
        /// The image.
        image: String,
        /// Why.
        source: ImageConfigError,
    },
    /// Manifest and config do not belong together.
    #[error("`{image}` cannot be used: its manifest has {layers} layers, its config {diff_ids}")]
    Layers {
        /// The image.
        image: String,
        /// Layers of the manifest.
        layers: usize,
        /// Layers of the config.
        diff_ids: usize,
    },
    /// A layer cannot be unpacked.
    #[error("layer `{layer}` of `{image}` cannot be unpacked")]
    Unpack {
        /// The image.
        image: String,
        /// Digest of the blob.
        layer: Digest,
        /// Why.
        source: UnpackError,
    },
    /// A layer is not the one that the config says.
    #[error("layer `{layer}` of `{image}` unpacks to {found}, and its config says {wanted}")]
    DiffId {
        /// The image.
        image: String,
        /// Digest of the blob.
        layer: Digest,
        /// What the config says.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// The layers make no tree together.
    #[error("the layers of `{image}` do not fit together")]
    Merge {
        /// The image.
        image: String,
        /// Why.
        source: MergeError,
    },
    /// What was just made is gone or damaged.
    #[error(
        "the store changes under `{image}`: what was written there a moment ago is not there, or not what was written"
    )]
    Vanished {
        /// The image.
        image: String,
    },
    /// Nobody waits for it any more.
    #[error("`{image}` was given up, because nobody waits for it any more")]
    Left {
        /// The image.
        image: String,
    },
}

impl ImageError {
    /// Whether nobody waits for it any more.
    pub fn is_left(&self) -> bool {
        match self {
            Self::Left { .. } | Self::Store(StoreError::Left) => true,
            Self::Pull(error) => error.is_left(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help().map(str::to_owned),
            Self::Source(error) => error.help(),
            Self::Offline { image, .. } => {
                Some(format!("with network, `smolvm pull` brings it; `{image}` can then be used without"))
            }
            Self::Locked { .. } => Some("`smolvm update` writes what it is now into the lock file".to_owned()),
            Self::Manifest { source, .. } => source.help().map(str::to_owned),
            Self::Vanished { .. } => {
                Some("look whether the disk is sound, and whether something else clears the cache".to_owned())
            }
            Self::Layers { .. }
            | Self::DiffId { .. }
            | Self::Unpack { .. }
            | Self::Merge { .. }
            | Self::Config { .. } => {
                Some("the image is damaged where it comes from: build or push it again".to_owned())
            }
            Self::Pull(error) => error.help(),
            Self::Left { .. } => None,
        }
    }
}
