//! The program: it parses nothing and decides nothing.

use std::process::ExitCode;

fn main() -> ExitCode {
    smolvm::cli::main()
}
