//! What is called how: `index.json`, an OCI image index with an entry for each name and platform.
//!
//! A reference is the annotation `org.opencontainers.image.ref.name`, as other tools look for it; what else is known of
//! an entry stands in annotations of our own. Changed by one at a time, written whole. An entry that cannot be read, or a
//! file that cannot, is as good as not there: what it named is asked for again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Shared, Store, StoreError};
use crate::image::manifest::Descriptor;
use crate::image::{Digest, Platform};

const FILE: &str = "index.json";
/// Bytes of the file that are read.
const FILE_MAX: u64 = 64 << 20;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Path of the file that the image came from, with its prefix.
const SOURCE: &str = "smolvm.source";
/// Identity and state of that file when it was read.
const STAMP: &str = "smolvm.source.stamp";
/// Digest of the index that the name means at its registry.
const INDEX: &str = "smolvm.index";
/// When the name got this meaning here, as RFC 3339.
const SINCE: &str = "smolvm.since";

/// What a name means on a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEntry {
    /// The name, as [`crate::image::ImageSource::name`] gives it.
    pub name: String,
    /// The platform.
    pub platform: Platform,
    /// The platform's manifest.
    pub manifest: Descriptor,
    /// The index that the name means at its registry, where it means one.
    pub index: Option<Digest>,
    /// Identity and state of the file that it came from, where it came from one.
    pub stamp: Option<String>,
    /// When the name got this meaning here, as RFC 3339.
    pub since: String,
}

impl ImageEntry {
    /// Whether the name is that of a file of this computer.
    pub fn is_from_file(&self) -> bool {
        is_path(&self.name)
    }

    /// Whether a digest is that of the manifest, or of the index that names it.
    pub fn has_digest(&self, digest: &Digest) -> bool {
        self.manifest.digest == *digest || self.index.as_ref() == Some(digest)
    }
}

fn is_path(name: &str) -> bool {
    name.starts_with("oci:/") || name.starts_with("docker-archive:/")
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexFile {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    manifests: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEntry {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: WrittenPlatform,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPlatform {
    architecture: String,
    os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

impl Store {
    /// All names, sorted, each platform of one after the other.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn names(&self) -> Result<Vec<ImageEntry>, StoreError> {
        let Some(bytes) = self.read(&self.path(FILE), FILE_MAX)? else { return Ok(Vec::new()) };
        let Ok(file) = serde_json::from_slice::<IndexFile>(&bytes) else { return Ok(Vec::new()) };
        Ok(file.manifests.into_iter().filter_map(|entry| serde_json::from_value(entry).ok().and_then(read)).collect())
    }

    /// What a name means on a platform.
    ///
    /// # Errors
    /// Those of [`Store::names`].
    pub fn name(&self, name: &str, platform: &Platform) -> Result<Option<ImageEntry>, StoreError> {
        Ok(self.names()?.into_iter().find(|entry| entry.name == name && entry.platform == *platform))
    }

    /// Gives a name a meaning, in the place of the one that it has. All that the entry names is in the store.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn set_name(&self, entry: &ImageEntry, shared: &Shared) -> Result<(), StoreError> {
        let _ = shared;
        // What is known already is not written again, and keeps its time; so it can be used where nothing can be written.
        let known = self.name(&entry.name, &entry.platform)?;
        if known.is_some_and(|known| ImageEntry { since: entry.since.clone(), ..known } == *entry) {
            return Ok(());
        }
        self.change_names(|names| {
            let is_same = |known: &&mut ImageEntry| known.name == entry.name && known.platform == entry.platform;
            match names.iter_mut().find(is_same) {
                Some(known) => known.clone_from(entry),
                None => names.push(entry.clone()),
            }
        })
    }

    /// Changes the names, one process at a time.
    pub(super) fn change_names(&self, change: impl FnOnce(&mut Vec<ImageEntry>)) -> Result<(), StoreError> {
        let _work = self.work("index", &|| false)?;
        let old = self.names()?;
        let mut names = old.clone();
        change(&mut names);
        if names == old && self.path(FILE).exists() {
            return Ok(());
        }
        names.sort_by(|a, b| (&a.name, &a.platform).cmp(&(&b.name, &b.platform)));
        let manifests = names.iter().map(|entry| serde_json::to_value(written(entry)));
        let manifests = manifests.collect::<Result<_, _>>().expect("texts and numbers always serialize");
        let file = IndexFile { schema_version: 2, media_type: INDEX_TYPE.to_owned(), manifests };
        let mut bytes = serde_json::to_vec_pretty(&file).expect("texts and numbers always serialize");
        bytes.push(b'\n');
        self.write(FILE, &bytes)
    }
}

fn written(entry: &ImageEntry) -> WrittenEntry {
    let name = if entry.is_from_file() { SOURCE } else { REF_NAME };
    let pairs = [
        Some((name, entry.name.clone())),
        entry.index.as_ref().map(|digest| (INDEX, digest.to_string())),
        entry.stamp.clone().map(|stamp| (STAMP, stamp)),
        Some((SINCE, entry.since.clone())),
    ];
    let Platform { os, architecture, variant } = entry.platform.clone();
    WrittenEntry {
        media_type: entry.manifest.media_type.clone(),
        digest: entry.manifest.digest.clone(),
        size: entry.manifest.size,
        platform: WrittenPlatform { architecture, os, variant },
        annotations: pairs.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

fn read(mut from: WrittenEntry) -> Option<ImageEntry> {
    let WrittenPlatform { architecture, os, variant } = from.platform;
    Some(ImageEntry {
        name: from.annotations.remove(REF_NAME).or_else(|| from.annotations.remove(SOURCE))?,
        platform: Platform { os, architecture, variant },
        manifest: Descriptor { digest: from.digest, size: from.size, media_type: from.media_type },
        index: from.annotations.remove(INDEX).and_then(|digest| digest.parse().ok()),
        stamp: from.annotations.remove(STAMP),
        since: from.annotations.remove(SINCE).unwrap_or_default(),
    })
}
