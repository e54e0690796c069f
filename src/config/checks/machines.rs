//! Rules about a machine itself: how many shares it takes (0113), its image's folder (0402), its kernel (0403), the
//! owners of its mounts (0602), memory that boots nothing (0803).

use std::path::Path;

use super::kernel;
use super::world::World;
use crate::config::files::{FileError, FileKind};
use crate::config::model::{Image, KernelSource, Machine, Mount, MountKind, Owner};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// As many shares as a machine has slots for, beside its root, control channel and disks.
const SHARES_MAX: usize = 24;
/// The least memory a kernel and its agent boot with.
const MEMORY_MIN_MIB: u64 = 64;

/// More than any file of accounts that people keep.
const ACCOUNTS_MAX_BYTES: usize = 1 << 20;

/// Checks every machine.
pub(super) fn check_machines(world: &World<'_>, out: &mut Diagnostics) {
    for machine in &world.project.machines {
        let shares: Vec<&Mount> = machine.mounts.iter().filter(|mount| mount.source().is_some()).collect();
        if let Some(mount) = shares.get(SHARES_MAX) {
            out.push(too_many_shares(machine, mount, shares.len()));
        }
        check_memory(machine, out);
        if let Image::Dir(path) = &machine.image.value {
            check_folder(world, path, machine.image.span, (402, "image"), out);
        }
        if let KernelSource::Path(path) = &machine.kernel.value
            && let Some(found) = kernel::check(world, path, machine.kernel.span)
        {
            out.push(found);
        }
        if let Some(modules) = &machine.modules {
            check_folder(world, &modules.value, modules.span, (403, "kernel modules"), out);
        }
        for mount in &machine.mounts {
            let MountKind::Bind { owner, .. } = &mount.kind else { continue };
            match &owner.value {
                Owner::Invoker => {}
                Owner::Guest => check_owner(world, "guest", owner.span, out),
                Owner::Named(name) => check_owner(world, name, owner.span, out),
            }
        }
    }
}

fn too_many_shares(machine: &Machine, mount: &Mount, count: usize) -> Diagnostic {
    let message =
        format!("machine `{}` has {count} mounts of host folders, the limit is {SHARES_MAX}", machine.name.value);
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

/// A path that must be a folder: the rule's number and what the folder is for come from the caller.
fn check_folder(world: &World<'_>, path: &Path, span: Span, rule: (u16, &str), out: &mut Diagnostics) {
    let shown = world.show(path);
    let (code, what) = rule;
    let (message, label, help) = match world.files.metadata(path) {
        Ok(found) if found.kind == FileKind::Folder && world.files.is_readable(path) => return,
        Ok(found) if found.kind == FileKind::Folder => (
            format!("{what} folder `{shown}` cannot be read by {}", world.invoker_words()),
            "no right to list and enter this folder",
            super::sources::give(world, path, "rx"),
        ),
        Ok(_) if code == 402 => (
            format!("image `{shown}` is not a folder, as `dir:` says"),
            "this is a file",
            "name the folder that holds an unpacked root file system".to_owned(),
        ),
        Ok(_) => (format!("{what} path `{shown}` is not a folder"), "this is a file", "name a folder".to_owned()),
        Err(FileError::Missing) => {
            let help = super::sources::nearest_path(world, path, &[FileKind::Folder])
                .map_or_else(|| "name a folder that is there".to_owned(), |near| format!("did you mean `{near}`?"));
            (format!("{what} folder `{shown}` does not exist"), "no such folder", help)
        }
        Err(error) => (
            format!("{what} folder `{shown}` cannot be used: {error}"),
            "cannot be looked at",
            "name a folder that can be read".to_owned(),
        ),
    };
    out.push(Diagnostic::new(Code(code), Severity::Error, message).label(span, label).help(help));
}

/// `guest`, and ids or names of others, need root.
fn check_owner(world: &World<'_>, owner: &str, span: Span, out: &mut Diagnostics) {
    if world.files.invoker().is_privileged || is_oneself(world, owner) {
        return;
    }
    let (message, label) = if owner == "guest" {
        ("`owner: guest` gives files the guest's own ids on the host, which only root may do".to_owned(), "needs root")
    } else {
        (
            format!("`owner: {owner}` gives files to another user, which only root may do"),
            "needs root, or to be oneself",
        )
    };
    out.push(
        Diagnostic::new(Code(602), Severity::Error, message)
            .label(span, label)
            .help("leave `owner` out: files then belong to you; or run smolvm under `sudo`"),
    );
}

/// Whether an owner is the invoking user. Names that this host does not know are another rule's matter (0603).
fn is_oneself(world: &World<'_>, owner: &str) -> bool {
    let invoker = world.files.invoker();
    let (user, group) = owner.split_once(':').map_or((owner, None), |(user, group)| (user, Some(group)));
    let is_user = id_of(world, "/etc/passwd", user).is_none_or(|uid| uid == invoker.uid);
    let is_group = group.and_then(|group| id_of(world, "/etc/group", group)).is_none_or(|gid| gid == invoker.gid);
    owner != "guest" && is_user && is_group
}

/// The number that a name has in `/etc/passwd` or `/etc/group`, or the number itself.
fn id_of(world: &World<'_>, file: &str, name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let bytes = world.files.read(Path::new(file), ACCOUNTS_MAX_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}
