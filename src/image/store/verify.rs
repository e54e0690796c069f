//! Reading all that is in the store, and removing what is not what it was: it is fetched or made again when it is wanted.

use std::fs;

use super::blobs::digest_file;
use super::usage::Part;
use super::{Store, StoreError};
use crate::image::Digest;
use crate::rootfs::is_whole_tree;

/// Something that was not what it should be, and is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What part of the store it was in.
    pub part: Part,
    /// Digits of its digest or key.
    pub hex: String,
}

impl Store {
    /// Reads everything, and removes what is damaged.
    ///
    /// # Errors
    /// Where something cannot be read or removed, or `has_left` says that nobody waits any more.
    pub fn verify(&self, has_left: &dyn Fn() -> bool) -> Result<Vec<Damage>, StoreError> {
        let _shared = self.share(has_left)?;
        let mut damages = Vec::new();
        for item in self.items() {
            if has_left() {
                return Err(StoreError::Left);
            }
            let is_whole = match item.part {
                Part::Partial => true,
                Part::Blobs | Part::Layers => match format!("sha256:{}", item.hex).parse() {
                    Ok(digest) if item.part == Part::Blobs => !self.drop_if_damaged(&digest)?,
                    Ok(digest) => self.verify_layer(&digest)?,
                    Err(_) => true,
                },
                Part::Roots => self.verify_root(&item.hex)?,
            };
            if !is_whole {
                damages.push(Damage { part: item.part, hex: item.hex });
            }
        }
        Ok(damages)
    }

    fn verify_layer(&self, diff_id: &Digest) -> Result<bool, StoreError> {
        let Some((_, facts)) = self.layer(diff_id)? else { return Ok(false) };
        if digest_file(&self.pack_path(diff_id))? == Digest::from_sha256(&facts.digest) {
            return Ok(true);
        }
        self.drop_layer(diff_id).map(|()| false)
    }

    fn verify_root(&self, hex: &str) -> Result<bool, StoreError> {
        let path = self.path("roots").join(hex);
        let is_whole = match fs::read(&path) {
            Ok(bytes) => is_whole_tree(&bytes) && self.layers_of(hex)?.is_some(),
            // Of one that was being made the list may be here, and no more.
            Err(_) => false,
        };
        if is_whole { Ok(true) } else { self.drop_root(hex).map(|()| false) }
    }
}
