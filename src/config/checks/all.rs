//! Runs every family, and says once what several machines share.

use std::collections::HashSet;

use super::order::Order;
use super::repeats::Repeats;
use super::world::World;
use super::{
    capacity, commands, cycles, hidden, inputs, links, machines, names, nesting, never, outputs, overlap, owners,
    ports, sources, targets, volumes, waits, writers,
};
use crate::config::files::Files;
use crate::config::model::Project;
use crate::diag::{Diagnostic, Diagnostics, Severity, Sources, Span};

/// Runs every family over the project.
pub(crate) fn check_all(project: &Project, files: &dyn Files, texts: &Sources, out: &mut Diagnostics) {
    let world = World::new(project, files, texts);
    let mut found = Diagnostics::default();
    targets::check_targets(&world, &mut found);
    hidden::check_hidden(&world, &mut found);
    nesting::check_nesting(&world, &mut found);
    sources::check_sources(&world, &mut found);
    writers::check_writers(&world, &mut found);
    volumes::check_volumes(&world, &mut found);
    machines::check_machines(&world, &mut found);
    ports::check_ports(&world, &mut found);
    links::check_links(&world, &mut found);
    names::check_names(&world, &mut found);
    waits::check_waits(&world, &mut found);
    let cut = cycles::check_dependencies(&world, &mut found);
    let order = Order::new(project, &cut);
    // Of a part of an order nothing is said that the whole would not say.
    let whole = Some(&order).filter(|_| cut.is_empty());
    if let Some(order) = whole {
        overlap::check_overlap(&world, order, &mut found);
    }
    capacity::check_capacity(&world, whole, &mut found);
    cycles::check_order(&world, &order, &mut found);
    never::check_never(&world, &mut found);
    inputs::check_inputs(&world, &mut found);
    outputs::check_outputs(&world, &mut found);
    owners::check_owners(&world, &mut found);
    commands::check_commands(&world, &mut found);
    found.unchecked().for_each(|what| out.push_unchecked(what.to_owned()));
    let unread: HashSet<Span> = out.iter().filter(|found| is_about_form(found)).filter_map(primary).collect();
    let is_consequence = |found: &&Diagnostic| primary(found).is_some_and(|span| unread.contains(&span));
    let mut repeats = Repeats::new(&world);
    found.iter().filter(|found| !is_consequence(found)).for_each(|found| repeats.add(found));
    repeats.once().into_iter().for_each(|found| out.push(found));
}

/// Whether a diagnostic says that a value could not be read: what it was taken for is not judged again.
fn is_about_form(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error && matches!(diagnostic.code.0, 1..=10 | 300..=399)
}

fn primary(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.labels.first().map(|label| label.span)
}
