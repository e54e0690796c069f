//! Rules about sources that meet on the host within one machine, after links: a read-only mount that a writable one
//! undoes (0107), and one folder written under two names (0112).
//!
//! Each mount walks up its own path and looks for the others there: the cost is the depth, not the number of mounts.

use std::collections::HashMap;
use std::path::Path;

use super::places::Places;
use super::world::{Sourced, World};
use super::{in_order, is_later};
use crate::config::model::{Machine, Mount, MountKind};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Writable mounts of one machine by their source without links.
type Writers<'a> = HashMap<&'a Path, usize>;

/// Checks the sources of each machine against one another.
pub(super) fn check_writers(world: &World<'_>, out: &mut Diagnostics) {
    for (machine, places) in world.machines() {
        let writers = find_writers(world, machine, out);
        for (index, mount) in machine.mounts.iter().enumerate().filter(|(_, mount)| !mount.is_writable_bind()) {
            let Some(mount) = world.sourced(mount) else { continue };
            let real = mount.found.real.as_path();
            let mut by_name = real.ancestors().filter_map(|above| writers.get(above).copied());
            let by_name = by_name.find(|writer| !is_laid_over(world, machine, places, (index, *writer)));
            if let Some(writer) = by_name.or_else(|| find_same_identity(world, machine, &mount, &writers)) {
                unprotected(world, machine, index, writer).into_iter().for_each(|found| out.push(found));
            }
        }
    }
}

/// Collects the writable mounts, and warns of two that are one folder.
fn find_writers<'a>(world: &'a World<'_>, machine: &'a Machine, out: &mut Diagnostics) -> Writers<'a> {
    let mut writers: Writers<'a> = HashMap::new();
    for (index, mount) in machine.mounts.iter().enumerate().filter(|(_, mount)| mount.is_writable_bind()) {
        let Some(mount) = world.sourced(mount) else { continue };
        let real = mount.found.real.as_path();
        // A writable root was refused (0110): that nothing is protected from it only follows.
        if real == Path::new("/") {
            continue;
        }
        let first = *writers.entry(real).or_insert(index);
        let earlier = machine.mounts[first].source();
        if first != index && earlier.is_some_and(|earlier| earlier.value != mount.source.value) {
            same_folder(world, machine, first, index).into_iter().for_each(|found| out.push(found));
        }
    }
    writers
}

/// A writable mount of the very same folder under a path that no link explains (a bind mount on the host).
fn find_same_identity(
    world: &World<'_>,
    machine: &Machine,
    mount: &Sourced<'_>,
    writers: &Writers<'_>,
) -> Option<usize> {
    if writers.is_empty() || machine.mounts.len() > SMALL {
        return None;
    }
    let identity = mount.found.metadata.as_ref().ok()?.identity;
    let same = |writer: &Mount| {
        let metadata = world.source(writer).and_then(|source| source.metadata.as_ref().ok());
        metadata.is_some_and(|found| found.identity == identity)
    };
    writers.values().copied().filter(|writer| same(&machine.mounts[*writer])).min()
}

/// Whether the first mount is an overlay at the very place where the second, writable one shows the same folder: what
/// is written there stays in the machine, which is what it is for.
fn is_laid_over(world: &World<'_>, machine: &Machine, places: &Places, mounts: (usize, usize)) -> bool {
    let (inner, outer) = mounts;
    let (Some(reads), Some(writes)) = (world.sourced(&machine.mounts[inner]), world.sourced(&machine.mounts[outer]))
    else {
        return false;
    };
    let is_overlay = matches!(reads.mount.kind, MountKind::Overlay { .. });
    let rest = reads.found.real.strip_prefix(&writes.found.real).ok().and_then(Path::to_str);
    let is_at = |rest: &str| {
        let outer = places.target(outer).as_str().trim_end_matches('/');
        !rest.is_empty() && places.target(inner).as_str() == format!("{outer}/{rest}")
    };
    is_overlay && rest.is_some_and(is_at)
}

/// More mounts than shares fit in a machine (0113 was said) are not compared in pairs.
const SMALL: usize = 64;

fn unprotected(world: &World<'_>, machine: &Machine, reader: usize, writer: usize) -> Option<Diagnostic> {
    let (reads, writes) = (world.sourced(&machine.mounts[reader])?, world.sourced(&machine.mounts[writer])?);
    let (read_shown, write_shown) = (world.show_source(reads.source), world.show_source(writes.source));
    // A bind mount or a second name of one file on the host has a path of its own.
    let identity = |mount: &Sourced<'_>| mount.found.metadata.as_ref().ok().map(|found| found.identity);
    let is_same =
        reads.found.real == writes.found.real || identity(&reads).is_some_and(|found| Some(found) == identity(&writes));
    let what = what_is_there(reads.mount);
    let relation = match (read_shown == write_shown, is_same) {
        (true, _) => format!("the same {what} is"),
        (false, true) => format!("the same {what} is, as `{write_shown}`,"),
        (false, false) => format!("it lies in `{write_shown}`, which is"),
    };
    let is_overlay = matches!(reads.mount.kind, MountKind::Overlay { .. });
    let kind = if is_overlay { "overlay" } else { "read-only mount" };
    let message = format!(
        "the {kind} of `{read_shown}` protects nothing: {relation} writable in machine `{}` at `{}`",
        machine.name.value,
        writes.mount.target.value.as_str(),
    );
    let read_text = if is_overlay { "an overlay, which leaves it unchanged, here" } else { "read-only here" };
    let mut labels = [(reads, read_text), (writes, "writable here")];
    if is_later(world, (writes.mount, writer), (reads.mount, reader)) {
        labels.reverse();
    }
    let readonly = super::long_form(world, writes.mount, "readonly: true");
    let help = match (is_same, is_overlay) {
        (true, false) => format!("leave one of them out, or make both read-only:\n`{readonly}`"),
        (true, true) => format!("leave one of them out, or make the other read-only:\n`{readonly}`"),
        (false, _) => {
            format!("mount only the part that is written, or make the outer one read-only too:\n`{readonly}`")
        }
    };
    let [(later, later_text), (earlier, earlier_text)] = labels;
    Some(
        Diagnostic::new(Code(107), Severity::Error, message)
            .label(later.source.span, later_text)
            .label(earlier.source.span, earlier_text)
            .help(help),
    )
}

fn what_is_there(mount: &Mount) -> &'static str {
    if mount.is_file() { "file" } else { "folder" }
}

fn same_folder(world: &World<'_>, machine: &Machine, a: usize, b: usize) -> Option<Diagnostic> {
    let (earlier, later) = in_order(world, (&machine.mounts[a], a), (&machine.mounts[b], b));
    let what = what_is_there(later);
    let (earlier, later) = (world.sourced(earlier)?, world.sourced(later)?);
    let (earlier_shown, later_shown) = (world.show_source(earlier.source), world.show_source(later.source));
    let message = format!(
        "`{earlier_shown}` and `{later_shown}` are the same {what} through links, and machine `{}` writes both",
        machine.name.value,
    );
    Some(
        Diagnostic::new(Code(112), Severity::Warning, message)
            .label(later.source.span, format!("this is `{}` too", world.show_in(later.source.span, &later.found.real)))
            .label(earlier.source.span, "the first is here")
            .help(format!("mount it once, or name it `{earlier_shown}` in both places if this is meant")),
    )
}
