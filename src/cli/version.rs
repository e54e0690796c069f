//! `smolvm version`.

use super::exit::{ExitCode, Failure};
use super::printer::Printer;

/// Prints the version.
pub(crate) fn run(printer: &Printer) -> Result<ExitCode, Failure> {
    printer.data(concat!("smolvm ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(ExitCode::Passed)
}
