//! A disk of a machine: a virtio-blk device (Virtio 1.2, 5.2) whose bytes are those of open files.
//!
//! ```text
//!  smolvm                                      child of our own program, one a disk
//!  spawn ──spec, files, listener, control──►  serve ─► confine ─► device (queue) ─► request ─► disk (files)
//!    │ ◄───────────ready, or last words────────┘                    ▲
//!    └── engine ◄────connected socket────► vhost-user ──────────────┘
//! ```
//!
//! The child has the files and nothing else of the host. What a disk holds is decided in [`disk`] alone, which the queue
//! knows by its length, its features and what it does with a request: a disk that can be written to is another kind of
//! it. Not here: what is on a disk.

mod config;
mod confine;
mod device;
mod disk;
mod request;
mod serve;
mod spawn;
mod spec;
#[cfg(test)]
mod tests;

pub use serve::serve_main;
pub use spawn::{DiskHandle, spawn_disk, spawn_disk_from};
pub use spec::{DiskError, DiskSegment, DiskSpec, SERIAL_MAX};
