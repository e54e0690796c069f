//! The program that serves shares, disks and networks, as a child of this one.
//!
//! It is this program itself, unless a program that only uses the library says where `smolvm` is.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on children are this program. Tells whether it is the first to say so; later ones change nothing.
pub fn serve_by(program: PathBuf) -> bool {
    PROGRAM.set(program).is_ok()
}

/// Whether somebody has said which program serves.
pub fn is_server_named() -> bool {
    PROGRAM.get().is_some()
}

/// The program that serves.
pub fn server_program() -> &'static Path {
    PROGRAM.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}
