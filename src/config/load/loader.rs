//! The way of a project from its files to its checks.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::env_files::{EnvFiles, Read};
use super::include::{self, FILES_MAX, Link, circle, too_many};
use super::locked::{check_locked, read_lock};
use super::read::{Shelf, too_long};
use super::request::{FileRequest, LoadRequest, Loaded, Mode};
use super::variables::{Naming, ProjectVariables, read_dotenv};
use crate::config::accounts;
use crate::config::checks;
use crate::config::dotenv::Dotenv;
use crate::config::files::{FileError, Files};
use crate::config::lock::Lock;
use crate::config::lower::{Included, Reader, lower};
use crate::config::merge::merge;
use crate::config::model::{Origins, Project};
use crate::config::text::{FILE_MAX_BYTES, read_text};
use crate::config::tree::{NodeId, Tree};
use crate::config::yaml::parse;
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Sources, Span};

/// Reads, merges, lowers and checks.
pub fn load(request: LoadRequest, files: &dyn Files) -> Loaded {
    let LoadRequest { files: requests, texts, env_files, current_folder, mode, name, profiles, is_locked } = request;
    let folder = requests.first().map_or_else(|| current_folder.clone(), folder_of);
    let mut loader = Loader {
        shelf: Shelf { files, texts, current_folder, sources: Sources::default(), env_files: HashMap::new() },
        variables: ProjectVariables { files, dotenv: Dotenv::default(), has_matrix: false },
        mode,
        origins: Origins::default(),
        out: Diagnostics::default(),
        tree: Tree::default(),
        roots: Vec::new(),
        named: Vec::new(),
        chain: Vec::new(),
        known: HashSet::new(),
        count: 0,
        read: 0,
        is_partial: false,
    };
    for (index, request) in requests.into_iter().enumerate() {
        let opened = loader.open(request);
        if index == 0 {
            // Entries of `include` may hold variables.
            loader.read_variables(&folder, &env_files);
        }
        if let Some(file) = opened {
            loader.visit(file);
        }
    }
    let mut project = loader.project(name, &folder);
    if let Some(project) = &mut project {
        project.profiles = profiles;
        let lock = read_lock(project, &mut loader.shelf, &mut loader.out);
        project.locks = lock.as_ref().and_then(|found| found.lock()).map(Lock::locks).unwrap_or_default();
        for (machine, mount) in checks::find_overridden(project, files, &loader.shelf.sources).into_iter().rev() {
            project.machines[machine].mounts.remove(mount);
        }
        project.owners = accounts::resolve_owners(project, files);
        checks::check_all(project, files, &loader.shelf.sources, &mut loader.out);
        if let Some(lock) = lock.filter(|_| is_locked) {
            check_locked(project, &lock, &mut loader.out);
        }
    }
    loader.out.sort();
    Loaded { project, diagnostics: loader.out, sources: loader.shelf.sources, read: loader.read }
}

/// The folder that relative paths of a file start at.
fn folder_of(request: &FileRequest) -> PathBuf {
    match request {
        FileRequest::Path(path) => parent(path),
        FileRequest::Stdin { folder, .. } | FileRequest::Given { folder, .. } => folder.clone(),
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_path_buf()
}

struct Loader<'a> {
    shelf: Shelf<'a>,
    variables: ProjectVariables<'a>,
    mode: Mode,
    origins: Origins,
    out: Diagnostics,
    tree: Tree,
    /// In the order in which they count.
    roots: Vec<(NodeId, FileId)>,
    /// Those of `-f`, in their order.
    named: Vec<(NodeId, FileId)>,
    /// The file that is being read, and those that include it.
    chain: Vec<Link>,
    /// Files that were met, without links.
    known: HashSet<PathBuf>,
    count: usize,
    read: usize,
    /// Whether a part of the project could not be read.
    is_partial: bool,
}

/// A file whose text is there.
struct Opened {
    file: FileId,
    link: Link,
}

impl<'a> Loader<'a> {
    /// A reader of what was parsed so far.
    fn reader(&mut self) -> Reader<'_> {
        Reader {
            tree: &self.tree,
            variables: &self.variables,
            files: self.shelf.files,
            env_files: None,
            mode: self.mode,
            origins: &self.origins,
            out: &mut self.out,
            mistyped: HashMap::new(),
        }
    }

    fn read_variables(&mut self, folder: &Path, env_files: &[PathBuf]) {
        if env_files.is_empty() {
            let path = folder.join(".env");
            self.variables.dotenv = read_dotenv(&mut self.shelf, &path, Naming::Found, &mut self.out);
        }
        for path in env_files {
            let later = read_dotenv(&mut self.shelf, path, Naming::Named, &mut self.out);
            self.variables.dotenv.override_with(later);
        }
    }

    /// Reads a file of `-f`.
    fn open(&mut self, request: FileRequest) -> Option<Opened> {
        match request {
            FileRequest::Path(path) => self.open_path(&path, None),
            FileRequest::Stdin { bytes, folder } => self.open_text("<stdin>".to_owned(), bytes, folder),
            FileRequest::Given { name, text, folder } => self.open_text(name, text.into_bytes(), folder),
        }
    }

    fn open_text(&mut self, name: String, bytes: Vec<u8>, folder: PathBuf) -> Option<Opened> {
        self.count += 1;
        let file = self.shelf.sources.add(crate::diag::Source { name: name.clone(), path: None, bytes });
        self.keep(file, folder, Link { real: None, name, entry: None })
    }

    /// Reads a file into the sources, unless it was met before.
    fn open_path(&mut self, path: &Path, entry: Option<Included>) -> Option<Opened> {
        let real = include::identity(path, &self.shelf);
        let name = self.shelf.display(path);
        if let Some(entry) = &entry
            && let Some(start) = self.chain.iter().position(|link| link.real.as_ref() == Some(&real))
        {
            let chain = self.chain[start..].to_vec();
            let diagnostic = circle(&self.reader(), &chain, entry);
            self.out.push(diagnostic);
            return None;
        }
        if !self.known.insert(real.clone()) {
            return None;
        }
        self.count += 1;
        if self.count > FILES_MAX {
            if self.count == FILES_MAX + 1 {
                let diagnostic = too_many(&self.reader(), entry.as_ref());
                self.out.push(diagnostic);
            }
            self.is_partial = true;
            return None;
        }
        let bytes = match self.shelf.bytes(path) {
            Ok(bytes) => bytes,
            Err(FileError::TooLong) => vec![0; FILE_MAX_BYTES + 1],
            Err(error) => {
                self.is_partial = true;
                let diagnostic = self.unreadable(path, &name, entry.as_ref(), &error);
                self.out.push(diagnostic);
                return None;
            }
        };
        let file = self.shelf.add(path, bytes);
        self.keep(file, parent(path), Link { real: Some(real), name, entry })
    }

    fn unreadable(&mut self, path: &Path, name: &str, entry: Option<&Included>, error: &FileError) -> Diagnostic {
        let Some(entry) = entry else {
            return self.shelf.unreadable(name, path, error).help(self.shelf.help(path, error));
        };
        let Loader { shelf, variables, mode, origins, out, tree, .. } = self;
        let (variables, mode) = (&*variables, *mode);
        let reader = Reader {
            tree,
            variables,
            files: shelf.files,
            env_files: None,
            mode,
            origins,
            out,
            mistyped: HashMap::new(),
        };
        include::unreadable(&reader, shelf, entry, path, error)
    }

    fn keep(&mut self, file: FileId, folder: PathBuf, link: Link) -> Option<Opened> {
        self.origins.add(file, folder);
        if self.shelf.sources.get(file).bytes.len() > FILE_MAX_BYTES {
            self.shelf.sources.clear(file);
            self.is_partial = true;
            self.out.push(too_long(file));
            return None;
        }
        Some(Opened { file, link })
    }

    /// Parses a file; what it includes comes before it.
    fn visit(&mut self, opened: Opened) {
        let file = opened.file;
        let Some(root) = self.parse(file) else {
            self.is_partial = true;
            return;
        };
        self.read += 1;
        let Some(root) = root else {
            self.origins.rank_next(file);
            return;
        };
        self.chain.push(opened.link);
        let mut reader = self.reader();
        let value = reader.root(root, file);
        for included in reader.includes(value) {
            let Some(included) = included else {
                self.is_partial = true;
                continue;
            };
            let path = include::clean(&included.path, &self.shelf);
            if let Some(opened) = self.open_path(&path, Some(included)) {
                self.visit(opened);
            }
        }
        self.chain.pop();
        self.origins.rank_next(file);
        self.roots.push((root, file));
        if self.chain.is_empty() {
            self.named.push((root, file));
        }
    }

    /// The root of a file, where it has one; `None` where it cannot be parsed.
    fn parse(&mut self, file: FileId) -> Option<Option<NodeId>> {
        let text = read_text(file, &self.shelf.sources.get(file).bytes, &mut self.out)?;
        let parsed = parse(file, &text, &mut self.tree, &mut self.out);
        parsed.is_complete.then_some(parsed.root)
    }

    /// Joins and lowers what was read.
    fn project(&mut self, name: Option<String>, folder: &Path) -> Option<Project> {
        self.variables.has_matrix = self.tree.has_key("matrix");
        let nodes: Vec<NodeId> = self.roots.iter().map(|(root, _)| *root).collect();
        let merged = merge(&mut self.tree, &nodes, &self.variables, self.is_partial);
        // From here on each machine with a matrix has its own.
        self.variables.has_matrix = false;
        let Some(root) = merged else {
            if !self.is_partial {
                self.nothing_declared();
            }
            return None;
        };
        let (roots, named) = (self.roots.clone(), self.named.clone());
        let mut reader = self.reader();
        for (root, file) in &roots {
            let value = reader.root(*root, *file);
            reader.check_requires_of(value);
        }
        // An included file may be a project of its own: its name is not this one's.
        let mut values = named.iter().rev().map(|(root, file)| reader.root(*root, *file));
        let own = values.find(|root| reader.value_of(*root, "name").is_some());
        let own = own.and_then(|root| reader.project_name_of(root));
        let last = roots.last().map_or(FileId(0), |(_, file)| *file);
        let value = reader.root(root, last);
        let env_files = EnvFiles::new(&self.shelf);
        let mut reader = Reader {
            tree: &self.tree,
            variables: &self.variables,
            files: self.shelf.files,
            env_files: Some(&env_files),
            mode: self.mode,
            origins: &self.origins,
            out: &mut self.out,
            mistyped: HashMap::new(),
        };
        let project = lower(&mut reader, value, name.or(own), folder);
        let Read { texts, out, .. } = env_files.into_read();
        for (path, bytes) in texts {
            self.shelf.add(&path, bytes);
        }
        out.iter().for_each(|found| self.out.push(found.clone()));
        project
    }

    /// Every file is empty.
    fn nothing_declared(&mut self) {
        let Some(file) = self.origins.files().first().copied() else { return };
        self.out.push(
            Diagnostic::new(Code(6), Severity::Error, "the file declares no machine")
                .label(Span { file, start: 0, end: 0 }, "the file is empty")
                .help("declare one: `machines: { build: { image: host } }`"),
        );
    }
}
