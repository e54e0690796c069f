//! Where the mounts of one machine really are in its guest, and which of them a guest path lies in.
//!
//! Links are followed as the guest's kernel will: those of the image, and those in the shares above. Mounts are
//! resolved parents first, as they are made. Looking one up costs the depth of the path, not the number of mounts.

use std::collections::HashMap;
use std::path::PathBuf;

use super::world::{Link, World};
use crate::config::alias;
use crate::config::model::{GuestPath, Machine};

/// The mounts of one machine, by where they really are.
pub(super) struct Places {
    /// Real target of each mount, in the order of the machine's mounts.
    targets: Vec<GuestPath>,
    /// The first mount at each real target.
    by_target: HashMap<String, usize>,
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
            let first = places.by_target.entry(target.as_str().to_owned()).or_insert(index);
            *first = index.min(*first);
        }
        places
    }

    /// Where a guest path leads, all links followed.
    pub(super) fn resolve(&self, path: &GuestPath, machine: &Machine, world: &World<'_>) -> GuestPath {
        // The path grows name by name, so the mount in which its last but one name lies is nearly always known.
        let mut last = String::new();
        let mut innermost: Option<usize> = None;
        let mut is_absent = false;
        alias::follow(path, &mut |at| {
            let parent = &at[..at.rfind('/').unwrap_or(0)];
            if parent != last {
                innermost = self.innermost_at(parent);
                is_absent = false;
            }
            at.clone_into(&mut last);
            if let Some(mount) = self.by_target.get(at) {
                innermost = Some(*mount);
                is_absent = false;
                return None;
            }
            let link = match innermost {
                _ if is_absent => Link::Absent,
                Some(mount) => world.host_link(&self.behind(at, mount, machine)?),
                None => world.image_link(&machine.image.value, at),
            };
            is_absent = matches!(link, Link::Absent);
            if let Link::To(target) = link { Some(target) } else { None }
        })
    }

    /// Real target of a mount.
    pub(super) fn target(&self, mount: usize) -> &GuestPath {
        &self.targets[mount]
    }

    /// The first mount at exactly this real path.
    pub(super) fn at(&self, path: &GuestPath) -> Option<usize> {
        self.by_target.get(path.as_str()).copied()
    }

    /// The innermost mount in which a real path lies.
    pub(super) fn innermost(&self, path: &GuestPath) -> Option<usize> {
        self.innermost_at(path.as_str())
    }

    /// The innermost mount strictly above a real path.
    pub(super) fn above(&self, path: &GuestPath) -> Option<usize> {
        let (parent, name) = path.as_str().rsplit_once('/')?;
        if name.is_empty() { None } else { self.innermost_at(parent) }
    }

    /// As [`Places::innermost`], for a path as text; the root may be written as nothing.
    fn innermost_at(&self, path: &str) -> Option<usize> {
        let mut rest = path;
        while !rest.is_empty() && rest != "/" {
            if let Some(found) = self.by_target.get(rest) {
                return Some(*found);
            }
            rest = &rest[..rest.rfind('/')?];
        }
        self.by_target.get("/").copied()
    }

    /// The host path behind a real guest path, where it lies in a share.
    pub(super) fn host_path(&self, path: &GuestPath, machine: &Machine) -> Option<PathBuf> {
        self.behind(path.as_str(), self.innermost(path)?, machine)
    }

    /// The host path behind a real guest path in a mount.
    fn behind(&self, path: &str, mount: usize, machine: &Machine) -> Option<PathBuf> {
        let rest = path.strip_prefix(self.targets[mount].as_str())?.trim_start_matches('/');
        let source = &machine.mounts[mount].source()?.value;
        Some(if rest.is_empty() { source.clone() } else { source.join(rest) })
    }
}

/// How many components a path has.
fn depth(path: &GuestPath) -> usize {
    path.as_str().split('/').filter(|part| !part.is_empty()).count()
}
