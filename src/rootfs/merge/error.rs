//! Why layers make no tree. Not here: why a layer cannot be read.

use super::super::tree::Name;

/// An entry that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer {layer}, entry `{path}`: {cause}")]
pub struct MergeError {
    /// Which layer, the lowest is 1.
    pub layer: usize,
    /// The entry's path, fit for people.
    pub path: String,
    /// What is wrong with it.
    pub cause: MergeCause,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeCause {
    /// The root can only be a folder.
    #[error("the root can be a folder only")]
    Root,
    /// A hard link without a file.
    #[error("it is a hard link to `{target}`, which is not there")]
    LinkToNothing {
        /// What it names.
        target: String,
    },
    /// Folders have one name.
    #[error("it is a hard link to `{target}`, which is a folder")]
    LinkToFolder {
        /// What it names.
        target: String,
    },
    /// A parent that the same layer made a file.
    #[error("a part of its path is a file of the same layer")]
    NotAFolder,
    /// Symbolic links in a circle.
    #[error("its path leads through too many symbolic links")]
    Links,
    /// More folders in each other than a guest can do with.
    #[error("its path leads through too many folders")]
    Deep,
    /// More inodes than there are numbers.
    #[error("the image has too many files")]
    Many,
}

/// A path for people: short enough, and without what a terminal would obey.
pub(super) fn shown(path: &[Name]) -> String {
    const LONGEST: usize = 300;
    let path = path.join(&b'/');
    let text = String::from_utf8_lossy(&path);
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() > LONGEST {
            shown.push('…');
            break;
        }
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    if shown.is_empty() { "/".to_owned() } else { shown }
}
