//! `smolvm run`: one command in a fresh machine, with its input, output and terminal.
//!
//! ```text
//! options ─overlay─► a text of the language ─► config (the file's, or none) ─► plan of one step ─► run
//!                                                      terminal, pipes ◄─attendant─► the step's streams
//! ```
//!
//! A machine of the file brings the services that it depends on or is linked to; they go with the command.

mod args;
mod overlay;
mod verb;

pub(crate) use args::RunArgs;
pub(crate) use verb::{run, run_changed};
