//! Images out of files of this computer: an OCI layout (folder or tar), a tar of `docker save`.
//!
//! Deliberately not here: the store that they go to, registries.

mod error;

pub use error::SourceError;
