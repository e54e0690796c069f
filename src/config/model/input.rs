//! A pattern of `inputs`. Deliberately not here: which files it matches (`inputs`).

use std::path::PathBuf;

use crate::diag::Span;

/// Files of the host on which a step depends, as a pattern of `.gitignore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As it is written, variables replaced.
    pub pattern: String,
    /// The absolute folder that it starts at: that of the file that says it.
    pub folder: PathBuf,
    /// Where it stands.
    pub span: Span,
}
