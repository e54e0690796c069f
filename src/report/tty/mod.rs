//! What a terminal shows of a run: one block that is drawn again and again, and a line above it for all that has ended.
//!
//! ```text
//! Timed ─► state (how far the run is) ─┐
//!                     size, time ──────┴► render ─► lines ─► painter ─► bytes, one write a frame
//!            waits (what for) ─┘             └─ rooms (how many rows for whom)
//! ```
//!
//! Everything up to the bytes is pure; the clock, the signals and the terminal are `cli`'s. A step that has ended leaves
//! one line; what it printed is in its log, is shown where it failed, and with `--verbose` is printed line by line.

mod bar;
mod canvas;
mod command;
mod critical;
mod line;
mod painter;
mod pull;
mod render;
mod reporter;
mod rooms;
mod services;
mod state;
#[cfg(test)]
mod tests;
mod waits;

pub use bar::Signs;
pub use canvas::Painted;
pub use command::CommandReporter;
pub use painter::LEAVE;
pub use pull::TerminalPull;
pub use render::Size;
pub use reporter::{Screen, TerminalReporter};
