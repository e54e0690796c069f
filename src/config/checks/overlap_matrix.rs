//! What is said where machines of one matrix write the same folder (0108): the usual mistake, a source that is the same
//! in every combination. Deliberately not here: which mounts meet (`overlap`).

use super::show::quote;
use super::world::{Sourced, World};
use crate::config::model::{Combination, Machine, Mount};
use crate::diag::{Code, Diagnostic, Severity};

/// The combinations of two machines, where they are of one matrix.
pub(super) fn of_one_matrix<'m>(a: &'m Machine, b: &'m Machine) -> Option<(&'m Combination, &'m Combination)> {
    let (a, b) = (a.combination.as_ref()?, b.combination.as_ref()?);
    (a.declared == b.declared).then_some((a, b))
}

/// One mount of the file, in two machines of a matrix: it is told with the number of machines that share its source.
pub(super) fn report(world: &World<'_>, machine: &Machine, mount: Sourced<'_>) -> Option<Diagnostic> {
    let declared = machine.declared_name();
    let sharing: Vec<&Machine> = machines(world, declared)
        .iter()
        .filter(|other| other.mounts.iter().any(|other| is_shared(world, mount, other)))
        .collect();
    let (some, all) = (sharing.len(), machine.combination.as_ref()?.count);
    let shown = world.show_source(mount.source);
    let (who, label) = if some == all {
        let label = match all {
            2 => "written by both machines of the matrix".to_owned(),
            _ => format!("written by each of the {all} machines of the matrix"),
        };
        (format!("the {all} machines of `{declared}`"), label)
    } else {
        let names: Vec<String> = sharing.iter().take(2).map(|machine| format!("`{}`", machine.name.value)).collect();
        let (first, rest) = (names.join(", "), if some > 2 { ", …" } else { "" });
        (
            format!("{some} of the {all} machines of `{declared}` ({first}{rest})"),
            format!("the same in {some} machines of the matrix"),
        )
    };
    Some(
        Diagnostic::new(Code(108), Severity::Error, format!("{who} may write `{shown}` at the same time"))
            .label(mount.source.span, label)
            .help(if mount.mount.is_file() {
                let readonly = super::long_form(world, mount.mount, "readonly: true");
                format!("mount a folder, one for each of them, or make the mount read-only:\n`{readonly}`")
            } else {
                let apart = apart(world, mount, &shown);
                format!("give each of them a folder of its own, or make the mount read-only:\n`{apart}`")
            }),
    )
}

/// The machines of a matrix, which stand together.
fn machines<'w>(world: &World<'w>, declared: &str) -> &'w [Machine] {
    let all = &world.project.machines;
    let is_one = |machine: &Machine| machine.declared_name() == declared;
    let start = all.iter().position(is_one).unwrap_or(0);
    let count = all[start..].iter().take_while(|machine| is_one(machine)).count();
    &all[start..start + count]
}

fn is_shared(world: &World<'_>, mount: Sourced<'_>, other: &Mount) -> bool {
    other.span == mount.mount.span && world.source(other).is_some_and(|source| source.real == mount.found.real)
}

/// The mount with a source of its own for each combination, to be pasted.
fn apart(world: &World<'_>, mount: Sourced<'_>, shown: &str) -> String {
    let span = mount.source.span;
    let written = world.texts.get(span.file).bytes.get(span.start..span.end).unwrap_or_default();
    let written = String::from_utf8_lossy(written);
    let written = written.trim_matches(['"', '\'']);
    // What depends on a part of the matrix already goes on doing so.
    let start = if written.contains("MATRIX_") && !written.contains([':', '\n']) { written } else { shown };
    let folder = format!("{}/${{MATRIX_ID}}", start.trim_end_matches('/'));
    let target = quote(mount.mount.target.value.as_str());
    format!("{{ source: \"{folder}\", target: {target}, create: true }}")
}
