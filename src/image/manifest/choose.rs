//! Which manifest of an index is the one for a platform.

use oci_distribution::manifest::{IMAGE_MANIFEST_LIST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE};

use super::{IndexEntry, ManifestError};
use crate::image::platform::Platform;

/// The entries that may be or hold the image for a platform, the likeliest first: those that name the platform, then
/// indexes that may hold it, then images that name no platform, whose config tells.
pub fn candidates<'a>(entries: &'a [IndexEntry], wanted: &Platform) -> Vec<&'a IndexEntry> {
    let mut ranked: Vec<(Rank<'a>, &IndexEntry)> =
        entries.iter().filter_map(|entry| Some((rank(entry, wanted)?, entry))).collect();
    // Stable: of equals the first of the index is taken, as others do.
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().map(|(_, entry)| entry).collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'a> {
    Exact,
    /// The same architecture in a variant: the lowest runs on most CPUs.
    Variant(&'a str),
    Index,
    Unsaid,
}

fn rank<'a>(entry: &'a IndexEntry, wanted: &Platform) -> Option<Rank<'a>> {
    let is_index =
        [OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE].contains(&entry.manifest.media_type.as_str());
    match &entry.platform {
        None if is_index => Some(Rank::Index),
        None => Some(Rank::Unsaid),
        Some(platform) if platform.os != wanted.os || platform.architecture != wanted.architecture => None,
        Some(_) if is_index => Some(Rank::Index),
        Some(platform) => match (&platform.variant, &wanted.variant) {
            (a, b) if a == b => Some(Rank::Exact),
            (None, Some(_)) => Some(Rank::Variant("")),
            (Some(variant), None) => Some(Rank::Variant(variant)),
            _ => None,
        },
    }
}

/// The platform that a config says, where it says one.
///
/// # Errors
/// Where the bytes are no config.
pub fn platform_of_config(bytes: &[u8]) -> Result<Option<Platform>, ManifestError> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        variant: String,
    }
    let config: Config = serde_json::from_slice(bytes)
        .map_err(|error| ManifestError::Form(format!("the config cannot be read: {error}")))?;
    if config.os.is_empty() || config.architecture.is_empty() {
        return Ok(None);
    }
    let variant = (!config.variant.is_empty()).then_some(config.variant);
    Ok(Some(Platform { os: config.os, architecture: config.architecture, variant }))
}
