//! `smolvm exec` and `smolvm shell`: a command in a machine that is up, with input, output, terminal, signals and code.
//!
//! ```text
//! streams of this process ◄─attendant─► stream of the command (handed over) ◄─► machine
//! signals, size ─Tell─► process that holds the machine ─► agent
//! ```
//!
//! Bytes go straight to the machine's device: the process that holds the machine passes a descriptor on, and is asked for
//! nothing more than signals, sizes and the end.

mod args;
mod verb;

pub(crate) use args::{ExecArgs, ShellArgs};
pub(super) use verb::{attend, exec, refused, shell, shell_words};
