//! Where the mounts of one machine really are in its guest, and which of them a guest path lies in.
//!
//! Links are followed as the guest's kernel will: those of the image, and those in the shares above. Mounts are
//! resolved parents first, as they are made. Looking one up costs the depth of the path, not the number of mounts.

use std::collections::HashMap;
use std::path::PathBuf;

use super::world::World;
use crate::config::alias;
use crate::config::model::{GuestPath, Machine};

/// The mounts of one machine, by where they really are.
pub(super) struct Places {
    /// Real target of each mount, in the order of the machine's mounts.
    targets: Vec<GuestPath>,
    /// The first mount at each real target.
    by_target: HashMap<GuestPath, usize>,
}

impl Places {
    /// Resolves all targets of a machine.
    pub(super) fn new(machine: &Machine, world: &World<'_>) -> Self {
        let mut order: Vec<usize> = (0..machine.mounts.len()).collect();
        order.sort_by_key(|index| depth(&machine.mounts[*index].target.value));
        let mut places = Self {
            targets: machine.mounts.iter().map(|mount| mount.target.value.clone()).collect(),
            by_target: HashMap::with_capacity(order.len()),
        };
        for index in order {
            let target = places.resolve(&machine.mounts[index].target.value, machine, world);
            places.targets[index] = target.clone();
            let first = places.by_target.entry(target).or_insert(index);
            *first = index.min(*first);
        }
        places
    }

    /// Where a guest path leads, all links followed.
    pub(super) fn resolve(&self, path: &GuestPath, machine: &Machine, world: &World<'_>) -> GuestPath {
        alias::follow(path, &mut |at| {
            let parsed = GuestPath::parse(at)?;
            if self.by_target.contains_key(&parsed) {
                return None;
            }
            match self.host_path(&parsed, machine) {
                Some(host_path) => world.host_link(&host_path),
                None => world.image_link(&machine.image.value, at),
            }
        })
    }

    /// Real target of a mount.
    pub(super) fn target(&self, mount: usize) -> &GuestPath {
        &self.targets[mount]
    }

    /// The first mount at exactly this real path.
    pub(super) fn at(&self, path: &GuestPath) -> Option<usize> {
        self.by_target.get(path).copied()
    }

    /// The innermost mount in which a real path lies.
    pub(super) fn innermost(&self, path: &GuestPath) -> Option<usize> {
        self.at(path).or_else(|| self.above(path))
    }

    /// The innermost mount strictly above a real path.
    pub(super) fn above(&self, path: &GuestPath) -> Option<usize> {
        let mut text = path.as_str();
        while let Some(cut) = text.rfind('/') {
            let parent = if cut == 0 { "/" } else { &text[..cut] };
            if parent == text {
                return None;
            }
            if let Some(found) = GuestPath::parse(parent).and_then(|parent| self.at(&parent)) {
                return Some(found);
            }
            text = parent;
        }
        None
    }

    /// The host path behind a real guest path, where it lies in a share.
    pub(super) fn host_path(&self, path: &GuestPath, machine: &Machine) -> Option<PathBuf> {
        let mount = self.innermost(path)?;
        let rest = path.as_str().strip_prefix(self.targets[mount].as_str())?.trim_start_matches('/');
        let source = &machine.mounts[mount].source.value;
        Some(if rest.is_empty() { source.clone() } else { source.join(rest) })
    }
}

/// How many components a path has.
fn depth(path: &GuestPath) -> usize {
    path.as_str().split('/').filter(|part| !part.is_empty()).count()
}
