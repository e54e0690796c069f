//! From events to what people and programs read: a redrawn block, plain lines, JSON lines, nothing but failures.
//!
//! ```text
//!            ┌► tty     one block, drawn again and again, on a terminal
//!            ├► plain   what steps print on stdout, our words on stderr
//! Timed ─► fold ► json    one event a line on stdout
//!            └► quiet   failures and the summary on stderr
//! ```
//!
//! A [`Reporter`] is a fold over [`crate::event::Timed`]: it sees every event once, in order, and never talks back.
//! Deliberately not here: deciding what is shown by default (`cli`), logs on disk (`run`).

mod aside;
mod failure;
mod json;
mod lines;
mod names;
mod plain;
mod pull;
mod quiet;
mod readable;
mod reporter;
mod service_news;
mod style;
mod tail;
mod tty;
mod words;

pub use aside::render_aside;
pub use json::{JsonReporter, render_line};
pub use lines::OutputLines;
pub use names::Names;
pub use plain::{Grouping, PlainReporter};
pub use pull::{LayerStep, PullFact, PullLines, PullOutcome, TimedFact, render_pull_line};
pub use quiet::QuietReporter;
pub use readable::readable;
pub use reporter::{ReportOptions, Reporter, Sink, Verbosity};
pub use style::Style;
pub use tty::{CommandReporter, LEAVE, Painted, Screen, Signs, Size, TerminalPull, TerminalReporter};
