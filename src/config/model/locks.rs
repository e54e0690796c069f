//! What the lock file says of a project's images. Deliberately not here: reading it.

use std::collections::BTreeMap;

use super::super::lock::AUTO_KERNEL;
use super::super::reference::Reference;

/// Digests that the lock file gives, for the platform of machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    /// By name in full.
    digests: BTreeMap<String, String>,
}

impl Locks {
    /// Digests by [`Reference::name`].
    pub(crate) fn new(digests: BTreeMap<String, String>) -> Self {
        Self { digests }
    }

    /// The digest that stands for a reference: that of the lock file, where the reference has none of its own.
    pub fn digest(&self, reference: &Reference) -> Option<&str> {
        match reference.digest() {
            Some(_) => None,
            None => self.digests.get(&reference.name()).map(String::as_str),
        }
    }

    /// The digest of the kernel that `kernel: auto` is to be.
    pub fn auto_kernel(&self) -> Option<&str> {
        self.digests.get(AUTO_KERNEL).map(String::as_str)
    }
}
