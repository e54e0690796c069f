//! What a disk is made of, what its server is told, and why there is none.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// Longest serial number (Virtio 1.2, 5.2.6: 20 bytes).
pub const SERIAL_MAX: usize = 20;

/// The descriptor from which the server reads its [`Told`] as JSON.
pub(super) const SPEC_FD: i32 = 3;
/// The listener to which the front end is connected.
pub(super) const LISTENER_FD: i32 = 4;
/// The stream that ends the server when it closes, and on which the server says that it is ready.
pub(super) const CONTROL_FD: i32 = 5;
/// The first segment's file; the others follow.
pub(super) const FIRST_SEGMENT_FD: i32 = 6;

/// The byte of a server that is ready.
pub(super) const READY: u8 = b'r';

/// The byte of a server to whose disk the host has no room to write.
pub(super) const FULL: u8 = b'f';

/// What a disk is made of.
#[derive(Debug)]
pub struct DiskSpec {
    /// By which the guest finds it, at most [`SERIAL_MAX`] bytes.
    pub serial: String,
    /// Its bytes.
    pub content: DiskContent,
}

/// The bytes of a disk.
#[derive(Debug)]
pub enum DiskContent {
    /// Files one after the other, in the order of the disk, read-only, each filled up with zeros to a multiple of 4096.
    Fixed(Vec<DiskSegment>),
    /// One file that is read and written; its length on the disk is a multiple of 4096.
    Writable(DiskSegment),
    /// One file that is only read; what the guest writes, as when it plays a journal back, is its own and goes with it.
    Private(DiskSegment),
}

/// A file of a disk.
#[derive(Debug)]
pub struct DiskSegment {
    /// Open for reading, and for writing where the disk is.
    pub file: OwnedFd,
    /// How many bytes of it are on the disk, from the first on.
    pub length: u64,
}

/// What a server is told besides its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) serial: String,
    /// Of each segment.
    pub(super) lengths: Vec<u64>,
    pub(super) kind: ToldKind,
}

/// What its files are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToldKind {
    Fixed,
    Writable,
    Private,
}

/// Why a disk cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The child process could not be started.
    #[error("cannot start the server of disk `{serial}`")]
    Spawn {
        /// Serial number.
        serial: String,
        /// Why.
        source: std::io::Error,
    },
    /// The child could not confine itself or serve; the text is its own.
    #[error("the server of disk `{serial}` could not start: {message}")]
    Start {
        /// Serial number.
        serial: String,
        /// How it ended.
        message: String,
    },
}
