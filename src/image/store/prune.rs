//! Removing: names, and what no name leads to. Not here: which names go (`images`).

use std::collections::BTreeSet;

use super::files::{is_unlocked, remove};
use super::locks::Alone;
use super::usage::{InUse, Item, Part};
use super::{Store, StoreError};

/// What is to stay.
#[derive(Debug, Default)]
pub(in crate::image) struct Keep {
    /// Digits of blobs.
    pub(in crate::image) blobs: BTreeSet<String>,
    /// Digits of layers.
    pub(in crate::image) layers: BTreeSet<String>,
    /// Keys of trees.
    pub(in crate::image) roots: BTreeSet<String>,
}

impl Store {
    /// Has the store alone, so that nothing is added while it is looked through.
    pub(in crate::image) fn close(&self) -> Result<Alone, StoreError> {
        self.alone()
    }

    /// Takes names away.
    pub(in crate::image) fn drop_names(&self, names: &BTreeSet<usize>) -> Result<(), StoreError> {
        self.change_names(|entries| {
            let mut number = 0;
            entries.retain(|_| {
                number += 1;
                !names.contains(&(number - 1))
            });
        })
    }

    /// What can go: all that is neither kept nor in use.
    pub(in crate::image) fn removable(&self, keep: &Keep, in_use: &InUse) -> Vec<Item> {
        let stays = |item: &Item| match item.part {
            Part::Blobs => keep.blobs.contains(&item.hex),
            Part::Layers => in_use.is_unclear || keep.layers.contains(&item.hex) || in_use.layers.contains(&item.hex),
            Part::Roots => keep.roots.contains(&item.hex) || in_use.roots.contains(&item.hex),
            // Someone is writing it.
            Part::Partial => item.paths.iter().any(|path| path.is_file() && !is_unlocked(path)),
        };
        self.items().into_iter().filter(|item| !stays(item)).collect()
    }

    /// Removes what can go; trees before what they are made of.
    pub(in crate::image) fn remove_items(&self, items: &[Item]) -> Result<(), StoreError> {
        for part in [Part::Roots, Part::Layers, Part::Blobs, Part::Partial] {
            for item in items.iter().filter(|item| item.part == part) {
                match part {
                    Part::Roots => self.drop_root(&item.hex)?,
                    _ => item.paths.iter().try_for_each(|path| remove(path))?,
                }
            }
        }
        Ok(())
    }
}
