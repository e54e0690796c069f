//! How layers and trees lie on disk: a header, then postcard. `docs/forms.md` describes it.
//!
//! ```text
//! magic (8)  version (4, little endian)  SHA-256 of all that follows (32)  body (postcard)
//! ```
//!
//! What is read is believed in nothing: damage is found by the digest, and what a writer meant wrongly by [`super::check`].
//! Memory stays within a small multiple of the input's length, since a list grows only with what was read of it. Not
//! here: files.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check::{Fault, check_layer, check_tree};
use super::{LayerIndex, RootTree};

/// Version of both forms. Another version is another place in the store, never read.
pub const FORMAT_VERSION: u32 = 1;

const LAYER_MAGIC: &[u8; 8] = b"smollayr";
const TREE_MAGIC: &[u8; 8] = b"smoltree";
const HEADER_LENGTH: usize = 8 + 4 + 32;

/// What is known of a layer's pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFacts {
    /// Length in bytes, a multiple of 4096.
    pub length: u64,
    /// SHA-256 of all its bytes.
    pub digest: [u8; 32],
}

/// Why bytes are no layer or tree.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The bytes end within the header, or begin with other ones.
    #[error("it does not begin as a {form} does")]
    Header {
        /// `layer index` or `tree`.
        form: &'static str,
    },
    /// Written by another smolvm.
    #[error("it has version {found}, and this smolvm reads version {FORMAT_VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Not what was written.
    #[error("its bytes have changed since it was written")]
    Damaged,
    /// No postcard of the type.
    #[error("its content cannot be read")]
    Content(#[source] postcard::Error),
    /// Readable, and wrong.
    #[error("its content contradicts itself")]
    Fault(#[from] Fault),
}

impl LayerIndex {
    /// The index of a layer as it is stored, with what is known of its pack.
    pub fn encode(&self, pack: &PackFacts) -> Vec<u8> {
        seal(LAYER_MAGIC, &(pack, self))
    }

    /// Reads what [`LayerIndex::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<(LayerIndex, PackFacts), FormError> {
        let (pack, index): (PackFacts, LayerIndex) = open(LAYER_MAGIC, "layer index", bytes)?;
        check_layer(&index, pack.length)?;
        Ok((index, pack))
    }
}

impl RootTree {
    /// The tree as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        seal(TREE_MAGIC, self)
    }

    /// Reads what [`RootTree::encode`] wrote. Every extent lies within its pack; the packs' lengths are given, the lowest
    /// layer's first.
    pub fn decode(bytes: &[u8], pack_lengths: &[u64]) -> Result<RootTree, FormError> {
        let tree = open(TREE_MAGIC, "tree", bytes)?;
        check_tree(&tree, pack_lengths)?;
        Ok(tree)
    }
}

fn seal(magic: &[u8; 8], content: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::from(magic);
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend([0; 32]);
    let mut bytes = postcard::to_extend(content, bytes).expect("lists of known length are always written to memory");
    let digest = Sha256::digest(&bytes[HEADER_LENGTH..]);
    bytes[HEADER_LENGTH - 32..HEADER_LENGTH].copy_from_slice(&digest);
    bytes
}

/// Whether a stored tree is as it was written and of this version, by its header alone.
pub fn is_whole_tree(bytes: &[u8]) -> bool {
    body(TREE_MAGIC, "tree", bytes).is_ok()
}

fn open<T: DeserializeOwned>(magic: &[u8; 8], form: &'static str, bytes: &[u8]) -> Result<T, FormError> {
    let (content, rest) = postcard::take_from_bytes(body(magic, form, bytes)?).map_err(FormError::Content)?;
    if rest.is_empty() { Ok(content) } else { Err(FormError::Content(postcard::Error::DeserializeBadEncoding)) }
}

/// What follows the header.
fn body<'a>(magic: &[u8; 8], form: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], FormError> {
    let rest = bytes.strip_prefix(magic).ok_or(FormError::Header { form })?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(FormError::Header { form })?;
    let found = u32::from_le_bytes(*version);
    if found != FORMAT_VERSION {
        return Err(FormError::Version { found });
    }
    let (digest, body) = rest.split_first_chunk::<32>().ok_or(FormError::Header { form })?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(FormError::Damaged);
    }
    Ok(body)
}
