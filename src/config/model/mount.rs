//! One mount of a machine. Deliberately not here: what is at its source (`checks`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::path::GuestPath;
use super::project::Spanned;
use crate::diag::Span;

/// A place in a guest that comes from elsewhere.
#[derive(Debug, Clone)]
pub struct Mount {
    /// What is there.
    pub kind: MountKind,
    /// Mount point in the guest, normalised.
    pub target: Spanned<GuestPath>,
    /// Whether what is missing is made on the host: the source folder of a bind mount, and for every kind the mount
    /// point inside a writable parent share.
    pub create: bool,
    /// The whole entry.
    pub span: Span,
}

impl Mount {
    /// The host path, where there is one.
    pub fn source(&self) -> Option<&Spanned<PathBuf>> {
        match &self.kind {
            MountKind::Bind { source, .. } | MountKind::Overlay { source, .. } => Some(source),
            MountKind::Volume { .. } | MountKind::Tmpfs { .. } => None,
        }
    }

    /// The name of the volume, where it shows one.
    pub fn volume(&self) -> Option<&Spanned<String>> {
        match &self.kind {
            MountKind::Volume { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether what the guest writes here changes the host.
    pub fn is_writable_bind(&self) -> bool {
        matches!(self.kind, MountKind::Bind { readonly: false, .. })
    }

    /// Whether the guest may not write here.
    pub fn is_readonly(&self) -> bool {
        matches!(self.kind, MountKind::Bind { readonly: true, .. } | MountKind::Volume { readonly: true, .. })
    }

    /// Whether a file of the host is mounted, rather than a folder.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, MountKind::Bind { is_file: true, .. })
    }

    /// The word of the file for this kind.
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            MountKind::Bind { .. } => "bind",
            MountKind::Overlay { .. } => "overlay",
            MountKind::Volume { .. } => "volume",
            MountKind::Tmpfs { .. } => "tmpfs",
        }
    }
}

/// What a mount shows.
#[derive(Debug, Clone)]
pub enum MountKind {
    /// A folder or a file of the host.
    Bind {
        /// Absolute host path, as the file says it (links not followed).
        source: Spanned<PathBuf>,
        /// Whether a file is there, links followed. What is missing is made as a folder, if at all.
        is_file: bool,
        /// Whether the guest may not write; enforced on the host.
        readonly: bool,
        /// Who owns on the host what the guest creates.
        owner: Spanned<Owner>,
        /// The guest's user as whose the files appear, whoever runs the step.
        guest_owner: Option<Spanned<String>>,
        /// How long the guest may believe what it read.
        cache: Spanned<Cache>,
    },
    /// A folder of the host under a writable layer of the machine: the host never changes.
    Overlay {
        /// Absolute host path, as the file says it (links not followed).
        source: Spanned<PathBuf>,
        /// The guest's user as whose the files appear; by default the machine's.
        guest_owner: Option<Spanned<String>>,
    },
    /// A named, persistent folder of the project.
    Volume {
        /// Key below `volumes`.
        name: Spanned<String>,
        /// Whether the guest may not write.
        readonly: bool,
    },
    /// A folder in the guest's memory.
    Tmpfs {
        /// Most that it may hold, in MiB; `None` is half of the memory.
        size_mib: Option<Spanned<u64>>,
    },
}

/// Who owns on the host what the guest creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The user who ran smolvm; under `sudo` the user who called it.
    Invoker,
    /// The guest's own ids, literally.
    Guest,
    /// Ids or names of this host as written: `1000:1000`, `www-data`, `user:group`.
    Named(String),
}

/// How long a guest may believe what it read of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// A second at most, so that edits on the host are seen.
    Auto,
    /// For ever: nothing changes. Read-only shares only.
    Always,
    /// Not at all.
    Never,
}
