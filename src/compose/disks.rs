//! The disks of a machine: opened in the project's storage, and served.
//!
//! Deliberately not here: what is on a disk (`storage`), its place in the guest (`plan`).

use std::path::Path;
use std::sync::Arc;

use super::provide::world;
use crate::engine::DiskSocket;
use crate::image::initramfs::STORAGE_MODULES;
use crate::image::kernel::{Kernel, REQUIRED_MODULES};
use crate::plan::{DiskPlan, MachinePlan, MountPlan, MountPlanKind};
use crate::run::{ProvideError, file_name};
use crate::storage::{DiskName, OpenDisk, Storage};
use crate::virtio::block::{DiskContent, DiskHandle, DiskSegment, DiskSpec, spawn_disk};

/// Who hears how a server died: its name for people, and how.
type Died = Arc<dyn Fn(String, String) + Send + Sync>;

/// Who hears what the user should know.
type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// The modules of a machine's kernel besides those of every machine: those of its root, and of its disks if it has any.
pub(super) fn modules(
    machine: &MachinePlan,
    root: &[&'static str],
    kernel: &Kernel,
    cache: &Path,
) -> Result<Vec<&'static str>, ProvideError> {
    let mut modules = root.to_vec();
    if disks(machine).next().is_none() {
        return Ok(modules);
    }
    // A kernel that can run no machine at all is told as such, when its initramfs is built.
    if !kernel.has(&STORAGE_MODULES, cache) && kernel.has(&REQUIRED_MODULES, cache) {
        let message = format!(
            "kernel `{}` has no ext4 or no virtio disks, which `/workspace` and volumes need: take another kernel, or \
             write `workspace: false`",
            kernel.version
        );
        return Err(ProvideError { message, is_host_unfit: false });
    }
    modules.extend(STORAGE_MODULES.iter().filter(|module| !root.contains(*module)));
    Ok(modules)
}

/// The mounts that are disks, each disk once.
fn disks(machine: &MachinePlan) -> impl Iterator<Item = (&MountPlan, &str, &DiskPlan)> {
    let mut seen: Vec<&str> = Vec::new();
    machine.mounts.iter().filter_map(move |mount| {
        let MountPlanKind::Disk { serial, disk, .. } = &mount.kind else { return None };
        let is_new = !seen.contains(&serial.as_str());
        seen.push(serial);
        is_new.then_some((mount, serial.as_str(), disk))
    })
}

/// Opens and serves the disks of a machine.
pub(super) fn serve(
    storage: &Storage,
    machine: &MachinePlan,
    died: &Died,
    warn: &Warn,
) -> Result<Vec<(DiskHandle, DiskSocket)>, ProvideError> {
    let mut served = Vec::new();
    for (mount, serial, disk) in disks(machine) {
        let MountPlanKind::Disk { size_mib, readonly, .. } = &mount.kind else { continue };
        let name = name_of(machine, disk);
        let OpenDisk { file, length, is_unclean, remark } = storage
            .open(&name, *size_mib, *readonly, &machine.name)
            .map_err(|error| world("a disk cannot be had", &error))?;
        if let Some(remark) = remark {
            warn(remark);
        }
        let segment = DiskSegment { file: file.into(), length };
        let content = match (readonly, is_unclean) {
            (false, _) => DiskContent::Writable(segment),
            (true, false) => DiskContent::Fixed(vec![segment]),
            // The guest's kernel plays the journal back, for itself alone: others may read the disk too.
            (true, true) => DiskContent::Private(segment),
        };
        let spec = DiskSpec { serial: serial.to_owned(), content };
        let people = format!("{name} (`{}`)", mount.target.as_str());
        let (died, warn, full) = (Arc::clone(died), Arc::clone(warn), full(&people, storage));
        let on_death = Box::new(move |how: String| died(people, how));
        let on_full = Box::new(move || warn(full));
        let (handle, socket) =
            spawn_disk(spec, on_death, Some(on_full)).map_err(|error| world("a disk cannot be served", &error))?;
        served.push((handle, DiskSocket { socket }));
    }
    Ok(served)
}

fn name_of(machine: &MachinePlan, disk: &DiskPlan) -> DiskName {
    match disk {
        DiskPlan::Workspace => DiskName::Workspace { machine: machine.name.clone(), file: file_name(&machine.name) },
        DiskPlan::Scratch => DiskName::Scratch,
        DiskPlan::Volume(name) => DiskName::Volume(name.clone()),
    }
}

fn full(people: &str, storage: &Storage) -> String {
    format!(
        "the host has no room left for {people}: what the guest wrote last failed with an I/O error, and what was synced \
         before is kept; make room in the file system of `{}`",
        storage.folder().display()
    )
}
