//! Why bytes are no manifest that smolvm reads, and what to do about it.

use super::LAYERS_MAX;

/// Why bytes are no manifest of an image that smolvm runs.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// They are not what their form asks for.
    #[error("the manifest cannot be read: {0}")]
    Form(String),
    /// The old form, which has no digests that can be verified.
    #[error("the image has a manifest of schema 1, which docker gave up in 2017 and smolvm does not read")]
    Schema1,
    /// It is something else than an image.
    #[error("it is no image but `{0}`")]
    NoImage(String),
    /// A layer that registries may not hand out.
    #[error(
        "layer `{digest}` is foreign (`{media_type}`): it is not in the registry, and smolvm fetches from nowhere else"
    )]
    ForeignLayer {
        /// The layer.
        digest: String,
        /// What it says that it is.
        media_type: String,
    },
    /// A layer of a form that nobody can unpack here.
    #[error("layer `{digest}` is `{media_type}`, which smolvm cannot unpack")]
    UnknownLayer {
        /// The layer.
        digest: String,
        /// What it says that it is.
        media_type: String,
    },
    /// More layers than an image may have.
    #[error("the image has {0} layers, the limit is {LAYERS_MAX}")]
    TooManyLayers(usize),
}

impl ManifestError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Schema1 => Some("push the image again with a docker of this decade, or `skopeo copy --format v2s2`"),
            Self::NoImage(_) => Some("name an image; charts, signatures and other artifacts hold no file system"),
            Self::ForeignLayer { .. } => Some("foreign layers are those of Windows images; name an image of `linux`"),
            Self::UnknownLayer { .. } => {
                Some("smolvm unpacks tar, tar+gzip and tar+zstd; `skopeo copy --dest-compress-format zstd` makes one")
            }
            Self::Form(_) | Self::TooManyLayers(_) => None,
        }
    }
}
