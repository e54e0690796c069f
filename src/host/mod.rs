//! host.

mod accounts;
pub mod files;

pub use files::HostFiles;
