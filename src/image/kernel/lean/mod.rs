//! The lean kernel: made here from the distribution's source package with a configuration of our own, everything built
//! in and no modules, because it boots in a fraction of the time of a kernel for every computer.
//!
//! ```text
//! source (apt, or a tar of the user's) ─► tree ─► allnoconfig + lean.config ─► make vmlinux ─► lean-KEY-SOURCE/
//! ```
//!
//! All but the last is a scratch folder of the cache, under a lock of its own: meanwhile machines boot and other kernels
//! are fetched. Deliberately not here: which kernel a machine takes (`resolve`).

mod build;
mod configure;
mod error;
mod make;
mod source;
mod tools;

pub use build::{LeanBuilt, LeanRequest, build};
pub use error::LeanError;

use super::super::cache::sha256;

/// The configuration.
pub const CONFIG: &str = include_str!("lean.config");
/// What else decides how a kernel comes out; it grows when that changes.
const RECIPE: &str = "1";
/// Name of the file in the cache that keeps what the tools of the last failed build said.
pub(super) const LOG: &str = "lean-build.log";

/// What tells kernels of one configuration from those of another.
pub(super) fn key() -> String {
    sha256(&[RECIPE.as_bytes(), CONFIG.as_bytes()])[..16].to_owned()
}

#[cfg(test)]
pub(super) mod tests;
