//! Checks of projects: which file is the root of a document, what is loaded for it, and what came of it.
//!
//! A document that is not itself a `smolvm.yaml` is checked with the project that includes it: one that is known already,
//! the files of the command line, or the `smolvm.yaml` found upwards. One that none of them includes is checked alone;
//! where it declares no machine it is a fragment, of which nothing is said that only the whole could answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::buffers::{Document, Texts, WithTexts};
use super::outline::Outline;
use super::position::Encoding;
use super::remarks;
use crate::config::{self, FileRequest, Files, LoadRequest, Loaded};
use crate::diag::{Diagnostic, FileId};

/// Rules that ask what another file of the project may answer: what is declared, what is set.
const OF_THE_WHOLE: [u16; 7] = [201, 202, 203, 209, 210, 301, 303];

/// The first file of a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    /// Those of the command line.
    Named,
    /// A file.
    File(PathBuf),
    /// A document that is no file.
    Untitled(String),
}

/// A document to be checked, with all that is open.
#[derive(Debug)]
pub struct CheckJob {
    path: PathBuf,
    candidates: Vec<(Root, LoadRequest)>,
    texts: Texts,
    versions: BTreeMap<PathBuf, i32>,
}

/// What came of it.
#[derive(Debug)]
pub struct CheckResult {
    pub(super) root: Root,
    pub(super) request: LoadRequest,
    pub(super) loaded: Loaded,
    /// Versions of the documents that were open.
    pub(super) versions: BTreeMap<PathBuf, i32>,
}

/// What is known of a project.
#[derive(Debug)]
pub(super) struct Analysis {
    pub(super) request: LoadRequest,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) files: remarks::Files,
    /// Paths of all files that were read.
    pub(super) paths: Vec<(FileId, PathBuf)>,
    pub(super) versions: BTreeMap<PathBuf, i32>,
}

impl CheckJob {
    /// What is to be asked for a document. `known` are projects that were checked and read it.
    pub(super) fn new(
        document: &Document,
        known: Vec<Root>,
        template: &LoadRequest,
        documents: &[&Document],
        files: &dyn Files,
    ) -> Self {
        let texts: Texts = documents.iter().filter_map(|one| Some((one.path.clone()?, one.text.clone()))).collect();
        let versions = documents.iter().map(|one| (one.load_path(&template.current_folder), one.version)).collect();
        let path = document.load_path(&template.current_folder);
        let mut roots = known;
        match &document.path {
            None => roots.push(Root::Untitled(document.uri.as_str().to_owned())),
            Some(path) => {
                if !template.files.is_empty() {
                    roots.push(Root::Named);
                }
                if !is_project_name(path) {
                    let found =
                        path.parent().and_then(|folder| config::find(folder, &WithTexts { files, texts: &texts }));
                    roots.extend(found.map(Root::File));
                }
                roots.push(Root::File(path.clone()));
            }
        }
        let mut seen = BTreeSet::new();
        roots.retain(|root| seen.insert(root.clone()));
        let candidates = roots.into_iter().map(|root| (root.clone(), request(root, document, &path, template)));
        Self { candidates: candidates.collect(), path, texts, versions }
    }

    /// Checks the first project that reads the document.
    pub fn run(self, files: &dyn Files) -> Option<CheckResult> {
        let files = WithTexts { files, texts: &self.texts };
        let mut last = None;
        for (root, request) in self.candidates {
            let loaded = config::load(request.clone(), &files);
            let is_read = loaded.sources.iter().any(|(_, source)| source.path.as_deref() == Some(&self.path));
            last = Some((root, request, loaded));
            if is_read {
                break;
            }
        }
        let (root, request, loaded) = last?;
        Some(CheckResult { root, request, loaded, versions: self.versions })
    }
}

fn request(root: Root, document: &Document, path: &Path, template: &LoadRequest) -> LoadRequest {
    let mut request = template.clone();
    match root {
        Root::Named => {}
        Root::File(path) => request.files = vec![FileRequest::Path(path)],
        Root::Untitled(_) => {
            request.files = vec![FileRequest::Path(path.to_path_buf())];
            request.texts.insert(path.to_path_buf(), document.text.as_bytes().to_vec());
        }
    }
    request
}

/// Whether a file is a project by its name.
fn is_project_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "smolvm.yaml" || name == "smolvm.yml")
}

impl Analysis {
    pub(super) fn new(result: CheckResult, documents: &[&Document], encoding: Encoding) -> Self {
        let CheckResult { root, request, loaded, versions } = result;
        let untitled = documents.iter().find(|one| root == Root::Untitled(one.uri.as_str().to_owned()));
        let files = remarks::Files::new(&loaded.sources, documents, untitled.map(|one| &one.uri), encoding);
        let read = loaded.sources.iter().filter_map(|(id, source)| Some((id, source.path.clone()?)));
        let paths: Vec<(FileId, PathBuf)> = read.collect();
        let first = loaded.sources.iter().next().map(|(_, source)| String::from_utf8_lossy(&source.bytes).into_owned());
        let outline = first.as_deref().map(Outline::new).filter(|outline| is_fragment(&root, outline));
        let is_known =
            |diagnostic: &&Diagnostic| outline.as_ref().is_none_or(|outline| !is_of_whole(diagnostic, outline));
        let diagnostics = loaded.diagnostics.iter().filter(is_known).cloned().collect();
        Self { request, diagnostics, files, paths, versions }
    }

    /// Whether a file was read.
    pub(super) fn reads(&self, path: &Path) -> bool {
        self.paths.iter().any(|(_, read)| read == path)
    }

    /// The first file of the project.
    pub(super) fn root(&self) -> Option<&Path> {
        self.paths.first().map(|(_, path)| path.as_path())
    }

    /// Paths and texts of the other project files that were read.
    pub(super) fn others<'a>(&'a self, document: &'a Document) -> impl Iterator<Item = (&'a PathBuf, &'a str)> {
        let is_yaml = |path: &Path| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let others = self.paths.iter().filter(move |(_, path)| document.path.as_ref() != Some(path) && is_yaml(path));
        others.filter_map(|(id, path)| Some((path, self.files.text(*id)?)))
    }
}

/// Whether a file is a part of a project that is not known.
fn is_fragment(root: &Root, outline: &Outline) -> bool {
    let is_named = !matches!(root, Root::File(path) if !is_project_name(path));
    !is_named && outline.get(outline.root, "machines").is_none()
}

/// Whether only the whole project could tell.
fn is_of_whole(diagnostic: &Diagnostic, outline: &Outline) -> bool {
    let start = diagnostic.labels.first().map_or(0, |label| label.span.start);
    // That the file declares no machine is told at its first line.
    let is_missing_machine = diagnostic.code.0 == 6 && start <= outline.nodes[outline.root].span.start;
    is_missing_machine || OF_THE_WHOLE.contains(&diagnostic.code.0)
}
