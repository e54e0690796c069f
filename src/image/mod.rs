//! What a machine boots from: images, the guest kernel and the initial file system, all kept in the user's cache.
//!
//! [`Images`] brings images, from registries and files, into the [`store`].
//! [`kernel::resolve`] finds or fetches a kernel and gives the file that an engine boots; [`initramfs::build`] packs
//! the agent and the modules it must load first. Everything below the cache is written beside its place and then
//! renamed, so that a run killed at any point leaves nothing half done, and later runs need no network.

mod cache;
mod config;
mod cpio;
mod decompress;
mod digest;
mod disk_form;
mod error;
mod images;
pub mod initramfs;
pub mod kernel;
pub mod manifest;
mod platform;
mod pull;
pub mod registry;
mod request;
pub mod source;
pub mod store;
mod tool;
pub mod unpack;
mod waiter;

pub(crate) use cache::Cache;
pub use config::{ImageConfig, ImageConfigError};
pub use digest::{Digest, DigestError};
pub use disk_form::{DiskFormError, DiskMetadata, disk_metadata};
pub use error::ImageError;
pub use images::{Images, ListedImage, PartUse, PruneRequest, Pruned, StoreUse};
pub use platform::{Platform, PlatformError};
pub use request::{Access, ImageRequest, ImageSource, ImageWaiter, LayerPhase, LayerProgress, ReadyImage};
pub use waiter::Waiter;
