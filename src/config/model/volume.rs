//! Disks that outlive steps: named volumes, and the one behind `/workspace`.

use super::project::Spanned;

/// A named, persistent folder (`volumes` of the file).
#[derive(Debug, Clone)]
pub struct Volume {
    /// Key below `volumes`; the span is that key.
    pub name: Spanned<String>,
    /// Size of its disk in MiB; `None` is the default.
    pub size_mib: Option<Spanned<u64>>,
}

/// The disk behind `/workspace`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Workspace {
    /// One of the default size.
    #[default]
    Default,
    /// One of this size in MiB.
    Size(Spanned<u64>),
    /// None: there is no `/workspace`.
    Absent,
}
