//! Images out of registries: the network only. What is fetched goes into a store through [`BlobPlaces`].
//!
//! ```text
//! Registry ─► Route (mirrors, the registry) ─► Session (one repository at one host: scheme, login, token) ─► HTTP
//!    │ resolve: name → index → manifest → config         Tries: pauses, again, or an error that names all
//!    └ fetch: a few threads, a blob each ─► BlobSink
//! ```
//! The forms (manifests, tokens, errors) are those of `oci_distribution`. Its client is not used: it reads what a registry
//! answers to its end, however long that is, and keeps neither the headers nor the status of a refusal; a registry is not
//! trusted that far here. What it is built on is used in its place, `reqwest` and `http-auth`
//! (`docs/decisions/0013-registries-by-our-own-requests.md`).
//!
//! Deliberately not here: a store, what manifests say (`image::manifest`), what a user reads (`cli`).

mod access;
mod blob;
mod body;
mod client;
mod endpoint;
mod error;
mod fetch;
mod helper;
mod login;
mod missing;
mod pinned;
mod resolve;
mod retry;
mod route;
mod session;
mod settings;
mod sink;
mod surroundings;
mod text;
mod token;
mod trust;
mod wire;

pub use access::{Patience, RegistryAccess};
pub use client::Registry;
pub use error::PullError;
pub use settings::{HostSettings, RegistrySettings};
pub use sink::{BlobPlaces, BlobSink, Commit, FetchWatch, Place, Silent};
pub use surroundings::{Surroundings, User};
pub use wire::WireError;

use super::Digest;
use super::manifest::{Descriptor, ImageManifest};
use super::platform::Platform;
use crate::config::Reference;
/// Which image is wanted.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Its name.
    pub image: &'a Reference,
    /// What the lock file says that it is: an index, or the platform's manifest.
    pub locked: Option<&'a Digest>,
    /// What it is for.
    pub platform: &'a Platform,
    /// Manifests and configs that are here already, by digest; they are not fetched again.
    pub known: &'a dyn Fn(&Digest) -> Option<Vec<u8>>,
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask").field("image", self.image).field("locked", &self.locked).finish_non_exhaustive()
    }
}

/// A manifest, index or config, as it came; the bytes have the digest of the descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a name is at the registry, down to the blobs.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The image that was asked for.
    pub image: Reference,
    /// The indexes on the way, the outermost first; none where the name is one manifest.
    pub indexes: Vec<Document>,
    /// The platform's manifest.
    pub manifest: Document,
    /// What it says.
    pub content: ImageManifest,
    /// Its config.
    pub config: Document,
}
