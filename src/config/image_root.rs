//! The root of an image that was brought here, as far as the rules ask of it. Whoever knows where images are answers.
//!
//! Deliberately not here: images that are folders of this computer (`host`, `dir:`), which [`Files`](super::Files) shows.

use std::fmt;

use super::files::FolderContents;

/// What an image has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageNode {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, and where it leads as it is written.
    Link(String),
    /// A device, a named pipe, or a link whose target is no text.
    Other,
}

/// An image. Paths are absolute, `/` is its root; no link of a path is followed.
pub trait ImageRoot: fmt::Debug + Send + Sync {
    /// What is at a path; nothing where it, or a folder on the way, is not there.
    fn at(&self, path: &str) -> Option<ImageNode>;

    /// What a folder holds; below it `limit` entries at most are looked at.
    fn contents(&self, path: &str, limit: usize) -> Option<FolderContents>;

    /// The bytes of a regular file of at most `limit` of them.
    fn read(&self, path: &str, limit: usize) -> Option<Vec<u8>>;
}
