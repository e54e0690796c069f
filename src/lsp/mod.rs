//! The language server: what an editor asks, answered from texts that are being written.
//!
//! ```text
//! messages ─► server ─► documents ─outline─► hover, completion, definition, …
//!                 │         └─texts─► check (config::load in a thread of cli) ─► remarks ─► messages
//! ```
//!
//! Deliberately not here: reading messages from standard input and writing them, threads, clocks (`cli`); what is
//! right and wrong in a file (`config`). Keys and their meaning are those of the JSON Schema.

mod actions;
mod answer;
mod buffers;
mod check;
mod completion;
mod frame;
mod hover;
mod names;
mod navigate;
mod outline;
mod parse;
mod place;
mod position;
mod remarks;
mod scan;
mod server;
mod shape;
mod symbols;
#[cfg(test)]
mod tests;
mod uri;
mod variables;

pub use check::{CheckJob, CheckResult};
pub use frame::{Frame, FrameError, read_frame};
pub use server::{Next, Server};
