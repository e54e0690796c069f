//! A tar of `docker save`: its `manifest.json`, which both the old form and the one that is an OCI layout too have.
//!
//! It has no manifest with digests, so one is written here: the same bytes for the same content, whatever file it comes from.

use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::SourceError;
use super::container::{Container, Part, shown};
use super::import::{Found, Given};
use super::layout::is_for;
use crate::image::manifest::{self, CONFIG_MAX, Descriptor, LAYERS_MAX, MANIFEST_MAX, Manifest, platform_of_config};
use crate::image::{Digest, ImageConfig, ImageError};

const MANIFEST: &str = "manifest.json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenManifest {
    schema_version: u32,
    media_type: &'static str,
    config: WrittenDescriptor,
    layers: Vec<WrittenDescriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// Finds the image for a platform. The second value names the file of each layer.
pub(super) fn find(container: &Container, given: &Given<'_>) -> Result<(Found, Vec<String>), ImageError> {
    let form = |fault: String| ImageError::Source(SourceError::form(given.path, fault));
    let Some(bytes) = container.read(MANIFEST, MANIFEST_MAX)? else {
        return Err(form(format!("has no `{MANIFEST}`: it is no tar of `docker save`, or of a docker before 1.10")));
    };
    let saved: Vec<Saved> = serde_json::from_slice(&bytes)
        .map_err(|error| form(format!("has a `{MANIFEST}` that cannot be read: {error}")))?;
    let (mut fitting, mut others) = (Vec::new(), Vec::new());
    for one in saved {
        let name = &one.config;
        let Some(config) = container.read(name, CONFIG_MAX)? else {
            return Err(form(format!("has no `{}`", shown(name))));
        };
        match platform_of_config(&config).map_err(|source| given.manifest(source))? {
            Some(other) if !is_for(&other, given.platform) => others.push(shown(&other.to_string())),
            _ => fitting.push((one, config)),
        }
    }
    let mut names: Vec<String> = fitting.iter().flat_map(|(one, _)| tags(one)).collect();
    fitting.dedup_by(|(a, _), (b, _)| a.config == b.config);
    match (fitting.pop(), fitting.is_empty()) {
        (Some((one, config)), true) => image(container, given, one.layers.unwrap_or_default(), config),
        (Some(_), false) => {
            names.sort();
            Err(SourceError::Several { path: given.path.to_owned(), names }.into())
        }
        (None, _) if others.is_empty() => Err(form("holds no image".to_owned())),
        (None, _) => {
            let wanted = given.platform.to_string();
            Err(SourceError::Platform { path: given.path.to_owned(), wanted, found: others }.into())
        }
    }
}

/// Opens a layer.
pub(super) fn layer(container: &Container, given: &Given<'_>, name: &str) -> Result<Part, SourceError> {
    container.part(name)?.ok_or_else(|| SourceError::form(given.path, format!("has no `{}`", shown(name))))
}

fn tags(saved: &Saved) -> Vec<String> {
    match saved.repo_tags.as_deref() {
        None | Some([]) => vec![shown(&saved.config)],
        Some(tags) => tags.iter().map(|tag| shown(tag)).collect(),
    }
}

fn image(
    container: &Container,
    given: &Given<'_>,
    files: Vec<String>,
    config: Vec<u8>,
) -> Result<(Found, Vec<String>), ImageError> {
    let says =
        ImageConfig::read(&config).map_err(|source| ImageError::Config { image: given.image.to_owned(), source })?;
    if says.diff_ids.len() != files.len() || files.len() > LAYERS_MAX {
        let (image, layers, diff_ids) = (given.image.to_owned(), files.len(), says.diff_ids.len());
        return Err(ImageError::Layers { image, layers, diff_ids });
    }
    let mut layers = Vec::new();
    for (name, diff_id) in files.iter().zip(&says.diff_ids) {
        layers.push(describe(given, layer(container, given, name)?, name, diff_id)?);
    }
    let written = WrittenManifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        config: WrittenDescriptor {
            media_type: CONFIG_TYPE.to_owned(),
            digest: Digest::of(&config),
            size: config.len() as u64,
        },
        layers,
    };
    let bytes = serde_json::to_vec(&written).expect("texts and numbers always serialize");
    let Manifest::Image(content) = manifest::read(&bytes, None).map_err(|source| given.manifest(source))? else {
        return Err(SourceError::form(given.path, "holds no image").into());
    };
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    let manifest = Descriptor { digest, size, media_type: MANIFEST_TYPE.to_owned() };
    Ok((Found { manifest, bytes, content, config, index: None }, files))
}

/// What a layer is. Without compression its digest is the one that the config says; with, it must be read for it.
fn describe(given: &Given<'_>, mut part: Part, name: &str, diff_id: &Digest) -> Result<WrittenDescriptor, SourceError> {
    let read = |source| SourceError::Read { path: given.path.join(name), source };
    let mut start = Vec::new();
    part.by_ref().take(4).read_to_end(&mut start).map_err(read)?;
    part.seek(0).map_err(read)?;
    let packing = if start.starts_with(&[0x1f, 0x8b]) {
        "+gzip"
    } else if start == [0x28, 0xb5, 0x2f, 0xfd] {
        "+zstd"
    } else {
        let (media_type, digest) = (LAYER_TYPE.to_owned(), diff_id.clone());
        return Ok(WrittenDescriptor { media_type, digest, size: part.size });
    };
    let mut hash = sha2::Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match part.read(&mut chunk).map_err(read)? {
            0 => break,
            count => hash.update(&chunk[..count]),
        }
    }
    let digest = Digest::from_sha256(&hash.finalize().into());
    Ok(WrittenDescriptor { media_type: format!("{LAYER_TYPE}{packing}"), digest, size: part.size })
}
