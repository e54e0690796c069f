//! Rules about mounts of volumes: one that is not declared (0203), and a read-only one of a volume that the same machine
//! writes (0107).
//!
//! Two machines that write one volume are another family's matter (`overlap`).

use std::collections::HashMap;

use super::words::list_names;
use super::world::World;
use crate::config::model::{Machine, Mount, Spanned};
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Severity};

/// Checks every mount of a volume.
pub(super) fn check_volumes(world: &World<'_>, out: &mut Diagnostics) {
    for machine in &world.project.machines {
        let mut writers: HashMap<&str, &Mount> = HashMap::new();
        for mount in &machine.mounts {
            let Some(name) = mount.volume() else { continue };
            if !world.is_volume_known(&name.value) {
                out.push(unknown(world, mount, name));
            } else if !mount.is_readonly() {
                writers.entry(&name.value).or_insert(mount);
            }
        }
        for mount in machine.mounts.iter().filter(|mount| mount.is_readonly()) {
            let writer = mount.volume().and_then(|name| writers.get(name.value.as_str()));
            if let Some(found) = writer.and_then(|writer| unprotected(world, machine, mount, writer)) {
                out.push(found);
            }
        }
    }
}

fn unknown(world: &World<'_>, mount: &Mount, name: &Spanned<String>) -> Diagnostic {
    let names = || world.project.volumes.iter().map(|volume| volume.name.value.as_str());
    // In the long form the name never stands at the beginning of the entry.
    let is_short = name.span.start <= mount.span.start + 1;
    let label = if is_short { "a source without `./` names a volume" } else { "no volume has this name" };
    let folder = if is_short {
        let mode = if mount.is_readonly() { ":ro" } else { "" };
        format!("for a host folder, write `./{}:{}{mode}`", name.value, mount.target.value.as_str())
    } else {
        format!("for a host folder, take `type: volume` out, and write `source: ./{}`", name.value)
    };
    let help = match world.nearest.find(&name.value, names()) {
        Some(near) => format!("did you mean the volume `{near}`? {folder}"),
        None if names().next().is_some() => format!("{folder}; the volumes are {}", list_names(names())),
        None if is_short => folder,
        None => format!("declare it, as `volumes: {{ {}: {{ size: 4GiB }} }}` in the file; {folder}", name.value),
    };
    let message = format!("unknown volume `{}`", name.value);
    let diagnostic = Diagnostic::new(Code(203), Severity::Error, message).label(name.span, label).help(help);
    let edit = Edit { span: name.span, text: format!("./{}", name.value) };
    // Only where the label is the name alone does the edit leave the rest as it is.
    let is_name_alone = is_short && name.span.end - name.span.start == name.value.len();
    if is_name_alone { diagnostic.fix(false, vec![edit]) } else { diagnostic }
}

fn unprotected(world: &World<'_>, machine: &Machine, reads: &Mount, writes: &Mount) -> Option<Diagnostic> {
    let name = reads.volume()?;
    let message = format!(
        "the read-only mount of the volume `{}` protects nothing: it is writable in machine `{}` at `{}`",
        name.value,
        machine.name.value,
        writes.target.value.as_str(),
    );
    let mut labels = [(name.span, "read-only here"), (writes.volume()?.span, "writable here")];
    if world.project.origins.is_later(labels[1].0, labels[0].0) {
        labels.reverse();
    }
    let [(later, later_text), (earlier, earlier_text)] = labels;
    let readonly = super::long_form(world, writes, "readonly: true");
    Some(
        Diagnostic::new(Code(107), Severity::Error, message)
            .label(later, later_text)
            .label(earlier, earlier_text)
            .help(format!("leave one of them out, or make both read-only:\n`{readonly}`")),
    )
}
