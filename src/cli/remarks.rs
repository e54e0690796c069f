//! Remarks on the file, told to a person on standard error.

use super::printer::Printer;
use crate::diag::{self, Diagnostics, Sources};

/// Tells them all, at most `max` (0 is no limit).
pub(crate) fn tell(diagnostics: &Diagnostics, sources: &Sources, max: usize, printer: &Printer) {
    let text = diag::render_full(diagnostics, sources, max, printer.stderr_style().is_colored());
    printer.tell(&text);
}
