//! Whose what a guest makes is on the host: owners of mounts, and to whom a step's results are given.
//!
//! Names were looked up when the file was checked; the ids are in the project.

use super::model::{HostFacts, OwnerPlan};
use crate::config::Project;
use crate::config::model::{Chown, Machine, MountKind, Owner, Step};

/// The user and the group that own nothing: for a name that is not known (0603), with which no plan is carried out.
const NOBODY: u32 = 65_534;

/// The owner of a mount.
pub(super) fn plan_owner(project: &Project, owner: &Owner) -> OwnerPlan {
    match owner {
        Owner::Invoker => OwnerPlan::Invoker,
        Owner::Guest => OwnerPlan::Guest,
        Owner::Named(name) => match project.owners.get(name) {
            Some(ids) => OwnerPlan::Ids { uid: ids.uid, gid: ids.gid, groups: ids.groups.clone() },
            None => OwnerPlan::Ids { uid: NOBODY, gid: NOBODY, groups: Vec::new() },
        },
    }
}

/// To whom a step's results are given; nobody where no mount of its machine keeps the guest's ids (0601, 0604).
pub(super) fn plan_chown(project: &Project, machine: &Machine, step: &Step, host: &HostFacts) -> Option<(u32, u32)> {
    let chown = &step.chown.as_ref()?.value;
    let keeps_guest_ids = machine.mounts.iter().any(|mount| match &mount.kind {
        MountKind::Bind { owner, readonly, .. } => owner.value == Owner::Guest && !readonly,
        MountKind::Overlay { .. } | MountKind::Volume { .. } | MountKind::Tmpfs { .. } => false,
    });
    let whom = match chown {
        Chown::Invoker => (host.invoker.uid, host.invoker.gid),
        Chown::Named(name) => project.owners.get(name).map(|ids| (ids.uid, ids.gid))?,
    };
    keeps_guest_ids.then_some(whom)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{FileRequest, LoadRequest, MemoryFiles, Mode, load};
    use crate::plan::Invoker;

    fn read(text: &str) -> Project {
        let files = MemoryFiles::new()
            .privileged()
            .folder("/project/a")
            .folder("/project/b")
            .file("/etc/passwd", "www-data:x:33:34::/:\n");
        let folder = PathBuf::from("/project");
        let request = LoadRequest {
            files: vec![FileRequest::Stdin { bytes: text.as_bytes().to_vec(), folder: folder.clone() }],
            current_folder: folder,
            mode: Mode::Run,
            ..LoadRequest::default()
        };
        let loaded = load(request, &files);
        assert!(!loaded.diagnostics.has_errors(), "{:?}", loaded.diagnostics);
        loaded.project.expect("it can be read")
    }

    #[test]
    fn names_become_ids_and_a_chown_without_guest_ids_is_nothing() {
        let project = read(
            "machines:
  a:
    mounts:
      - { source: ./a, target: /a, owner: www-data }
      - { source: ./b, target: /b, owner: guest }
  b:
    mounts: [\"./a:/a\", { source: ./b, target: /b, owner: guest, readonly: true }]
steps:
  - { machine: a, run: x, chown: true }
  - { machine: a, run: x, chown: \"5:6\" }
  - { machine: b, run: x, chown: true }
",
        );
        let owner = |index: usize| match &project.machines[0].mounts[index].kind {
            MountKind::Bind { owner, .. } => plan_owner(&project, &owner.value),
            _ => panic!("a bind mount"),
        };
        assert_eq!(owner(0), OwnerPlan::Ids { uid: 33, gid: 34, groups: vec![34] });
        assert_eq!(owner(1), OwnerPlan::Guest);
        let invoker = Invoker { uid: 1000, gid: 100, groups: vec![], name: None, home: None, is_process_root: true };
        let host = HostFacts { cpus: 1, memory_mib: 1024, invoker };
        let chown =
            |step: usize, machine: usize| plan_chown(&project, &project.machines[machine], &project.steps[step], &host);
        assert_eq!((chown(0, 0), chown(1, 0), chown(2, 1)), (Some((1000, 100)), Some((5, 6)), None));
    }
}
