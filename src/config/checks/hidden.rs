//! Mounts that hide what the image has at their target (0115), and what cannot be known of images that are not here.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::places::Places;
use super::system::Verdict;
use super::targets::{judge_mount, suggest_target};
use super::world::World;
use crate::config::files::FolderContents;
use crate::config::model::{Image, Machine, MountKind};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// So many names of what is hidden are said.
const NAMES_MAX: usize = 3;
/// So many machines are named for one image that is not here.
const MACHINES_MAX: usize = 3;

/// Checks every mount of every machine.
pub(super) fn check_hidden(world: &World<'_>, out: &mut Diagnostics) {
    let mut unknown: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (machine, places) in world.machines() {
        let image = &machine.image.value;
        let is_known = world.guest(image).is_at_hand();
        let mut is_asked = false;
        for index in 0..machine.mounts.len() {
            if !lies_in_the_image(world, machine, places, index) {
                continue;
            }
            is_asked = true;
            if is_known {
                out.extend(check(world, machine, places, index));
            }
        }
        // Where a path leads nowhere (0402), nothing could be known.
        let is_missing = image.path().is_some_and(|path| world.files.metadata(path).is_err());
        if is_asked && !is_known && !is_missing && !matches!(image, Image::Dir(_) | Image::Unreadable) {
            let shown =
                image.path().map_or_else(|| image.to_string(), |path| image.prefix().to_owned() + &world.show(path));
            unknown.entry(shown).or_default().push(&machine.name.value);
        }
    }
    for (image, machines) in unknown {
        out.push_unchecked(not_here(&image, &machines));
    }
}

/// Whether a folder of a mount takes the place of what is in the image, where no share lies. A volume that is new gets what it
/// would hide.
fn lies_in_the_image(world: &World<'_>, machine: &Machine, places: &Places, index: usize) -> bool {
    let mount = &machine.mounts[index];
    let real = places.target(index);
    // What is missing (0109) may have been meant to be a file.
    let is_missing = world.source(mount).is_some_and(|source| source.metadata.is_err()) && !mount.create;
    let is_first = places.at(real) == Some(index);
    let is_filled =
        matches!(mount.kind, MountKind::Volume { readonly: false, .. }) && machine.image.value != Image::Host;
    !is_filled
        && !mount.is_file()
        && !is_missing
        && is_first
        && real.as_str() != "/workspace"
        && places.above(real).is_none()
}

/// What of the image a mount hides, where it is known and anything is there.
pub(super) fn find(world: &World<'_>, machine: &Machine, places: &Places, index: usize) -> Option<Rc<FolderContents>> {
    if !lies_in_the_image(world, machine, places, index) {
        return None;
    }
    world.guest(&machine.image.value).contents(places.target(index), world.files, &world.budget)
}

fn check(world: &World<'_>, machine: &Machine, places: &Places, index: usize) -> Option<Diagnostic> {
    let (mount, real) = (&machine.mounts[index], places.target(index));
    // Where a place is not to be taken at all (0103) or better not (0104), that is said, with what is hidden.
    if !matches!(judge_mount(world, machine, places, index), Verdict::Silent(_)) {
        return None;
    }
    let found = find(world, machine, places, index)?;
    let written = &mount.target.value;
    let reached = if written == real { String::new() } else { format!(" (here `{}`)", real.as_str()) };
    let (what, whose) = (how_much(&found), &machine.name.value);
    let message =
        format!("the mount at `{}`{reached} hides {what} of the image of machine `{whose}`", written.as_str());
    Some(
        Diagnostic::new(Code(115), Severity::Warning, message)
            .label(mount.target.span, format!("{} cannot be seen in the guest", names(&found)))
            .help(format!("a place of its own hides nothing, for example `{}`", suggest_target(mount, written))),
    )
}

/// What is hidden, in words for a label.
pub(super) fn hides(found: &FolderContents) -> String {
    format!("this hides {} of the image: {}", how_much(found), names(found))
}

fn how_much(found: &FolderContents) -> String {
    match (found.files, found.is_more) {
        (0, false) if found.entries == 1 => "a folder".to_owned(),
        (0, false) => "folders".to_owned(),
        (1, false) => "a file".to_owned(),
        (files, false) => format!("{} files", thousands(files)),
        // Where a count ended says nothing.
        (_, true) => "many files".to_owned(),
    }
}

fn names(found: &FolderContents) -> String {
    let shown: Vec<String> = found.names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    let rest = found.entries.saturating_sub(shown.len());
    match (shown.as_slice(), rest) {
        ([.., last], 0) if shown.len() > 1 => format!("{} and {last}", shown[..shown.len() - 1].join(", ")),
        (_, 0) => shown.join(", "),
        (_, rest) => format!("{} and {} more", shown.join(", "), thousands(rest)),
    }
}

/// A number with commas between its thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn not_here(image: &str, machines: &[&str]) -> String {
    let named: Vec<String> = machines.iter().take(MACHINES_MAX).map(|name| format!("`{name}`")).collect();
    let rest = machines.len() - named.len();
    let whose = match (named.as_slice(), rest) {
        ([one], _) => one.clone(),
        ([.., last], 0) => format!("{} and {last}", named[..named.len() - 1].join(", ")),
        (_, 1) => format!("{} and another machine", named.join(", ")),
        (_, rest) => format!("{} and {rest} other machines", named.join(", ")),
    };
    format!("what mounts of {whose} hide in `{image}`, and where its links lead: the image is not here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_told_in_words() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let found = |names: &[&str], entries, files, is_more| FolderContents {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            entries,
            files,
            is_more,
            looked_at: 0,
        };
        let few = found(&["a"], 1, 1, false);
        assert_eq!((how_much(&few), names(&few)), ("a file".to_owned(), "`a`".to_owned()));
        let two = found(&["a", "b"], 2, 0, false);
        assert_eq!((how_much(&two), names(&two)), ("folders".to_owned(), "`a` and `b`".to_owned()));
        let many = found(&["a", "b", "c", "d"], 4096, 10_000, true);
        assert_eq!(how_much(&many), "many files");
        assert_eq!(names(&many), "`a`, `b`, `c` and 4,093 more");
    }

    #[test]
    fn machines_of_an_image_that_is_not_here_are_named_and_counted() {
        let whose = |machines: &[&str]| {
            not_here("x", machines).replace(" hide in `x`, and where its links lead: the image is not here", "")
        };
        assert_eq!(whose(&["a"]), "what mounts of `a`");
        assert_eq!(whose(&["a", "b"]), "what mounts of `a` and `b`");
        assert_eq!(whose(&["a", "b", "c", "d"]), "what mounts of `a`, `b`, `c` and another machine");
        assert_eq!(whose(&["a", "b", "c", "d", "e"]), "what mounts of `a`, `b`, `c` and 2 other machines");
    }
}
