//! cli.

use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "__share") {
        return crate::share::serve_main();
    }
    ExitCode::SUCCESS
}
