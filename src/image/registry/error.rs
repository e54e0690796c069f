//! Why an image cannot be had from a registry: what, where, and what to do.

use super::super::manifest::ManifestError;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry's manifest is none that smolvm reads.
    #[error("cannot use `{image}`")]
    Manifest {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The result is no longer wanted.
    #[error("fetching `{image}` was given up, because nobody waits for it any more")]
    Left {
        /// The image.
        image: String,
    },
}
