//! A host folder as virtio-fs: spawn, confine and supervise one file server a share, and hand out its socket.

mod spec;

pub use spec::{Rights, ShareError, ShareSpec, ShareTree};
