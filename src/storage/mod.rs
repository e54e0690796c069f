//! Disks that outlive a machine: the one behind its `/workspace`, and the named volumes of the project.
//!
//! ```text
//! <state of the project>/
//!     disks/<machine>.img       sparse, an ext4 file system
//!     volumes/<name>.img        likewise
//!     */<...>.holder            who has it; the lock is on the disk itself
//! ```
//!
//! A disk begins as a copy of a template ([`template`]), so that no `mkfs` is needed here or in the guest; a larger one is
//! grown by the guest's kernel when it is mounted. All work on files is done with the rights of the invoking user.
//! Deliberately not here: how a disk is served (`virtio`), and how it is mounted (the agent).

mod disk;
mod error;
mod list;
mod lock;
mod place;
mod template;
#[cfg(test)]
mod tests;

pub use disk::{DEFAULT_SIZE_MIB, OpenDisk};
pub use error::StorageError;
pub use list::{StoredDisk, Usage};
pub use lock::Holder;
pub use place::{DiskName, Storage};
