//! What we tell a user about their file: a code, a severity, a message, labels with spans, a help.
//!
//! Data and rendering only: nothing here reads a file or prints.

mod code;
mod diagnostic;
mod source;

pub use code::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Edit, Fix, Label, Severity};
pub use source::{FileId, Position, Source, Sources, Span};
