//! Runs every family, and says once what several machines share.

use std::collections::{HashMap, HashSet};

use super::world::World;
use super::{
    capacity, commands, links, machines, names, nesting, order, outputs, overlap, owners, ports, sources, targets,
    volumes, writers,
};
use crate::config::files::Files;
use crate::config::model::{Machine, Mount, Project};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Sources, Span};

/// Runs every family over the project.
pub(crate) fn check_all(project: &Project, files: &dyn Files, texts: &Sources, out: &mut Diagnostics) {
    let world = World::new(project, files, texts);
    let mut found = Diagnostics::default();
    targets::check_targets(&world, &mut found);
    nesting::check_nesting(&world, &mut found);
    sources::check_sources(&world, &mut found);
    writers::check_writers(&world, &mut found);
    volumes::check_volumes(&world, &mut found);
    machines::check_machines(&world, &mut found);
    ports::check_ports(&world, &mut found);
    links::check_links(&world, &mut found);
    names::check_names(&world, &mut found);
    let order = order::build(project);
    overlap::check_overlap(&world, &order, &mut found);
    capacity::check_capacity(&world, &order, &mut found);
    order::check_order(&world, order, &mut found);
    outputs::check_outputs(&world, &mut found);
    owners::check_owners(&world, &mut found);
    commands::check_commands(&world, &mut found);
    let unread: HashSet<Span> = out.iter().filter(|found| is_about_form(found)).filter_map(primary).collect();
    let mut said: HashSet<(Code, Vec<Span>)> = HashSet::new();
    for diagnostic in found.iter() {
        let places: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        let is_consequence = primary(diagnostic).is_some_and(|span| unread.contains(&span));
        if !is_consequence && (places.is_empty() || said.insert((diagnostic.code, places))) {
            out.push(diagnostic.clone());
        }
    }
}

/// Mounts of earlier files whose place a later file takes once links of the guest are followed, as numbers of machines
/// and of their mounts. (Those with the same target are gone already.)
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

/// Whether a diagnostic says that a value could not be read: what it was taken for is not judged again.
fn is_about_form(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error && matches!(diagnostic.code.0, 1..=10 | 300..=399)
}

fn primary(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.labels.first().map(|label| label.span)
}
