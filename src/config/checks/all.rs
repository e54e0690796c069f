//! Runs every family, and says once what several machines share.

use std::collections::HashSet;

use super::world::World;
use super::{commands, machines, names, nesting, order, outputs, overlap, owners, sources, targets, volumes, writers};
use crate::config::files::Files;
use crate::config::model::Project;
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Sources, Span};

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
    names::check_names(&world, &mut found);
    let order = order::build(project);
    overlap::check_overlap(&world, &order, &mut found);
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

/// Whether a diagnostic says that a value could not be read: what it was taken for is not judged again.
fn is_about_form(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error && matches!(diagnostic.code.0, 1..=10 | 300..=399)
}

fn primary(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.labels.first().map(|label| label.span)
}
