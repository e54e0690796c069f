//! Images on their way: what is told of a pull, and how it is shown.
//!
//! ```text
//!              ┌► lines   a line a layer and an image, and one every ten seconds, on standard error
//! PullFact ─► fold ► json    one event a line, on standard output
//!              └► tty     one block with bars, drawn again and again (`report::tty`)
//! ```
//!
//! Deliberately not here: where images come from, clocks, the terminal.

mod fact;
mod json;
mod lines;
mod state;
mod words;

pub use fact::{LayerStep, PullFact, PullOutcome, TimedFact};
pub use json::render_pull_line;
pub use lines::PullLines;
#[cfg(test)]
pub(super) use state::testing;
pub(super) use state::{ImageView, LayerView, PullView};
pub(super) use words::{end_of_image, image_size, progress_of, short_digest};
