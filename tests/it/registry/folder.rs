//! A folder in the place of a store, and pulls into it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use smolvm::config::Reference;
use smolvm::image::manifest::Descriptor;
use smolvm::image::registry::{
    Ask, BlobPlaces, BlobSink, Commit, FetchWatch, Patience, Place, PullError, Registry, RegistryAccess, Resolved,
};
use smolvm::image::{Digest, Platform};
use tempfile::TempDir;

/// Blobs by their digits; `.part` where they are not whole.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::with_prefix("smolvm-blobs-").unwrap())
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.0.path().join(digest.hex())
    }

    pub(crate) fn part(&self, digest: &Digest) -> PathBuf {
        self.0.path().join(format!("{}.part", digest.hex()))
    }

    /// Names of all that is here.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl BlobPlaces for Folder {
    fn open(&self, blob: &Descriptor) -> io::Result<Place<'_>> {
        if self.path(&blob.digest).exists() {
            return Ok(Place::Here);
        }
        let part = self.part(&blob.digest);
        let file = File::options().create(true).append(true).open(&part)?;
        Ok(Place::Open(Box::new(Sink { file, part, to: self.path(&blob.digest), digest: blob.digest.clone() })))
    }
}

struct Sink {
    file: File,
    part: PathBuf,
    to: PathBuf,
    digest: Digest,
}

impl BlobSink for Sink {
    fn offset(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }

    fn commit(&mut self) -> io::Result<Commit> {
        let found = Digest::of(&fs::read(&self.part)?);
        if found != self.digest {
            self.restart()?;
            return Ok(Commit::Wrong(found));
        }
        fs::rename(&self.part, &self.to)?;
        Ok(Commit::Kept)
    }
}

/// Who waits, and what was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) words: Vec<String>,
    pub(crate) done: BTreeMap<Digest, u64>,
    pub(crate) finished: Vec<Digest>,
    /// Leaves when this much of a blob is here.
    pub(crate) leaves_at: Option<u64>,
    /// Leaves when something was told in words.
    pub(crate) leaves_at_words: bool,
    pub(crate) has_left: Cell<Option<std::time::Instant>>,
}

impl FetchWatch for Told {
    fn tell(&mut self, words: &str) {
        self.words.push(words.to_owned());
    }

    fn fetched(&mut self, blob: &Descriptor, done: u64) {
        assert!(done <= blob.size, "{done} of {blob:?}");
        self.done.insert(blob.digest.clone(), done);
    }

    fn finished(&mut self, blob: &Descriptor) {
        self.finished.push(blob.digest.clone());
    }

    fn has_left(&self) -> bool {
        let is_enough = |most: u64| self.done.values().any(|done| *done >= most);
        let leaves = self.leaves_at.is_some_and(is_enough) || (self.leaves_at_words && !self.words.is_empty());
        if leaves && self.has_left.get().is_none() {
            self.has_left.set(Some(std::time::Instant::now()));
        }
        leaves
    }
}

/// One pull: what is asked, of whom, into what.
pub(crate) struct Pull {
    pub(crate) folder: Folder,
    pub(crate) told: RefCell<Told>,
    pub(crate) access: RegistryAccess,
}

impl Pull {
    /// As nobody, with the patience of tests.
    pub(crate) fn new() -> Self {
        let patience = Patience {
            stall: Duration::from_secs(20),
            tries: 3,
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(5),
        };
        let access = RegistryAccess { patience, ..RegistryAccess::default() };
        Self { folder: Folder::new(), told: RefCell::default(), access }
    }

    /// With these words in the settings.
    pub(crate) fn settings(mut self, yaml: &str) -> Self {
        self.access.settings = serde_yaml::from_str(yaml).unwrap();
        self
    }

    /// With a silence of a registry that is soon too long.
    pub(crate) fn stall(mut self, stall: Duration) -> Self {
        self.access.patience.stall = stall;
        self
    }

    /// With a file of credentials.
    pub(crate) fn credentials(mut self, file: PathBuf) -> Self {
        self.access.surroundings.credential_files = vec![file];
        self
    }

    /// Pulls a manifest, its config and all layers.
    pub(crate) fn pull(&self, image: &str) -> Result<Resolved, PullError> {
        self.pull_for(image, &Platform::machine())
    }

    pub(crate) fn pull_for(&self, image: &str, platform: &Platform) -> Result<Resolved, PullError> {
        let image: Reference = image.parse().unwrap();
        let registry = Registry::new(self.access.clone())?;
        let mut told = self.told.borrow_mut();
        let ask = Ask { image: &image, locked: None, platform, known: &|_| None };
        let resolved = registry.resolve(&ask, &mut *told)?;
        let layers: Vec<Descriptor> = resolved.content.layers.iter().map(|layer| layer.blob.clone()).collect();
        registry.fetch(&image, &layers, &self.folder, &mut *told)?;
        Ok(resolved)
    }

    /// What is told of an error, with its causes and what to do.
    #[track_caller]
    pub(crate) fn fails(&self, image: &str) -> String {
        let error = self.pull(image).unwrap_err();
        said(&error)
    }
}

/// An error, its causes and what to do.
pub(crate) fn said(error: &PullError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    format!("{text}\n{}", error.help().unwrap_or_default())
}
