//! Bytes → manifest. The forms are those of `oci_distribution`; what they leave open is checked here.

use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE,
    IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest,
};

use super::{Compression, Descriptor, ImageManifest, IndexEntry, LAYERS_MAX, Layer, Manifest, ManifestError};
use crate::image::platform::Platform;

/// Schema 1 in its two forms, signed and not.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";
/// Layers of OCI images that `zstd` packs; docker has none.
const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// What tells the forms apart.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

/// Reads a manifest. `said` is the media type that came with the bytes, where one did; what the bytes say counts more.
///
/// # Errors
/// Where the bytes are no image or index in one of the four known forms.
pub fn read(bytes: &[u8], said: Option<&str>) -> Result<Manifest, ManifestError> {
    let form = |error: serde_json::Error| ManifestError::Form(error.to_string());
    let said = said.map(|said| said.split(';').next().unwrap_or_default().trim());
    if said.is_some_and(|said| said.starts_with(SCHEMA_1)) {
        return Err(ManifestError::Schema1);
    }
    let kind: Kind = serde_json::from_slice(bytes).map_err(form)?;
    match kind.schema_version {
        1 => return Err(ManifestError::Schema1),
        2 => {}
        other => return Err(ManifestError::Form(format!("its schema version is {other}"))),
    }
    let has_image = kind.config.is_some() || kind.layers.is_some();
    // What is read as one thing here and as another elsewhere is refused (CVE-2021-41190).
    if has_image && kind.manifests.is_some() {
        return Err(ManifestError::Form("it says that it is an image and an index".to_owned()));
    }
    let known = kind.media_type.as_deref().or(said.filter(|said| is_manifest(said)));
    match (known, has_image) {
        (Some(OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE), true)
        | (Some(OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE), false) => {
            Err(ManifestError::Form("its content is not what its media type says".to_owned()))
        }
        (None | Some(OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE), true) => {
            let manifest: OciImageManifest = serde_json::from_slice(bytes).map_err(form)?;
            image(manifest, kind.artifact_type.as_deref()).map(Manifest::Image)
        }
        (None | Some(OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE), false) => {
            let index: OciImageIndex = serde_json::from_slice(bytes).map_err(form)?;
            index.manifests.into_iter().map(entry).collect::<Result<_, _>>().map(Manifest::Index)
        }
        (Some(other), _) => Err(ManifestError::NoImage(shortened(other))),
    }
}

fn is_manifest(media_type: &str) -> bool {
    [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE]
        .contains(&media_type)
}

fn image(manifest: OciImageManifest, artifact: Option<&str>) -> Result<ImageManifest, ManifestError> {
    if let Some(artifact) = artifact.filter(|artifact| !artifact.is_empty()) {
        return Err(ManifestError::NoImage(shortened(artifact)));
    }
    let config_type = manifest.config.media_type.as_str();
    if ![IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE].contains(&config_type) {
        return Err(ManifestError::NoImage(shortened(config_type)));
    }
    if manifest.layers.len() > LAYERS_MAX {
        return Err(ManifestError::TooManyLayers(manifest.layers.len()));
    }
    let layers = manifest.layers.into_iter().map(layer).collect::<Result<_, _>>()?;
    Ok(ImageManifest { config: descriptor(manifest.config)?, layers })
}

fn layer(from: OciDescriptor) -> Result<Layer, ManifestError> {
    let compression = match from.media_type.as_str() {
        IMAGE_LAYER_MEDIA_TYPE | IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE => Compression::None,
        IMAGE_LAYER_GZIP_MEDIA_TYPE | IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE => Compression::Gzip,
        LAYER_ZSTD => Compression::Zstd,
        other => {
            let (digest, media_type) = (shortened(&from.digest), shortened(other));
            let is_foreign = other.contains("nondistributable") || other.contains(".foreign.");
            return Err(match is_foreign {
                true => ManifestError::ForeignLayer { digest, media_type },
                false => ManifestError::UnknownLayer { digest, media_type },
            });
        }
    };
    Ok(Layer { blob: descriptor(from)?, compression })
}

fn descriptor(from: OciDescriptor) -> Result<Descriptor, ManifestError> {
    checked(&from.digest, from.size, from.media_type)
}

fn entry(from: ImageIndexEntry) -> Result<IndexEntry, ManifestError> {
    let platform = from.platform.map(|platform| Platform {
        os: shortened(&platform.os.to_string()),
        architecture: shortened(&platform.architecture.to_string()),
        variant: platform.variant.filter(|variant| !variant.is_empty()).map(|variant| shortened(&variant)),
    });
    Ok(IndexEntry { manifest: checked(&from.digest, from.size, from.media_type)?, platform })
}

fn checked(digest: &str, size: i64, media_type: String) -> Result<Descriptor, ManifestError> {
    let digest = digest.parse().map_err(|error: crate::image::DigestError| ManifestError::Form(error.to_string()))?;
    let size = u64::try_from(size).map_err(|_| ManifestError::Form(format!("the size of `{digest}` is {size}")))?;
    Ok(Descriptor { digest, size, media_type })
}

/// A text of someone else, fit for a message.
fn shortened(text: &str) -> String {
    text.chars().take(100).map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
