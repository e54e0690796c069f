//! Rules about mounts in mounts: a mount point that is not there and cannot be made (0105), and an order that reads as
//! if the inner mount were hidden (0106).
//!
//! Only the innermost outer mount counts: the mount point must be in that share.

use std::path::Path;

use super::mend::add_create;
use super::places::Places;
use super::system::{self, Verdict};
use super::world::{Source, Sourced, World, deepest_existing};
use crate::config::files::{FileError, FileKind};
use crate::config::model::{Machine, Mount};
use crate::diag::{Code, Diagnostic, Diagnostics, Edit, Severity};

/// One mount in another.
struct Nested<'a> {
    machine: &'a Machine,
    inner: usize,
    outer: usize,
}

impl<'a> Nested<'a> {
    fn inner(&self) -> &'a Mount {
        &self.machine.mounts[self.inner]
    }

    fn outer(&self) -> &'a Mount {
        &self.machine.mounts[self.outer]
    }
}

/// What is wrong with a mount point, and the way out.
struct Problem {
    what: String,
    help: String,
    /// The same as an edit.
    fix: Option<Vec<Edit>>,
}

/// Checks every mount that lies in another one of its machine.
pub(super) fn check_nesting(world: &World<'_>, out: &mut Diagnostics) {
    for (machine, places) in world.machines() {
        for inner in 0..machine.mounts.len() {
            let Some(outer) = places.above(places.target(inner)) else { continue };
            let outer_is_refused = matches!(system::judge(places.target(outer)), Verdict::Needed(_));
            let has_double = places.at(places.target(inner)) != Some(inner);
            if outer_is_refused || has_double {
                continue;
            }
            let nested = Nested { machine, inner, outer };
            // Of a mount that cannot be made it is not said that it can be seen.
            if let Some(problem) = find_problem(world, places, &nested) {
                out.push(refuse(world, &nested, problem));
            } else if let Some(note) = note_order(world, &nested) {
                out.push(note);
            }
        }
    }
}

fn find_problem(world: &World<'_>, places: &Places, nested: &Nested<'_>) -> Option<Problem> {
    let (inner, outer) = (nested.inner(), nested.outer());
    // In memory, every mount point can be made.
    let outer = world.sourced(outer)?;
    if outer.mount.is_file() {
        return Some(outer_is_file(world, &outer));
    }
    let will_be_folder = is_folder(outer.found) || (outer.is_made() && is_missing(outer.found));
    if !will_be_folder {
        return None;
    }
    let inner_target = places.target(nested.inner).as_str();
    let rest = inner_target.strip_prefix(places.target(nested.outer).as_str())?.trim_start_matches('/');
    let point = outer.found.real.join(rest);
    let wants_file = inner.is_file();
    let there = deepest_existing(&point, world.files);
    if there != point && world.files.metadata(there).is_ok_and(|found| found.kind != FileKind::Folder) {
        return Some(other_type(world, there, false));
    }
    match world.files.metadata(&point) {
        Ok(found) if (found.kind == FileKind::File) == wants_file && found.kind != FileKind::Other => None,
        Ok(_) => Some(other_type(world, &point, wants_file)),
        Err(FileError::Missing) if outer.mount.is_readonly() => Some(missing_in_readonly(world, &point, wants_file)),
        // The layer of an overlay takes it.
        Err(FileError::Missing) if inner.create || !outer.is_written() => None,
        Err(FileError::Missing) => Some(missing_without_create(world, inner, &point, wants_file)),
        Err(_) => None,
    }
}

fn is_folder(source: &Source) -> bool {
    source.metadata.as_ref().is_ok_and(|metadata| metadata.kind == FileKind::Folder)
}

fn is_missing(source: &Source) -> bool {
    source.metadata == Err(FileError::Missing)
}

fn outer_is_file(world: &World<'_>, outer: &Sourced<'_>) -> Problem {
    Problem {
        what: format!("its source `{}` is a file, and nothing lies in a file", world.show_source(outer.source)),
        help: "choose a target that is not below the file".to_owned(),
        fix: None,
    }
}

fn kind_words(is_file: bool) -> &'static str {
    if is_file { "file" } else { "folder" }
}

fn other_type(world: &World<'_>, point: &Path, wants_file: bool) -> Problem {
    let (shown, wanted) = (world.show(point), kind_words(wants_file));
    Problem {
        what: format!("the mount point would be `{shown}` on the host, which is not a {wanted}"),
        help: format!("mount it at another target, or make `{shown}` a {wanted}"),
        fix: None,
    }
}

fn missing_in_readonly(world: &World<'_>, point: &Path, wants_file: bool) -> Problem {
    let shown = world.show(point);
    Problem {
        what: format!("the mount point `{shown}` does not exist, and cannot be made in a read-only mount"),
        help: format!("make it on the host: `{}`", make_command(&shown, wants_file)),
        fix: None,
    }
}

fn missing_without_create(world: &World<'_>, inner: &Mount, point: &Path, wants_file: bool) -> Problem {
    let shown = world.show(point);
    Problem {
        what: format!("the mount point `{shown}` does not exist on the host"),
        help: format!(
            "make it with `{}`, or let smolvm make it:\n`{}`",
            make_command(&shown, wants_file),
            super::long_form(world, inner, "create: true"),
        ),
        fix: add_create(world, inner),
    }
}

fn make_command(shown: &str, is_file: bool) -> String {
    let word = super::shell_word(shown);
    if is_file { format!("touch {word}") } else { format!("mkdir -p {word}") }
}

fn refuse(world: &World<'_>, nested: &Nested<'_>, problem: Problem) -> Diagnostic {
    let (inner, outer) = (nested.inner(), nested.outer());
    let message = format!(
        "`{}` cannot be mounted inside `{}`: {}",
        inner.target.value.as_str(),
        outer.target.value.as_str(),
        problem.what
    );
    let outer_text = if outer.is_readonly() { "the outer mount, read-only" } else { "the outer mount" };
    let mut labels = [(inner, "the inner mount"), (outer, outer_text)];
    if super::is_later(world, (outer, nested.outer), (inner, nested.inner)) {
        labels.reverse();
    }
    let [primary, other] = labels;
    let diagnostic = Diagnostic::new(Code(105), Severity::Error, message)
        .label(primary.0.target.span, primary.1)
        .label(other.0.target.span, other.1)
        .help(problem.help);
    match problem.fix {
        Some(edits) => diagnostic.fix(true, edits),
        None => diagnostic,
    }
}

/// The outer mount stands below the inner one in its file. Where they stand in two, nobody can change the order.
fn note_order(world: &World<'_>, nested: &Nested<'_>) -> Option<Diagnostic> {
    let (inner, outer) = (nested.inner(), nested.outer());
    let is_one_file = inner.target.span.file == outer.target.span.file;
    if !is_one_file || !super::is_later(world, (outer, nested.outer), (inner, nested.inner)) {
        return None;
    }
    let (inner_text, outer_text) = (inner.target.value.as_str(), outer.target.value.as_str());
    let message =
        format!("`{outer_text}` stands after `{inner_text}` but does not hide it: outer mounts are made first");
    Some(
        Diagnostic::new(Code(106), Severity::Note, message)
            .label(outer.target.span, "the outer mount")
            .label(inner.target.span, "the inner mount stays visible")
            .help(format!("write `{outer_text}` above `{inner_text}`, so that the file reads as it runs")),
    )
}
