//! The guest's kernel: the distribution's own cloud kernel, or the file that the user names.
//!
//! ```text
//! auto ─► cache ─► packages (apt, dnf, pacman: downloaded and unpacked, never installed) ─► the host's own /boot
//! path ─────────────────────────────────────────────────────┐
//!                                        bzImage or vmlinux ─┴─► vmlinux with a PVH entry, extracted once
//! ```
//!
//! Deliberately not here: building kernels, and loading modules (the agent does that).

mod apt;
mod bzimage;
mod dnf;
pub(crate) mod elf;
mod error;
pub(crate) mod modules;
mod package;
mod pacman;
mod resolve;
mod vmlinux;

pub use error::KernelError;
pub use modules::ModuleError;
pub(crate) use resolve::REQUIRED_MODULES;
pub use resolve::{AutoChoice, Kernel, KernelRequest, describe_auto, resolve};
