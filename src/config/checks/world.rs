//! What several rules need to know, looked up once: each source on the host, each target in its machine.
//!
//! Deliberately not here: any diagnostic. Rules read this and never look at the disk for the same thing twice.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::guest::Guest;
use super::places::Places;
use super::words::Nearest;
use crate::config::files::{FileError, FileKind, Files, Metadata};
use crate::config::model::{Image, Machine, Mount, MountKind, Project, Spanned};
use crate::diag::{Sources, Span};

/// So many entries of folders of images are looked at for one file, whatever it mounts.
const ENTRIES_MAX: usize = 10_000;

/// A source as it is on the host.
#[derive(Debug)]
pub(super) struct Source {
    /// The path without links; what does not exist yet is taken as it is written.
    pub(super) real: PathBuf,
    /// What is there, links followed.
    pub(super) metadata: Result<Metadata, FileError>,
}

/// A mount that has a source, and what is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sourced<'a> {
    pub(super) mount: &'a Mount,
    /// As the file says it.
    pub(super) source: &'a Spanned<PathBuf>,
    /// As it is on the host.
    pub(super) found: &'a Source,
}

impl Sourced<'_> {
    /// Whether what the guest writes reaches the host.
    pub(super) fn is_written(&self) -> bool {
        self.mount.is_writable_bind()
    }

    /// Whether the source is made where it is missing.
    pub(super) fn is_made(&self) -> bool {
        self.mount.create && matches!(self.mount.kind, MountKind::Bind { .. })
    }
}

/// What is at a path as far as links go.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// A link, and where it leads.
    To(String),
    /// Something else.
    No,
    /// Nothing, so there is no link below it either.
    Absent,
}

/// A project with what was looked up for it.
pub(super) struct World<'a> {
    pub(super) project: &'a Project,
    pub(super) files: &'a dyn Files,
    /// The texts that spans point into.
    pub(super) texts: &'a Sources,
    /// "Did you mean", for all rules together.
    pub(super) nearest: Nearest,
    sources: HashMap<&'a Path, Source>,
    guests: HashMap<&'a Image, Guest>,
    /// How many entries of folders of images may still be looked at.
    pub(super) budget: Cell<usize>,
    /// Machines by name; the first one of a name.
    machines: HashMap<&'a str, usize>,
    volumes: HashSet<&'a str>,
    places: Vec<Places>,
}

impl<'a> World<'a> {
    /// Looks at every source and resolves every target of the project.
    pub(super) fn new(project: &'a Project, files: &'a dyn Files, texts: &'a Sources) -> Self {
        let mut sources = HashMap::new();
        let mut looker = Looker { files, folders: HashMap::new() };
        let mut machines = HashMap::new();
        let mut guests = HashMap::new();
        for (index, machine) in project.machines.iter().enumerate() {
            machines.entry(machine.name.value.as_str()).or_insert(index);
            let image = &machine.image.value;
            guests.entry(image).or_insert_with(|| Guest::new(image, lock_of(project, image), files));
            for source in machine.mounts.iter().filter_map(Mount::source) {
                let path = source.value.as_path();
                sources.entry(path).or_insert_with(|| looker.look_at(path));
            }
        }
        let (nearest, places, budget) = (Nearest::new(), Vec::new(), Cell::new(ENTRIES_MAX));
        let volumes = project.volumes.iter().map(|volume| volume.name.value.as_str()).collect();
        let mut world = Self { project, files, texts, nearest, sources, guests, budget, machines, volumes, places };
        world.places = project.machines.iter().map(|machine| Places::new(machine, &world)).collect();
        world
    }

    /// The machine of this name.
    pub(super) fn machine(&self, name: &str) -> Option<(&'a Machine, &Places)> {
        let index = self.machine_index(name)?;
        Some((&self.project.machines[index], &self.places[index]))
    }

    /// Number of the machine of this name.
    pub(super) fn machine_index(&self, name: &str) -> Option<usize> {
        self.machines.get(name).copied()
    }

    /// Whether a volume has this name, or may have it: `volumes` could not be read.
    pub(super) fn is_volume_known(&self, name: &str) -> bool {
        self.project.gaps.volumes || self.volumes.contains(name)
    }

    /// All machines with the places of their mounts, in file order.
    pub(super) fn machines(&self) -> impl Iterator<Item = (&'a Machine, &Places)> {
        self.project.machines.iter().zip(&self.places)
    }

    /// The source of a mount of this project, where it has one.
    pub(super) fn source(&self, mount: &Mount) -> Option<&Source> {
        Some(&self.sources[mount.source()?.value.as_path()])
    }

    /// A mount with its source, where it has one.
    pub(super) fn sourced<'m>(&'m self, mount: &'m Mount) -> Option<Sourced<'m>> {
        Some(Sourced { mount, source: mount.source()?, found: self.source(mount)? })
    }

    /// An image of this project.
    pub(super) fn guest(&self, image: &Image) -> &Guest {
        &self.guests[image]
    }

    /// What is at `path` of the machine's image.
    pub(super) fn image_link(&self, image: &Image, path: &str) -> Link {
        self.guest(image).link(path, self.files)
    }

    /// What is at a path on the host.
    pub(super) fn host_link(&self, path: &Path) -> Link {
        match self.files.read_link(path) {
            Ok(target) => target.to_str().map_or(Link::No, |target| Link::To(target.to_owned())),
            Err(FileError::Missing) => Link::Absent,
            Err(_) => Link::No,
        }
    }

    /// A host path as people write it in a command: `./x` for what lies in the project's folder.
    pub(super) fn show(&self, path: &Path) -> String {
        show_from(&self.project.folder, path)
    }

    /// A host path as people write it in the file that says `span`.
    pub(super) fn show_in(&self, span: Span, path: &Path) -> String {
        show_from(self.project.origins.folder(span.file), path)
    }

    /// A source as people write it in its file.
    pub(super) fn show_source(&self, source: &Spanned<PathBuf>) -> String {
        self.show_in(source.span, &source.value)
    }

    /// The invoking user in words.
    pub(super) fn invoker_words(&self) -> String {
        let invoker = self.files.invoker();
        match invoker.name {
            Some(name) => format!("the invoking user (`{name}`, uid {})", invoker.uid),
            None => format!("the invoking user (uid {})", invoker.uid),
        }
    }
}

/// The digest that the lock file gives for an image.
fn lock_of<'a>(project: &'a Project, image: &Image) -> Option<&'a str> {
    match image {
        Image::Reference(reference) => project.locks.digest(reference),
        _ => None,
    }
}

/// `./x` for what lies in a folder.
fn show_from(folder: &Path, path: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
        Ok(rest) if rest.starts_with("..") => rest.display().to_string(),
        Ok(rest) => format!("./{}", rest.display()),
        Err(_) => path.display().to_string(),
    }
}

/// Looks at sources; the links of a folder are followed once for all that lies in it.
struct Looker<'a> {
    files: &'a dyn Files,
    folders: HashMap<PathBuf, Option<PathBuf>>,
}

impl Looker<'_> {
    fn look_at(&mut self, path: &Path) -> Source {
        if let Some((folder, name)) = path.parent().zip(path.file_name())
            && let Ok(found) = self.files.link_metadata(path)
            && found.kind != FileKind::Link
            && let Some(folder) = self.folder(folder)
        {
            return Source { real: folder.join(name), metadata: Ok(found) };
        }
        Source { real: real_path(path, self.files), metadata: self.files.metadata(path) }
    }

    /// A folder without links, where it is there.
    fn folder(&mut self, path: &Path) -> Option<&Path> {
        if !self.folders.contains_key(path) {
            self.folders.insert(path.to_path_buf(), self.files.canonicalize(path).ok());
        }
        self.folders.get(path)?.as_deref()
    }
}

/// The path without links, as far as it exists; the rest as it is written.
pub(super) fn real_path(path: &Path, files: &dyn Files) -> PathBuf {
    for ancestor in path.ancestors() {
        let Ok(real) = files.canonicalize(ancestor) else { continue };
        return match path.strip_prefix(ancestor) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        };
    }
    path.to_path_buf()
}

/// The deepest part of the path that is there.
pub(super) fn deepest_existing<'p>(path: &'p Path, files: &dyn Files) -> &'p Path {
    path.ancestors().find(|ancestor| files.metadata(ancestor).is_ok()).unwrap_or(Path::new("/"))
}
