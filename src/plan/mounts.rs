//! The mounts of a machine: those of the file, and its `/workspace`.

use super::model::{DiskPlan, MountPlan, MountPlanKind};
use super::owners::plan_owner;
use crate::config::Project;
use crate::config::model::{GuestPath, Machine, MountKind, Workspace};

/// Where every machine has a disk of its own.
const WORKSPACE: &str = "/workspace";

/// Mounts parents first: by depth, then `/workspace`, then in file order. Tags and serial numbers are numbered in that
/// order.
pub(super) fn plan_mounts(project: &Project, machine: &Machine) -> Vec<MountPlan> {
    let depth = |target: &GuestPath| target.as_str().split('/').filter(|part| !part.is_empty()).count();
    let mut namer = Namer::default();
    let mut mounts: Vec<MountPlan> = plan_workspace(machine, &mut namer).into_iter().collect();
    let mut declared: Vec<_> = machine.mounts.iter().collect();
    declared.sort_by_key(|mount| depth(&mount.target.value));
    mounts.extend(declared.into_iter().map(|mount| MountPlan {
        target: mount.target.value.clone(),
        create: mount.create,
        kind: plan_mount_kind(project, machine, &mount.kind, &mut namer),
    }));
    mounts.sort_by_key(|mount| depth(&mount.target));
    mounts
}

/// `/workspace`, unless the file says that there is none, or puts something else there.
fn plan_workspace(machine: &Machine, namer: &mut Namer) -> Option<MountPlan> {
    let size_mib = match &machine.workspace {
        Workspace::Absent => return None,
        Workspace::Default => None,
        Workspace::Size(size) => Some(size.value),
    };
    if machine.mounts.iter().any(|mount| mount.target.value.as_str() == WORKSPACE) {
        return None;
    }
    let kind = MountPlanKind::Disk { serial: namer.serial(None), disk: DiskPlan::Workspace, size_mib, readonly: false };
    Some(MountPlan { target: GuestPath::parse(WORKSPACE)?, create: false, kind })
}

/// Names of devices, each once.
#[derive(Default)]
struct Namer {
    shares: usize,
    /// The volume of each disk, if it is one.
    disks: Vec<Option<String>>,
}

impl Namer {
    fn tag(&mut self) -> String {
        self.shares += 1;
        format!("share{}", self.shares - 1)
    }

    /// A volume that is mounted twice is one disk.
    fn serial(&mut self, volume: Option<&str>) -> String {
        let known = self.disks.iter().position(|disk| volume.is_some() && disk.as_deref() == volume);
        let place = known.unwrap_or_else(|| {
            self.disks.push(volume.map(str::to_owned));
            self.disks.len() - 1
        });
        format!("disk{place}")
    }
}

/// Decides what a mount shows.
fn plan_mount_kind(project: &Project, machine: &Machine, kind: &MountKind, namer: &mut Namer) -> MountPlanKind {
    match kind {
        MountKind::Bind { source, is_file, readonly, owner, guest_owner, cache } => MountPlanKind::Bind {
            tag: namer.tag(),
            source: source.value.clone(),
            is_file: *is_file,
            readonly: *readonly,
            owner: plan_owner(project, &owner.value),
            guest_owner: guest_owner.as_ref().map(|user| user.value.clone()),
            cache: cache.value,
        },
        MountKind::Overlay { source, guest_owner } => MountPlanKind::Overlay {
            tag: namer.tag(),
            source: source.value.clone(),
            guest_owner: guest_owner.as_ref().or(machine.user.as_ref()).map(|user| user.value.clone()),
        },
        MountKind::Tmpfs { size_mib } => MountPlanKind::Tmpfs { size_mib: size_mib.as_ref().map(|size| size.value) },
        MountKind::Volume { name, readonly } => {
            let volume = project.volumes.iter().find(|volume| volume.name.value == name.value);
            MountPlanKind::Disk {
                serial: namer.serial(Some(&name.value)),
                disk: DiskPlan::Volume(name.value.clone()),
                size_mib: volume.and_then(|volume| volume.size_mib.as_ref()).map(|size| size.value),
                readonly: *readonly,
            }
        }
    }
}
