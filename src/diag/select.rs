//! Which diagnostics are shown where there are too many, and the line that counts them all.

use super::diagnostic::{Diagnostic, Diagnostics, Severity};

/// So many are shown by default.
pub const MAX_DIAGNOSTICS: usize = 50;

/// At most `max` (0 for all), in their order; where some must go, notes go first and errors last.
pub(super) fn select(diagnostics: &Diagnostics, max: usize) -> Vec<&Diagnostic> {
    let mut numbered: Vec<(usize, &Diagnostic)> = diagnostics.iter().enumerate().collect();
    if max > 0 && numbered.len() > max {
        numbered.sort_by_key(|(index, diagnostic)| (diagnostic.severity, *index));
        numbered.truncate(max);
        numbered.sort_by_key(|(index, _)| *index);
    }
    numbered.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

/// "2 errors, 1 warning", and how many of them are shown; none where there is nothing.
pub(super) fn summary(diagnostics: &Diagnostics, shown: usize) -> Option<String> {
    let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let mut total = 0;
    let mut parts = Vec::new();
    for (severity, word) in counts {
        let count = diagnostics.count(severity);
        total += count;
        if count > 0 {
            parts.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if total == 0 {
        return None;
    }
    let mut text = parts.join(", ");
    if shown < total {
        text.push_str(&format!(" ({shown} shown; `--max-diagnostics 0` shows all)"));
    }
    Some(text)
}
