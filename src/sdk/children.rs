//! The processes that serve a machine's shares, disks and networks: children that are this program, or `smolvm`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::error::MachineError;
use crate::net::nat;
use crate::share;
use crate::sys::child::{is_server_named, serve_by};
use crate::sys::signal;
use crate::virtio::block;

/// Does the work of a child where this process is one, and gives its exit code; `None` where it is not.
///
/// A machine is served by processes of its own, each confined to what it serves. They are this very program, started
/// anew, so a program that uses [`Machine`](super::Machine) calls this first of all, before it reads its arguments:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = smolvm::serve_child() {
///         return code;
///     }
///     // The program's own work.
///     std::process::ExitCode::SUCCESS
/// }
/// ```
pub fn serve_child() -> Option<ExitCode> {
    signal::report_file_size_limits();
    let word = std::env::args_os().nth(1);
    match word.as_ref().and_then(|word| word.to_str()) {
        Some("__share") => Some(share::serve_main()),
        Some("__disk") => Some(block::serve_main()),
        Some("__net") => Some(nat::serve_main()),
        _ => {
            serve_by(PathBuf::from("/proc/self/exe"));
            None
        }
    }
}

/// Has machines of this process served by this `smolvm` program, of the same version, instead of by the process's own: for
/// what has no `main` of its own, as tests. The first call counts.
pub fn use_program(program: impl Into<PathBuf>) {
    serve_by(program.into());
}

/// Fails where children would run something that knows nothing of them.
pub(super) fn check() -> Result<(), MachineError> {
    if is_server_named() { Ok(()) } else { Err(MachineError::NoServer) }
}
