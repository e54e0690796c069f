//! Rules about a machine itself: how many shares it takes (0113), its image's path (0402), its kernel (0403),
//! memory that boots nothing (0803).

use std::path::Path;

use super::world::World;
use super::{images, kernel};
use crate::config::files::{FileError, FileKind};
use crate::config::model::{KernelSource, Machine, Mount};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// As many shares as a machine has slots for, beside its root, control channel and disks.
const SHARES_MAX: usize = 24;
/// The least memory a kernel and its agent boot with.
const MEMORY_MIN_MIB: u64 = 64;

/// Checks every machine.
pub(super) fn check_machines(world: &World<'_>, out: &mut Diagnostics) {
    for machine in &world.project.machines {
        let shares: Vec<&Mount> = machine.mounts.iter().filter(|mount| has_slot(mount)).collect();
        if let Some(mount) = shares.get(SHARES_MAX) {
            out.push(too_many_shares(machine, mount, shares.len()));
        }
        check_memory(machine, out);
        if let Some(found) = images::check(world, machine) {
            out.push(found);
        }
        if let KernelSource::Path(path) = &machine.kernel.value
            && let Some(found) = kernel::check(world, path, machine.kernel.span)
        {
            out.push(found);
        }
        if let Some(modules) = &machine.modules {
            check_modules(world, &modules.value, modules.span, out);
        }
    }
}

/// Whether a mount takes a slot of the machine: a tmpfs is the guest's own.
fn has_slot(mount: &Mount) -> bool {
    mount.source().is_some() || mount.volume().is_some()
}

fn too_many_shares(machine: &Machine, mount: &Mount, count: usize) -> Diagnostic {
    let has_volumes = machine.mounts.iter().any(|mount| mount.volume().is_some());
    let what = if has_volumes { "host folders and volumes" } else { "host folders" };
    let message = format!("machine `{}` has {count} mounts of {what}, the limit is {SHARES_MAX}", machine.name.value);
    Diagnostic::new(Code(113), Severity::Error, message)
        .label(mount.span, format!("this is number {}", SHARES_MAX + 1))
        .help("mount a folder that holds several of them, or split the machine")
}

fn check_memory(machine: &Machine, out: &mut Diagnostics) {
    let memory = machine.memory_mib.value;
    if memory >= MEMORY_MIN_MIB {
        return;
    }
    let message = format!("machine `{}` has {memory} MiB of memory, too little to boot", machine.name.value);
    out.push(
        Diagnostic::new(Code(803), Severity::Error, message)
            .label(machine.memory_mib.span, format!("at least {MEMORY_MIN_MIB} MiB are needed"))
            .help("write `memory: 512MiB`, or leave it out for 1GiB"),
    );
}

/// The modules of a kernel are a folder.
fn check_modules(world: &World<'_>, path: &Path, span: Span, out: &mut Diagnostics) {
    let shown = world.show_in(span, path);
    let what = "kernel modules";
    let (message, label, help) = match world.files.metadata(path) {
        Ok(found) if found.kind == FileKind::Folder && world.files.is_readable(path) => return,
        Ok(found) if found.kind == FileKind::Folder => (
            format!("{what} folder `{shown}` cannot be read by {}", world.invoker_words()),
            "no right to list and enter this folder",
            super::sources::give(world, path, "rx"),
        ),
        Ok(_) => (format!("{what} path `{shown}` is not a folder"), "this is a file", "name a folder".to_owned()),
        Err(FileError::Missing) => {
            let help = super::sources::nearest_path(world, span, path, &[FileKind::Folder])
                .map_or_else(|| "name a folder that is there".to_owned(), |near| format!("did you mean `{near}`?"));
            (format!("{what} folder `{shown}` does not exist"), "no such folder", help)
        }
        Err(error) => (
            format!("{what} folder `{shown}` cannot be used: {error}"),
            "cannot be looked at",
            "name a folder that can be read".to_owned(),
        ),
    };
    out.push(Diagnostic::new(Code(403), Severity::Error, message).label(span, label).help(help));
}
