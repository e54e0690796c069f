//! A host folder, or an unpacked image, as virtio-fs: spawn, confine and supervise one file server a share, and hand out its socket.
//!
//! ```text
//!  smolvm                                    child of our own program, one a share
//!  spawn ──spec, listener, control──►  serve ─► confine ─► ShareFs (rules, view) ─► Tree (nodes) ─► folder
//!    │ ◄────────ready, or why not───────┘                    ▲
//!    └── engine ◄──connected socket──► vhost-user ───────────┘
//! ```
//!
//! An image is served from its tree and packs instead ([`image`]), by a process that can open nothing at all.
//!
//! The server acts wholly with the owner's rights ([`Rights`]) and sees nothing of the host but the share. What the
//! guest's root does there, the owner could do. Not here: tags in the guest and mounting, which are the agent's.

#[cfg(test)]
mod asked;
mod calls;
mod changes;
mod confine;
mod device;
mod entries;
mod filesystem;
mod identity;
mod image;
mod nodes;
mod ownership;
mod passthrough;
mod patience;
mod reads;
mod recorder;
mod rules;
mod serve;
mod settings;
mod single;
mod source;
mod spawn;
mod spec;
mod tree;
mod view;
mod wire;
mod words;
mod xattrs;

pub use crate::sys::child::OnDeath;
pub use serve::{confined_main, serve_main};
pub use source::{ShareSource, SourceLoss};
pub use spawn::{ShareHandle, spawn_share, spawn_share_from};
pub use spec::{Makers, Rights, ShareCache, ShareError, ShareSpec, ShareTree};
pub use wire::{Given, Outputs};
pub(crate) use words::{say, speak_on_stderr};
