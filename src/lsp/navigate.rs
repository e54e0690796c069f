//! Where a thing is declared and where it is used, in all files of a project.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::{Location, Uri};

use super::names::{self, Meaning, NameKind, Occurrence};
use super::outline::{At, Kind, Outline};
use super::position::Positions;
use super::{uri, variables};
use crate::config::{FileKind, Files};

/// A file of a project.
#[derive(Debug)]
pub(super) struct ProjectFile {
    pub(super) uri: Uri,
    pub(super) folder: PathBuf,
    pub(super) text: Arc<str>,
    pub(super) outline: Outline,
    pub(super) positions: Positions,
}

impl ProjectFile {
    fn location(&self, span: Range<usize>) -> Location {
        Location { uri: self.uri.clone(), range: self.positions.range(&self.text, span) }
    }

    /// The name at an offset.
    pub(super) fn occurrence(&self, offset: usize) -> Option<Occurrence> {
        let all = names::occurrences(&self.outline).into_iter();
        all.filter(|one| one.span.start <= offset && offset <= one.span.end).min_by_key(|one| one.span.len())
    }
}

/// Every place of a name, the files in their order. `files[0]` is where it was asked for.
pub(super) fn places(files: &[ProjectFile], wanted: &Occurrence) -> Vec<(usize, Occurrence)> {
    let reach = if wanted.kind == NameKind::Anchor { &files[..1] } else { files };
    let all = reach
        .iter()
        .enumerate()
        .flat_map(|(at, file)| names::occurrences(&file.outline).into_iter().map(move |occurrence| (at, occurrence)));
    all.filter(|(_, one)| one.kind == wanted.kind && one.name == wanted.name).collect()
}

/// The places of a name as the client knows them.
pub(super) fn references(files: &[ProjectFile], offset: usize, with_declaration: bool) -> Vec<Location> {
    let Some(wanted) = files.first().and_then(|file| file.occurrence(offset)) else { return Vec::new() };
    let all = places(files, &wanted).into_iter().filter(|(_, one)| with_declaration || one.declared.is_none());
    all.map(|(at, one)| files[at].location(one.span)).collect()
}

/// Where what stands at an offset is declared: a name, an anchor, a variable of `.env`, a file.
pub(super) fn definition(files: &[ProjectFile], offset: usize, disk: &dyn Files) -> Vec<Location> {
    let Some(file) = files.first() else { return Vec::new() };
    if let Some(wanted) = file.occurrence(offset) {
        if wanted.kind == NameKind::Anchor {
            let target = file.outline.anchored(&wanted.name, wanted.span.start + 1);
            let anchor = target.and_then(|target| file.outline.nodes[target].anchor.as_ref());
            return anchor.map(|anchor| file.location(anchor.span.clone())).into_iter().collect();
        }
        let declared = places(files, &wanted).into_iter().filter(|(_, one)| one.declared.is_some());
        let mut found: Vec<Location> = declared.map(|(at, one)| files[at].location(one.span)).collect();
        if found.is_empty() && wanted.kind == NameKind::Step {
            found = unnamed_step(files, &wanted.name).into_iter().collect();
        }
        return found;
    }
    let Some(At::Value(node)) = file.outline.at(offset) else { return Vec::new() };
    let span = &file.outline.nodes[node].span;
    if let Some(name) = variables::at(&file.text, span, offset) {
        return in_env_file(&file.text[name], files, disk).into_iter().collect();
    }
    named_file(file, node, disk).into_iter().collect()
}

fn unnamed_step(files: &[ProjectFile], name: &str) -> Option<Location> {
    files.iter().find_map(|file| {
        let steps = names::unnamed_steps(&file.outline);
        let (_, node) = steps.into_iter().find(|(own, _)| own == name)?;
        let start = file.outline.nodes[node].span.start;
        Some(file.location(start..start))
    })
}

/// The line of `.env` that sets a variable.
fn in_env_file(name: &str, files: &[ProjectFile], disk: &dyn Files) -> Option<Location> {
    files.iter().find_map(|file| {
        let path = file.folder.join(".env");
        let bytes = disk.read(&path, 1 << 20).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let mut start = 0;
        let mut found = None;
        for line in text.split_inclusive('\n') {
            let content = line.trim_start();
            let content = content.strip_prefix("export ").unwrap_or(content).trim_start();
            if content.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('=')) {
                let at = start + (line.len() - content.len());
                found = Some(at..at + name.len());
            }
            start += line.len();
        }
        let positions = Positions::new(&text, file.positions.encoding());
        Some(Location { uri: uri::of_path(&path)?, range: positions.range(&text, found?) })
    })
}

/// The file that a value names, where it is one.
fn named_file(file: &ProjectFile, node: usize, disk: &dyn Files) -> Option<Location> {
    let Kind::Scalar { text, is_block: false, .. } = file.outline.kind(node) else { return None };
    let written = match names::meaning_of(&file.outline, node) {
        Meaning::HostPath => text.as_str(),
        Meaning::ShortMount => text.split(':').next().unwrap_or_default(),
        Meaning::Image => text.split_once(':').map_or(text.as_str(), |(_, path)| path),
        _ => return None,
    };
    let path = match written.strip_prefix("~/") {
        Some(rest) => disk.invoker().home?.join(rest),
        None => file.folder.join(Path::new(written)),
    };
    let is_file = disk.metadata(&path).is_ok_and(|found| found.kind == FileKind::File);
    let start = lsp_types::Range::default();
    Some(Location { uri: uri::of_path(&uri::clean(&path)).filter(|_| is_file && !written.is_empty())?, range: start })
}
