//! Mounts that a later file overrides although their targets are written differently: links of the guest lead to one
//! place. Those with the same target are gone when this is asked (`merge_mounts`).

use std::collections::HashMap;

use super::world::World;
use crate::config::files::Files;
use crate::config::model::{Machine, Mount, Project};
use crate::diag::{FileId, Sources};

/// The overridden mounts as numbers of machines and of their mounts, in order.
pub(crate) fn find_overridden(project: &Project, files: &dyn Files, texts: &Sources) -> Vec<(usize, usize)> {
    let file = |mount: &Mount| mount.target.span.file;
    let is_mixed = |machine: &Machine| machine.mounts.iter().any(|mount| file(mount) != file(&machine.mounts[0]));
    if !project.machines.iter().any(is_mixed) {
        return Vec::new();
    }
    let world = World::new(project, files, texts);
    let mut overridden = Vec::new();
    for (number, (machine, places)) in world.machines().enumerate().filter(|(_, (machine, _))| is_mixed(machine)) {
        let mut last: HashMap<&str, FileId> = HashMap::new();
        for (index, mount) in machine.mounts.iter().enumerate() {
            let last = last.entry(places.target(index).as_str()).or_insert(file(mount));
            if project.origins.is_later_file(file(mount), *last) {
                *last = file(mount);
            }
        }
        let is_last = |index: usize| last[places.target(index).as_str()] == file(&machine.mounts[index]);
        overridden.extend((0..machine.mounts.len()).filter(|index| !is_last(*index)).map(|index| (number, index)));
    }
    overridden
}
