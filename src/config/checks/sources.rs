//! Rules about one source: it is there and usable (0109), it is not more than was meant (0110), it is not smolvm's own
//! (0111).
//!
//! All mounts with one source share a verdict, but each place that says a wrong source gets its diagnostic.

use std::path::Path;

use super::mend::add_create;
use super::wide;
use super::world::{Sourced, World, deepest_existing};
use crate::config::files::{FileError, FileKind};
use crate::config::model::{MountKind, Owner};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// Checks the source of every mount.
pub(super) fn check_sources(world: &World<'_>, out: &mut Diagnostics) {
    let wide = wide::Wide::new(world);
    for machine in &world.project.machines {
        for mount in machine.mounts.iter().filter_map(|mount| world.sourced(mount)) {
            if let Some(found) = wide.refuse(world, &mount) {
                out.push(found);
                continue;
            }
            match check_usable(world, &mount) {
                Some(problem) => out.push(problem),
                None => wide.check(world, &mount, out),
            }
        }
    }
}

/// What keeps the source from being served, if anything.
fn check_usable(world: &World<'_>, mount: &Sourced<'_>) -> Option<Diagnostic> {
    let path = mount.source.value.as_path();
    let metadata = &mount.found.metadata;
    if metadata.is_err()
        && let Some(there) = blocked_by(world, path)
    {
        return Some(below_a_file(world, mount, there));
    }
    match metadata {
        Ok(found) => match found.kind {
            FileKind::Folder => check_rights(world, mount),
            FileKind::File if mount.mount.is_file() => check_rights(world, mount),
            FileKind::File => Some(not_for_overlay(world, mount)),
            FileKind::Link | FileKind::Other => Some(not_a_folder(world, mount)),
        },
        Err(FileError::Missing) if is_dangling(world, path) => Some(dangling(world, mount)),
        Err(FileError::Missing) if mount.is_made() => check_can_be_made(world, mount),
        Err(FileError::Missing) => Some(missing(world, mount)),
        Err(FileError::Loop) => Some(refuse(
            mount,
            format!("source `{}` leads through links that lead to themselves", world.show_source(mount.source)),
            "this is no folder in the end",
            "name the folder itself",
        )),
        Err(error) => Some(out_of_reach(world, mount, error)),
    }
}

fn refuse(mount: &Sourced<'_>, message: String, label: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code(109), Severity::Error, message).label(mount.source.span, label).help(help)
}

fn check_rights(world: &World<'_>, mount: &Sourced<'_>) -> Option<Diagnostic> {
    if let MountKind::Bind { owner, .. } = &mount.mount.kind
        && owner.value != Owner::Invoker
    {
        return check_rights_of(world, mount, &owner.value);
    }
    let path = mount.source.value.as_path();
    let words = || (world.show_source(mount.source), world.invoker_words());
    let is_file = mount.mount.is_file();
    if !world.files.is_readable(path) {
        let (shown, who) = words();
        let (label, right) = if is_file {
            ("no right to read this file", "r")
        } else {
            ("no right to list and enter this folder", "rx")
        };
        return Some(refuse(
            mount,
            format!("source `{shown}` cannot be read by {who}"),
            label,
            format!("{}, or run as a user who has it", give(world, path, right)),
        ));
    }
    if !mount.is_written() || world.files.is_writable(path) {
        return None;
    }
    let (shown, who) = words();
    Some(refuse(
        mount,
        format!("source `{shown}` cannot be written by {who}, but the mount is writable"),
        if is_file { "no right to write this file" } else { "no right to make files here" },
        format!(
            "{}, or mount it read-only:\n`{}`",
            give(world, path, "w"),
            super::long_form(world, mount.mount, "readonly: true"),
        ),
    ))
}

/// A share acts wholly with its owner's rights. `guest` is root, who may do all; whether it may be it is another rule.
fn check_rights_of(world: &World<'_>, mount: &Sourced<'_>, owner: &Owner) -> Option<Diagnostic> {
    let Owner::Named(name) = owner else { return None };
    let ids = world.project.owners.get(name)?;
    let path = mount.source.value.as_path();
    if world.files.is_usable_by(ids, path, mount.is_written()) {
        return None;
    }
    let what = if mount.is_written() { "read and written" } else { "read" };
    Some(refuse(
        mount,
        format!(
            "source `{}` cannot be {what} by its owner `{name}` (uid {})",
            world.show_source(mount.source),
            ids.uid
        ),
        "no right to use this folder",
        format!("give uid {} the right, or write another `owner`", ids.uid),
    ))
}

fn not_for_overlay(world: &World<'_>, mount: &Sourced<'_>) -> Diagnostic {
    let shown = world.show_source(mount.source);
    let what = mount.mount.kind_word();
    refuse(
        mount,
        format!("source `{shown}` is a file, and an {what} needs a folder"),
        "this is a file, not a folder",
        "name the folder that holds it, or leave `type` out",
    )
}

fn not_a_folder(world: &World<'_>, mount: &Sourced<'_>) -> Diagnostic {
    refuse(
        mount,
        format!("source `{}` is neither a folder nor a file", world.show_source(mount.source)),
        "this is a device, a socket or a pipe",
        if is_socket_name(mount.source.value.as_path()) { NO_SOCKETS } else { "name a folder or a file" },
    )
}

/// What to do without a socket of the host, which no share can carry.
const NO_SOCKETS: &str = "leave this mount out: a program in the guest cannot reach sockets of this host";

/// Whether a path is named as sockets are.
pub(super) fn is_socket_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sock" || extension == "socket")
}

fn is_dangling(world: &World<'_>, path: &Path) -> bool {
    path.ancestors().any(|part| {
        world.files.link_metadata(part).is_ok_and(|found| found.kind == FileKind::Link)
            && world.files.metadata(part) == Err(FileError::Missing)
    })
}

fn dangling(world: &World<'_>, mount: &Sourced<'_>) -> Diagnostic {
    let path = mount.source.value.as_path();
    let link = path.ancestors().find(|part| world.files.link_metadata(part).is_ok()).unwrap_or(path);
    let leads = world.files.read_link(link).map(|target| target.display().to_string()).unwrap_or_default();
    let end =
        link.parent().map_or_else(|| leads.clone(), |folder| world.show_in(mount.source.span, &folder.join(&leads)));
    let through = if link == path {
        String::new()
    } else {
        format!("lies below `{}`, which ", world.show_in(mount.source.span, link))
    };
    refuse(
        mount,
        format!("source `{}` {through}is a link to `{leads}`, which does not exist", world.show_source(mount.source)),
        "this link leads nowhere",
        format!("make `{end}`, or name the folder itself"),
    )
}

fn missing(world: &World<'_>, mount: &Sourced<'_>) -> Diagnostic {
    let path = mount.source.value.as_path();
    let shown = world.show_source(mount.source);
    let command = format!("mkdir -p {}", super::shell_word(&world.show(path)));
    let create = super::long_form(world, mount.mount, "create: true");
    let is_bind = matches!(mount.mount.kind, MountKind::Bind { .. });
    let near = nearest_path(world, mount.source.span, path, &[FileKind::Folder, FileKind::File]);
    let fix = if near.is_none() && is_bind { add_create(world, mount.mount) } else { None };
    let is_socket = near.is_none() && is_socket_name(path);
    let fix = fix.filter(|_| !is_socket);
    let help = match near {
        None if is_socket => NO_SOCKETS.to_owned(),
        Some(near) if !mount.is_written() => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? To have smolvm make it:\n`{create}`"),
        None if !is_bind => format!("make it with `{command}`"),
        None => format!("make it with `{command}`, or let smolvm make it:\n`{create}`"),
    };
    let diagnostic = refuse(mount, format!("source `{shown}` does not exist"), "no such file or folder", help);
    match fix {
        // An empty folder is what a step writes into, and hardly what one reads.
        Some(edits) => diagnostic.fix(mount.is_written(), edits),
        None => diagnostic,
    }
}

/// The path with its first missing name replaced by the nearest one that is there.
pub(super) fn nearest_path(world: &World<'_>, span: Span, path: &Path, kinds: &[FileKind]) -> Option<String> {
    let folder = deepest_existing(path, world.files);
    let mut rest = path.strip_prefix(folder).ok()?.components();
    let name = rest.next()?.as_os_str().to_str()?;
    let listed = world.files.list(folder).ok()?;
    let names: Vec<&str> = listed.iter().filter_map(|name| name.to_str()).collect();
    let fitting = names
        .iter()
        .copied()
        .filter(|name| world.files.metadata(&folder.join(name)).is_ok_and(|found| kinds.contains(&found.kind)));
    let near = world.nearest.find(name, fitting)?;
    let whole = folder.join(near).join(rest.as_path());
    let near_path = if world.files.metadata(&whole).is_ok() { whole } else { folder.join(near) };
    Some(world.show_in(span, &near_path))
}

/// A missing source with `create: true`: the folder in which it would be made must take it.
fn check_can_be_made(world: &World<'_>, mount: &Sourced<'_>) -> Option<Diagnostic> {
    let path = mount.source.value.as_path();
    let there = deepest_existing(path, world.files);
    if world.files.is_writable(there) {
        return None;
    }
    let (shown, there_shown) = (world.show_source(mount.source), world.show_in(mount.source.span, there));
    Some(refuse(
        mount,
        format!("source `{shown}` cannot be made: {} may not write `{there_shown}`", world.invoker_words()),
        "`create: true` cannot make this",
        format!("{}, or choose a folder that can be written", give(world, there, "w")),
    ))
}

/// How to give the invoking user a right: with commands for what is the project's own, not for folders of the system.
pub(super) fn give(world: &World<'_>, path: &Path, right: &str) -> String {
    if !path.starts_with(&world.project.folder) {
        return format!("give uid {} the right", world.files.invoker().uid);
    }
    let word = super::shell_word(&world.show(path));
    format!("give the right (`sudo chown {} {word}`, `chmod u+{right} {word}`)", world.files.invoker().uid)
}

/// What stands on the way and is not a folder.
fn blocked_by<'p>(world: &World<'_>, path: &'p Path) -> Option<&'p Path> {
    let there = deepest_existing(path, world.files);
    world.files.metadata(there).is_ok_and(|found| found.kind != FileKind::Folder).then_some(there)
}

fn below_a_file(world: &World<'_>, mount: &Sourced<'_>, there: &Path) -> Diagnostic {
    let (shown, there) = (world.show_source(mount.source), world.show_in(mount.source.span, there));
    let message = format!("source `{shown}` cannot be there: `{there}` is not a folder");
    refuse(mount, message, "no such folder", format!("mount a folder beside `{there}`"))
}

/// The path exists in part, and the rest cannot be looked at.
fn out_of_reach(world: &World<'_>, mount: &Sourced<'_>, error: &FileError) -> Diagnostic {
    let path = mount.source.value.as_path();
    let shown = world.show_source(mount.source);
    let there = deepest_existing(path, world.files);
    let message = match error {
        FileError::Denied => format!("source `{shown}` cannot be reached by {}: {error}", world.invoker_words()),
        _ => format!("source `{shown}` cannot be used: {error}"),
    };
    let help =
        format!("give the right to enter `{}`, or choose another folder", world.show_in(mount.source.span, there));
    refuse(mount, message, "cannot be looked at", help)
}
