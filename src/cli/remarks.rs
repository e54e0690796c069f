//! Remarks on the file: for a person on standard error, for programs as text to print.

use super::printer::Printer;
use crate::diag::{Diagnostics, Sources};

/// Tells them all, at most `max` (0 is no limit).
pub(crate) fn tell(diagnostics: &Diagnostics, _sources: &Sources, _max: usize, printer: &Printer) {
    let text: String = diagnostics.iter().map(|d| format!("{:?}[{}]: {}\n", d.severity, d.code, d.message)).collect();
    printer.tell(&text);
}

/// A line each.
pub(crate) fn concise(_diagnostics: &Diagnostics, _sources: &Sources, _max: usize) -> String {
    String::new()
}

/// One object.
pub(crate) fn json(_diagnostics: &Diagnostics, _sources: &Sources, _max: usize) -> String {
    String::new()
}

/// The entries of the object.
pub(crate) fn json_entries(_diagnostics: &Diagnostics, _sources: &Sources, _max: usize) -> Vec<serde_json::Value> {
    Vec::new()
}
