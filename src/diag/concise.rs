//! Diagnostics a line each: `FILE:LINE:COLUMN: LEVEL[CODE]: MESSAGE`.

use super::diagnostic::Diagnostics;
use super::display::one_line;
use super::select::{select, summary};
use super::source::Sources;

/// Renders a line for each of at most `max` diagnostics (0 for all), and a last line where some are left out.
///
/// A diagnostic without a place has no `FILE:LINE:COLUMN: ` before it.
pub fn render_concise(diagnostics: &Diagnostics, sources: &Sources, max: usize) -> String {
    let shown = select(diagnostics, max);
    let mut text = String::new();
    for diagnostic in &shown {
        if let Some(label) = diagnostic.labels.first() {
            let position = sources.position(label.span.file, label.span.start);
            let name = one_line(&sources.get(label.span.file).name);
            text.push_str(&format!("{name}:{}:{}: ", position.line, position.column));
        }
        let message = one_line(&diagnostic.message);
        text.push_str(&format!("{}[{}]: {message}\n", diagnostic.severity, diagnostic.code));
    }
    if shown.len() < diagnostics.len()
        && let Some(summary) = summary(diagnostics, shown.len())
    {
        text.push_str(&summary);
        text.push('\n');
    }
    text
}
