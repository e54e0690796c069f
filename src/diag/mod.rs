//! What we tell a user about their file: a code, a severity, a message, labels with spans, a help.
//!
//! Data and rendering only: nothing here reads a file or prints. `full` draws for people, `concise` writes a
//! line each, `json`, `sarif` and `github` are the forms for programs. `rules` knows every rule, with its page of `docs/rules`.

mod apply;
mod code;
mod concise;
mod diagnostic;
mod display;
mod full;
mod github;
mod json;
mod page;
mod rules;
mod sarif;
mod select;
mod source;

pub use apply::apply_safe;
pub use code::Code;
pub use concise::render_concise;
pub use diagnostic::{Diagnostic, Diagnostics, Edit, Fix, Label, Severity};
pub use full::{RenderOptions, render_full};
pub use github::render_github;
pub use json::{JsonDiagnostic, render_json};
pub use page::PageStyle;
pub use rules::{Rule, parse_code};
pub use sarif::render_sarif;
pub use select::MAX_DIAGNOSTICS;
pub use source::{FileId, Position, Source, Sources, Span};
