//! The documents that are open in the editor, and the disk as it would be if they were saved.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsp_types::{TextDocumentContentChangeEvent, Uri};

use super::outline::Outline;
use super::position::{Encoding, Positions};
use super::uri;
use crate::config::model::Image;
use crate::config::{
    FileError, FileKind, Files, FolderContents, HostIds, HostPorts, HostResources, ImageRoot, InvokerFacts, Metadata,
};

/// An open document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) uri: Uri,
    /// None of a document that is no file of this computer.
    pub(super) path: Option<PathBuf>,
    pub(super) version: i32,
    pub(super) text: Arc<str>,
    pub(super) positions: Positions,
}

impl Document {
    pub(super) fn new(uri: Uri, version: i32, text: String, encoding: Encoding) -> Self {
        let (path, positions) = (uri::to_path(&uri), Positions::new(&text, encoding));
        Self { uri, path, version, text: text.into(), positions }
    }

    /// Applies changes in their order.
    pub(super) fn change(&mut self, changes: Vec<TextDocumentContentChangeEvent>, version: i32, encoding: Encoding) {
        let mut text = self.text.to_string();
        let last = changes.iter().rposition(|change| change.range.is_none()).unwrap_or(0);
        for change in changes.into_iter().skip(last) {
            match change.range {
                None => text = change.text,
                Some(range) => {
                    let span = Positions::new(&text, encoding).span(&text, range);
                    text.replace_range(span, &change.text);
                }
            }
        }
        self.positions = Positions::new(&text, encoding);
        self.text = text.into();
        self.version = version;
    }

    pub(super) fn outline(&self) -> Outline {
        Outline::new(&self.text)
    }

    /// The path by which it is loaded: its own, or a made-up one where it is no file.
    pub(super) fn load_path(&self, folder: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| folder.join("untitled.yaml"))
    }
}

/// Texts of open documents by path.
pub(super) type Texts = BTreeMap<PathBuf, Arc<str>>;

/// The disk, with open documents in the place of the files.
#[derive(Clone, Copy)]
pub(super) struct WithTexts<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) texts: &'a Texts,
}

impl WithTexts<'_> {
    fn text(&self, path: &Path) -> Option<&Arc<str>> {
        self.texts.get(path).or_else(|| self.texts.get(&uri::clean(path)))
    }

    /// What is known of a document that was never saved.
    fn unsaved(&self, path: &Path, answer: Result<Metadata, FileError>) -> Result<Metadata, FileError> {
        match (answer, self.text(path)) {
            (Err(FileError::Missing), Some(text)) => {
                Ok(Metadata { kind: FileKind::File, length: text.len() as u64, identity: (0, 0), is_public: true })
            }
            (answer, _) => answer,
        }
    }
}

impl Files for WithTexts<'_> {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        match self.text(path) {
            Some(text) if text.len() > limit => Err(FileError::TooLong),
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => self.files.read(path, limit),
        }
    }

    fn read_start(&self, path: &Path, length: usize) -> Result<Vec<u8>, FileError> {
        match self.text(path) {
            Some(text) => Ok(text.as_bytes()[..length.min(text.len())].to_vec()),
            None => self.files.read_start(path, length),
        }
    }

    fn read_range(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, FileError> {
        match self.text(path) {
            Some(text) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
                Ok(text.as_bytes()[start..start.saturating_add(length).min(text.len())].to_vec())
            }
            None => self.files.read_range(path, offset, length),
        }
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.unsaved(path, self.files.metadata(path))
    }

    fn link_metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.unsaved(path, self.files.link_metadata(path))
    }

    fn canonicalize(&self, path: &Path) -> Result<PathBuf, FileError> {
        match self.files.canonicalize(path) {
            Err(FileError::Missing) if self.text(path).is_some() => Ok(uri::clean(path)),
            answer => answer,
        }
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.files.read_link(path)
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, FileError> {
        self.files.list(folder)
    }

    fn contents(&self, folder: &Path, limit: usize, is_public_only: bool) -> Result<FolderContents, FileError> {
        self.files.contents(folder, limit, is_public_only)
    }

    fn image_root(&self, image: &Image, lock: Option<&str>) -> Option<Arc<dyn ImageRoot>> {
        self.files.image_root(image, lock)
    }

    fn first_of(&self, folder: &Path, names: &'static [&'static str]) -> Option<usize> {
        self.files.first_of(folder, names)
    }

    fn is_readable(&self, path: &Path) -> bool {
        self.text(path).is_some() || self.files.is_readable(path)
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.files.is_writable(path)
    }

    fn is_usable_by(&self, owner: &HostIds, path: &Path, is_written: bool) -> bool {
        self.files.is_usable_by(owner, path, is_written)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.files.variable(name)
    }

    fn variable_names(&self) -> Vec<String> {
        self.files.variable_names()
    }

    fn invoker(&self) -> InvokerFacts {
        self.files.invoker()
    }

    fn own_folders(&self) -> Vec<PathBuf> {
        self.files.own_folders()
    }

    fn resources(&self) -> HostResources {
        self.files.resources()
    }

    fn ports(&self) -> HostPorts {
        self.files.ports()
    }

    fn held_ports(&self, project: &str, folder: &Path) -> Vec<SocketAddr> {
        self.files.held_ports(project, folder)
    }
}
