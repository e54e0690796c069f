//! Why a layer cannot be unpacked. The layer is named by who knows it; the entry is named here.

use std::io;

/// A layer that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream ended with an error of its own.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// Compressed bytes are wrong.
    #[error("it cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// A compression that layers do not have.
    #[error("it is compressed with {0}; layers are with gzip or zstd, or not at all")]
    Compression(&'static str),
    /// The pack could not be written.
    #[error("its files cannot be written")]
    Write(#[source] io::Error),
    /// The stream ends before the archive does.
    #[error("it ends in the midst of {place}")]
    Truncated {
        /// Where, as `entry 3, `usr/bin/sh``.
        place: String,
    },
    /// Something of the archive is wrong.
    #[error("{place}: {fault}")]
    Entry {
        /// Where, as `entry 3, `usr/bin/sh``.
        place: String,
        /// What is wrong.
        fault: EntryFault,
    },
    /// Bytes after the end of the archive.
    #[error("other bytes follow the end of its archive")]
    Trailing,
    /// A limit of [`super::Limits`].
    #[error("it is larger than smolvm takes: more than {limit} {of}")]
    Limit {
        /// How much is taken.
        limit: u64,
        /// Of what, as `bytes without compression`.
        of: &'static str,
    },
    /// Nobody waits for it any more.
    #[error("it was given up")]
    Left,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Not the header of an entry.
    #[error("its header is damaged")]
    Header,
    /// Another value that makes no sense.
    #[error("its {what}: {value}")]
    Value {
        /// Of what, as `path`.
        what: &'static str,
        /// As `longer than 4095 bytes`.
        value: &'static str,
    },
    /// A path that leads out of the image.
    #[error("its {what} leads out of the image")]
    Outside {
        /// `path`, or `target`.
        what: &'static str,
    },
    /// A type of entry that layers do not have.
    #[error("it is of type `{0}`, which layers do not have")]
    Type(String),
}
