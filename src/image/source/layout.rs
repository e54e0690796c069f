//! An OCI layout (image-spec, `image-layout.md`): which of its images is meant, and where its blobs are.

use super::SourceError;
use super::container::{Container, Part, shown};
use super::import::{Found, Given};
use crate::image::manifest::{
    self, CONFIG_MAX, Descriptor, INDEX_DEPTH_MAX, ImageManifest, IndexEntry, MANIFEST_MAX, Manifest,
    platform_of_config,
};
use crate::image::{Digest, ImageError, Platform};

/// Index of the layout.
const INDEX: &str = "index.json";
/// Annotation that names an image of a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One that fits.
struct Candidate {
    manifest: Descriptor,
    bytes: Vec<u8>,
    content: ImageManifest,
    config: Vec<u8>,
    /// The index that names it, where that is not the layout's own.
    index: Option<Digest>,
    name: String,
}

/// Finds the image for a platform.
pub(super) fn find(container: &Container, given: &Given<'_>) -> Result<Found, ImageError> {
    let form = |fault: String| ImageError::Source(SourceError::form(given.path, fault));
    let Some(bytes) = container.read(INDEX, MANIFEST_MAX)? else {
        return Err(form(format!("has no `{INDEX}`")));
    };
    let entries = match manifest::read(&bytes, None).map_err(|source| given.manifest(source))? {
        Manifest::Index(entries) => entries,
        Manifest::Image(_) => return Err(form(format!("has an image where `{INDEX}` should be"))),
    };
    let names = names(&bytes);
    let mut search = Search { container, given, found: Vec::new(), others: Vec::new() };
    for (number, entry) in entries.iter().enumerate() {
        let name = names.get(number).cloned().flatten();
        let name = name.unwrap_or_else(|| entry.manifest.digest.to_string());
        search.look(std::slice::from_ref(entry), &name, None, 0)?;
    }
    let Search { mut found, others, .. } = search;
    if let Some(locked) = given.locked {
        let is_locked = |one: &Candidate| one.manifest.digest == *locked || one.index.as_ref() == Some(locked);
        if found.iter().any(is_locked) {
            found.retain(is_locked);
        }
    }
    let mut names: Vec<String> = found.iter().map(|one| shown(&one.name)).collect();
    found.dedup_by(|a, b| a.manifest.digest == b.manifest.digest);
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(Found {
            manifest: one.manifest,
            bytes: one.bytes,
            content: one.content,
            config: one.config,
            index: one.index,
        }),
        (Some(_), false) => {
            names.sort();
            Err(SourceError::Several { path: given.path.to_owned(), names }.into())
        }
        (None, _) if others.is_empty() => Err(form("holds no image".to_owned())),
        (None, _) => {
            let (wanted, mut found) = (given.platform.to_string(), others);
            found.sort();
            found.dedup();
            Err(SourceError::Platform { path: given.path.to_owned(), wanted, found }.into())
        }
    }
}

/// Opens a blob of a layout.
pub(super) fn blob(container: &Container, given: &Given<'_>, digest: &Digest) -> Result<Part, SourceError> {
    let name = format!("blobs/sha256/{}", digest.hex());
    container.part(&name)?.ok_or_else(|| SourceError::form(given.path, format!("has no blob `{digest}`")))
}

/// Names of the images, in the order of the index.
fn names(index: &[u8]) -> Vec<Option<String>> {
    let index: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
    let name = |entry: &serde_json::Value| Some(entry["annotations"][REF_NAME].as_str()?.to_owned());
    index["manifests"].as_array().map(|entries| entries.iter().map(name).collect()).unwrap_or_default()
}

struct Search<'a> {
    container: &'a Container,
    given: &'a Given<'a>,
    found: Vec<Candidate>,
    /// Platforms that are there and not wanted.
    others: Vec<String>,
}

impl Search<'_> {
    /// Takes the best of some entries, if one fits.
    fn look(
        &mut self,
        entries: &[IndexEntry],
        name: &str,
        index: Option<&Digest>,
        depth: usize,
    ) -> Result<bool, ImageError> {
        let given = self.given;
        self.others.extend(entries.iter().filter_map(|entry| {
            let platform = entry.platform.as_ref()?;
            (!is_for(platform, given.platform) && platform.os != "unknown").then(|| shown(&platform.to_string()))
        }));
        for entry in manifest::candidates(entries, given.platform) {
            let bytes = self.document(&entry.manifest, MANIFEST_MAX)?;
            let said = Some(entry.manifest.media_type.as_str());
            match manifest::read(&bytes, said).map_err(|source| given.manifest(source))? {
                Manifest::Index(_) if depth >= INDEX_DEPTH_MAX => {
                    return Err(SourceError::form(given.path, "has indexes in one another without end").into());
                }
                Manifest::Index(entries) => {
                    if self.look(&entries, name, Some(&entry.manifest.digest), depth + 1)? {
                        return Ok(true);
                    }
                }
                Manifest::Image(content) => {
                    let config = self.document(&content.config, CONFIG_MAX)?;
                    let platform = platform_of_config(&config).map_err(|source| given.manifest(source))?;
                    let known = entry.platform.clone().or(platform);
                    if let Some(other) = known.filter(|platform| !is_for(platform, given.platform)) {
                        self.others.push(shown(&other.to_string()));
                        continue;
                    }
                    let (manifest, index, name) = (entry.manifest.clone(), index.cloned(), name.to_owned());
                    self.found.push(Candidate { manifest, bytes, content, config, index, name });
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn document(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, ImageError> {
        let digest = &descriptor.digest;
        let name = format!("blobs/sha256/{}", digest.hex());
        let bytes = self.container.read(&name, limit)?;
        let bytes = bytes.ok_or_else(|| SourceError::form(self.given.path, format!("has no blob `{digest}`")))?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(SourceError::damaged(self.given.path, format!("`{digest}` is `{found}`")).into());
        }
        Ok(bytes)
    }
}

/// Whether what is made for one platform runs on another.
pub(super) fn is_for(made: &Platform, wanted: &Platform) -> bool {
    let is_variant = made.variant.is_none() || wanted.variant.is_none() || made.variant == wanted.variant;
    made.os == wanted.os && made.architecture == wanted.architecture && is_variant
}
