//! `smolvm schema`: the JSON Schema of `smolvm.yaml`, for editors.

use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use crate::config::schema;

/// Prints the schema.
pub(crate) fn run(printer: &Printer) -> Result<ExitCode, Failure> {
    printer.data(&schema::render())?;
    Ok(ExitCode::Passed)
}
