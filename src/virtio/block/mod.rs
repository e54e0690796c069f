//! A disk of a machine: a virtio-blk device (Virtio 1.2, 5.2) whose bytes are those of open files.
//!
//! ```text
//!  smolvm                                      child of our own program, one a disk
//!  spawn ──spec, files, listener, control──►  serve ─► confine ─► device (queue) ─► request ─► disk (files)
//!    │ ◄───────────ready, or last words────────┘                    ▲
//!    └── engine ◄────connected socket────► vhost-user ──────────────┘
//! ```
//!
//! The child has the files and nothing else of the host. There are three kinds: files that are read ([`disk`]), one file that
//! is written too ([`writable`]), and one that only seems to be ([`private`]). Not here: what is on a disk.

mod config;
mod confine;
mod device;
mod disk;
mod private;
mod request;
mod serve;
mod spawn;
mod spec;
#[cfg(test)]
mod tests;
mod writable;
#[cfg(test)]
mod writable_tests;

pub use serve::{confined_main, serve_main};
pub use spawn::{DiskHandle, OnFull, spawn_disk, spawn_disk_from};
pub use spec::{DiskContent, DiskError, DiskSegment, DiskSpec, SERIAL_MAX};
