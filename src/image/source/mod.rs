//! Images out of files of this computer: an OCI layout (folder or tar), a tar of `docker save`.
//!
//! What is found goes into the store by digest, as if it came from a registry; the file is read again only when it is another
//! one. Nothing of it is believed: paths and links that lead out are refused, all that is read has a limit, bytes have the
//! digest that names them. Deliberately not here: the store, registries.

mod container;
mod docker;
mod error;
mod import;
mod layout;

pub use error::SourceError;
pub(in crate::image) use import::{import, stamp};
