//! Runs every family, and says once what several machines share.

use std::collections::HashSet;

use super::world::World;
use super::{commands, machines, names, nesting, order, outputs, sources, targets, writers};
use crate::config::files::Files;
use crate::config::model::Project;
use crate::diag::{Code, Diagnostics, Span};

/// Runs every family over the project.
pub(crate) fn check_all(project: &Project, files: &dyn Files, out: &mut Diagnostics) {
    let world = World::new(project, files);
    let mut found = Diagnostics::default();
    targets::check_targets(&world, &mut found);
    nesting::check_nesting(&world, &mut found);
    sources::check_sources(&world, &mut found);
    writers::check_writers(&world, &mut found);
    machines::check_machines(&world, &mut found);
    names::check_names(&world, &mut found);
    order::check_order(&world, &mut found);
    outputs::check_outputs(&world, &mut found);
    commands::check_commands(&world, &mut found);
    let mut said: HashSet<(Code, Vec<Span>)> = HashSet::new();
    for diagnostic in found.iter() {
        let places: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        if places.is_empty() || said.insert((diagnostic.code, places)) {
            out.push(diagnostic.clone());
        }
    }
}
