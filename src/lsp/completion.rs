//! What may be written at the cursor: keys, words, names, paths and variables.
//!
//! Candidates only; how they are sent is `server`'s matter. The client filters them by what is already written.

use std::path::Path;

use super::names::{self, Meaning, NameKind};
use super::outline::{Kind, Outline};
use super::place::{Place, What};
use super::shape::{self, Shape};
use super::variables::{self, Variables};
use crate::config::{FileKind, Files};

/// So many entries of a folder are offered.
const ENTRIES_MAX: usize = 500;

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CandidateKind {
    Key,
    Word,
    Name(NameKind),
    Folder,
    File,
    Variable,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) kind: CandidateKind,
    /// What is shown and filtered by.
    pub(super) label: String,
    /// What is put in the place of `replaced` bytes before the cursor and `swallowed` bytes behind it.
    pub(super) text: String,
    /// A few words beside it.
    pub(super) detail: String,
    /// Markdown.
    pub(super) documentation: Option<String>,
    pub(super) replaced: usize,
    pub(super) swallowed: usize,
    /// Whether it is what is most likely meant.
    pub(super) is_likely: bool,
}

/// What completion may ask.
pub(super) struct World<'a> {
    /// Names declared in all files of the project, each with what it is.
    pub(super) names: Vec<(NameKind, String, String)>,
    pub(super) variables: &'a Variables,
    pub(super) files: &'a dyn Files,
    /// Relative paths start here.
    pub(super) folder: &'a Path,
}

/// The candidates at an offset of a text.
pub(super) fn complete(text: &str, offset: usize, world: &World<'_>) -> Vec<Candidate> {
    let Some(place) = Place::find(text, offset) else { return Vec::new() };
    let (path, nodes) = place.path();
    match place.what {
        What::Key { has_colon } => {
            if names::words(&path).last() == Some(&"depends_on") {
                return names_of(&place, world, NameKind::Machine, if has_colon { "" } else { ": " }, "");
            }
            let outline = &place.outline;
            let siblings = shape::siblings(outline, place.node);
            let written = siblings.iter().find(|(key, _)| key.contains(super::place::MARKER)).map(|(key, _)| *key);
            let shapes = shape::fitting(shape::at(outline, &path, &nodes), &siblings, written);
            let own: Vec<&str> = siblings.iter().map(|(key, _)| *key).filter(|key| Some(*key) != written).collect();
            keys(&place, &shapes, &own, has_colon)
        }
        What::Value => value(&place, &path, &nodes, world),
    }
}

fn value(place: &Place, path: &[super::outline::Step], nodes: &[usize], world: &World<'_>) -> Vec<Candidate> {
    let outline = &place.outline;
    if let Kind::Alias(_) = outline.kind(place.node) {
        return anchors(place);
    }
    let meaning = names::meaning_of(outline, place.node);
    if meaning == Meaning::Command {
        return Vec::new();
    }
    if let Some(start) = variables::unfinished(&place.before) {
        return variable_names(place, start, world);
    }
    let shapes = shape::at(outline, path, nodes);
    let mut out = Vec::new();
    // A word alone on its line may become a key, or the first entry of a list.
    if place.is_alone && !place.is_flow && place.before.chars().all(is_key_part) && place.after.is_empty() {
        let told = shape::fitting(shapes.clone(), &[], None);
        out.extend(keys(place, &told, &[], false));
        out.extend(items(place, path, &shapes, world));
    }
    match meaning {
        Meaning::Name(kind) => out.extend(names_of(place, world, kind, "", "")),
        Meaning::Link => out.extend(names_of(place, world, NameKind::Machine, ":", "")),
        Meaning::HostPath => out.extend(host_paths(place, 0, "", world)),
        Meaning::ShortMount if !place.before.contains(':') => {
            out.extend(host_paths(place, 0, "./", world));
            out.extend(names_of(place, world, NameKind::Volume, ":", ""));
        }
        Meaning::ShortMount if place.before.matches(':').count() == 2 => {
            let start = place.before.rfind(':').map_or(0, |at| at + 1);
            out.extend(["ro", "rw"].map(|word| plain(place, CandidateKind::Word, word, start)));
        }
        Meaning::Image => {
            if let Some(start) = place.before.find(':').filter(|_| is_image_path(&place.before)) {
                return host_paths(place, start + 1, "", world);
            }
            out.extend(
                host_paths(place, 0, "./", world).into_iter().filter(|_| place.before.starts_with(['.', '/', '~'])),
            );
        }
        _ => {}
    }
    // Where names and paths of this project are meant, those of examples are not.
    if matches!(meaning, Meaning::Other | Meaning::Image) {
        out.extend(words(place, &shapes));
    }
    out
}

fn is_key_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

fn is_image_path(before: &str) -> bool {
    ["dir:", "oci:", "docker-archive:"].iter().any(|prefix| before.starts_with(prefix))
}

fn plain(place: &Place, kind: CandidateKind, label: &str, start: usize) -> Candidate {
    Candidate {
        kind,
        label: label.to_owned(),
        text: label.to_owned(),
        detail: String::new(),
        documentation: None,
        replaced: place.before.len() - start,
        swallowed: 0,
        is_likely: false,
    }
}

/// Keys that are not there yet.
fn keys(place: &Place, shapes: &[Shape], own: &[&str], has_colon: bool) -> Vec<Candidate> {
    let all = shape::keys(shapes).into_iter().filter(|key| !own.contains(&key.name));
    all.map(|key| {
        let is_collection = key.shapes.iter().all(|shape| shape.is_map() || shape.is_list());
        let end = match (has_colon, is_collection && !place.is_flow) {
            (true, _) => "",
            (false, true) => ":",
            (false, false) => ": ",
        };
        Candidate {
            text: format!("{}{end}", key.name),
            detail: if key.is_required { "required".to_owned() } else { String::new() },
            documentation: shape::describe(&key.shapes),
            swallowed: place.after.len(),
            is_likely: key.is_required,
            ..plain(place, CandidateKind::Key, key.name, 0)
        }
    })
    .collect()
}

/// Words that the language knows for this value.
fn words(place: &Place, shapes: &[Shape]) -> Vec<Candidate> {
    let all = shape::words(shapes).into_iter();
    all.map(|(word, meaning)| Candidate {
        documentation: meaning.map(str::to_owned),
        text: if place.is_quoted { word.clone() } else { quoted(&word) },
        swallowed: place.after.len(),
        ..plain(place, CandidateKind::Word, &word, 0)
    })
    .collect()
}

/// A word as it has to be written to be a text.
fn quoted(word: &str) -> String {
    let is_plain = !word.contains(": ")
        && !word.contains(" #")
        && !word.starts_with(['>', '|', '$', '*', '&', '!', '[', '{', '%', '@', '`']);
    if is_plain { word.to_owned() } else { format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// The first entry of a list that is still to begin.
fn items(place: &Place, path: &[super::outline::Step], shapes: &[Shape], world: &World<'_>) -> Vec<Candidate> {
    let mut inside = path.to_vec();
    inside.push(super::outline::Step::Index(0));
    match names::meaning(&inside, false) {
        _ if !shapes.iter().any(Shape::is_list) => Vec::new(),
        Meaning::Name(kind) => names_of(place, world, kind, "", "- "),
        Meaning::Link => names_of(place, world, NameKind::Machine, ":", "- "),
        _ => Vec::new(),
    }
}

fn names_of(place: &Place, world: &World<'_>, kind: NameKind, end: &str, start: &str) -> Vec<Candidate> {
    let outline = &place.outline;
    let mut taken: Vec<&str> = Vec::new();
    if let Some((list, _)) = outline.nodes[place.node].parent {
        taken = outline.items(list).iter().filter_map(|item| outline.text(*item)).collect();
    }
    let own = own_step(outline, place);
    let all = world.names.iter().filter(|(of, name, _)| *of == kind && !taken.contains(&name.as_str()));
    all.filter(|(_, name, _)| own.as_deref() != Some(name))
        .map(|(_, name, detail)| Candidate {
            text: format!("{start}{name}{end}"),
            detail: detail.clone(),
            swallowed: if end.is_empty() { place.after.len() } else { 0 },
            is_likely: true,
            ..plain(place, CandidateKind::Name(kind), name, 0)
        })
        .collect()
}

/// The id of the step, or the name of the machine, in which the cursor is: neither waits for itself.
fn own_step(outline: &Outline, place: &Place) -> Option<String> {
    let (path, nodes) = place.path();
    match names::words(&path).as_slice() {
        ["steps", _, "needs", ..] => Some(outline.text(outline.get(*nodes.get(2)?, "id")?)?.to_owned()),
        ["machines", name, "depends_on" | "links", ..] => Some((*name).to_owned()),
        _ => None,
    }
}

fn anchors(place: &Place) -> Vec<Candidate> {
    let all = names::occurrences(&place.outline).into_iter();
    all.filter(|one| one.kind == NameKind::Anchor && one.declared.is_some())
        .map(|one| plain(place, CandidateKind::Name(NameKind::Anchor), &one.name, 0))
        .collect()
}

fn variable_names(place: &Place, start: usize, world: &World<'_>) -> Vec<Candidate> {
    let is_braced = place.before[..start].ends_with('{');
    let end = if is_braced && !place.after.starts_with('}') { "}" } else { "" };
    let of_matrix = matrix_names(place).into_iter().map(|name| (name, "of this machine's matrix", None));
    let others = world.variables.iter().map(|(name, known)| (name.clone(), known.origin, Some(known.shown(name))));
    of_matrix
        .chain(others)
        .map(|(name, origin, shown)| Candidate {
            text: format!("{name}{end}"),
            detail: origin.to_owned(),
            documentation: shown,
            is_likely: origin != "from the environment",
            ..plain(place, CandidateKind::Variable, &name, start)
        })
        .collect()
}

/// Variables of the matrix of the machine in which the cursor is.
fn matrix_names(place: &Place) -> Vec<String> {
    let (path, nodes) = place.path();
    let machine = match names::words(&path).as_slice() {
        ["machines", _, ..] => nodes.get(2),
        _ => None,
    };
    let outline = &place.outline;
    let Some(matrix) = machine.and_then(|machine| outline.get(outline.resolve(*machine), "matrix")) else {
        return Vec::new();
    };
    let keys = outline.entries(matrix).iter().map(|entry| format!("MATRIX_{}", entry.key.text.to_ascii_uppercase()));
    keys.chain(["MATRIX_ID".to_owned()]).collect()
}

/// Entries of the folder that the path from `start` on names; `lead` stands before a path that has no folder yet.
fn host_paths(place: &Place, start: usize, lead: &str, world: &World<'_>) -> Vec<Candidate> {
    let written = &place.before[start..];
    if written.contains('$') {
        return Vec::new();
    }
    let cut = written.rfind('/').map_or(0, |at| at + 1);
    let (named, begun) = written.split_at(cut);
    let folder = match named.strip_prefix("~/") {
        Some(rest) => world.files.invoker().home.map(|home| home.join(rest)),
        None => Some(world.folder.join(named)),
    };
    let Some(folder) = folder else { return Vec::new() };
    let lead = if cut == 0 && !begun.starts_with('.') { lead } else { "" };
    let entries = world.files.list(&folder).unwrap_or_default();
    let names = entries.iter().filter_map(|name| name.to_str());
    // Hidden entries are offered to those who ask for them.
    let visible = names.filter(|name| begun.starts_with('.') || !name.starts_with('.'));
    visible
        .take(ENTRIES_MAX)
        .map(|name| {
            let is_folder = world.files.metadata(&folder.join(name)).is_ok_and(|found| found.kind == FileKind::Folder);
            let (kind, end) = if is_folder { (CandidateKind::Folder, "/") } else { (CandidateKind::File, "") };
            Candidate { text: format!("{lead}{name}{end}"), ..plain(place, kind, name, start + cut) }
        })
        .collect()
}
