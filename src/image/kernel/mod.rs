//! The guest's kernel: the distribution's own cloud kernel, or the file or image that the user names.
//!
//! ```text
//! auto ─► lean kernel ─► cache ─► packages (apt, dnf, pacman: downloaded and unpacked, never installed) ─► /boot
//! image ─► its tree ─► cache ──────────────────────────────┐
//! path ─────────────────────────────────────────────────────┤
//!                                        bzImage or vmlinux ─┴─► vmlinux with a PVH entry, extracted once
//! ```
//!
//! [`lean::build`] makes the lean kernel, [`in_cache`] tells what is there, [`prune`] removes what nobody used for long.
//! Deliberately not here: loading modules (the agent does that).

mod apt;
mod bzimage;
mod dnf;
pub(crate) mod elf;
mod error;
pub mod lean;
mod list;
pub(crate) mod modules;
mod of_image;
mod package;
mod pacman;
mod place;
mod prune;
mod resolve;
mod stored;
mod vmlinux;

pub use error::KernelError;
pub use list::{KernelList, StoredKernel, StoredKind, host_kernel, in_cache};
pub use modules::ModuleError;
pub use of_image::of_image;
pub use prune::{Pruned, prune};
pub(crate) use resolve::REQUIRED_MODULES;
pub use resolve::{AutoChoice, Kernel, KernelRequest, describe_auto, pull, resolve};
pub(crate) use stored::mark_used;
