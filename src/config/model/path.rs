//! Paths in a guest. Deliberately not here: links of an image (`checks`), paths of the host (`PathBuf`).

use serde::{Deserialize, Serialize};

/// An absolute, normalised path in a guest: no `.`/`..`, no doubled or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuestPath(String);

impl GuestPath {
    /// Normalises an absolute path; `None` where it is relative, empty, has a `..` component or a NUL.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') || text.contains('\0') || text.split('/').any(|part| part == "..") {
            return None;
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        Some(Self(format!("/{}", parts.join("/"))))
    }

    /// The path as text, `/` for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        other.0 == "/" || self.0 == other.0 || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}
