//! What a machine boots from: the guest kernel and the initial file system, both kept in the user's cache.
//!
//! [`kernel::resolve`] finds or fetches a kernel and gives the file that an engine boots; [`initramfs::build`] packs
//! the agent and the modules it must load first. Everything below the cache is written beside its place and then
//! renamed, so that a run killed at any point leaves nothing half done, and later runs need no network.

mod cache;
mod cpio;
mod decompress;
mod digest;
mod disk_form;
pub mod initramfs;
pub mod kernel;
pub mod manifest;
mod platform;
mod pull;
pub mod registry;
mod tool;
pub mod unpack;
mod waiter;

pub(crate) use cache::Cache;
pub use digest::{Digest, DigestError};
pub use disk_form::{DiskFormError, DiskMetadata, disk_metadata};
pub use platform::{Platform, PlatformError};
pub use waiter::Waiter;
