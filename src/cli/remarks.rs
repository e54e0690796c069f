//! Remarks on the file: for a person on standard error, and as entries for programs.
//!
//! Deliberately not here: how they are drawn (`diag`).

use std::path::PathBuf;

use super::printer::Printer;
use crate::diag::{self, Diagnostics, RenderOptions, Rule, Sources};

/// Narrower terminals get lines as wide as this, and wrap them themselves.
const WIDTH_MIN: usize = 40;

/// Tells them all, at most `max` (0 is no limit), and where to read more.
pub(crate) fn tell(diagnostics: &Diagnostics, sources: &Sources, max: usize, printer: &Printer) {
    let defaults = RenderOptions::default();
    let options = RenderOptions {
        width: terminal_width().map_or(defaults.width, |width| width.clamp(WIDTH_MIN, defaults.width)),
        is_color: printer.stderr_style().is_colored(),
        max_diagnostics: max,
        ..defaults
    };
    printer.tell(&diag::render_full(diagnostics, sources, &options));
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        // The runner reads its commands from both streams; data on standard output stays what it is.
        printer.tell(&diag::render_github(diagnostics, sources, max, github_root().as_deref()));
    }
    let gravest = diagnostics.iter().min_by_key(|diagnostic| diagnostic.severity);
    if let Some(diagnostic) = gravest.filter(|diagnostic| Rule::find(diagnostic.code).is_some()) {
        printer.note(&format!("more on a rule: `smolvm explain {}`\n", diagnostic.code));
    }
}

/// The folder of the repository in a job of GitHub Actions.
pub(crate) fn github_root() -> Option<PathBuf> {
    let root = std::env::var_os("GITHUB_WORKSPACE").filter(|root| !root.is_empty())?;
    PathBuf::from(root).canonicalize().ok()
}

/// The entries of the object for programs, at most `max`.
pub(crate) fn json_entries(diagnostics: &Diagnostics, sources: &Sources, max: usize) -> Vec<serde_json::Value> {
    let object = diag::render_json(diagnostics, sources, max);
    let mut object: serde_json::Value = serde_json::from_str(&object).expect("what was just rendered is JSON");
    match object["diagnostics"].take() {
        serde_json::Value::Array(entries) => entries,
        _ => Vec::new(),
    }
}

fn terminal_width() -> Option<usize> {
    rustix::termios::tcgetwinsize(std::io::stderr()).ok().map(|size| usize::from(size.ws_col))
}
