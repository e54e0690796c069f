//! Child processes that cannot outlive us and inherit nothing but what they are given.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, so all children are forked by one thread that
//! lives as long as the process. A child is in a process group of its own (a terminal's Ctrl-C does not reach
//! it), starts with default signal actions and an empty mask, and is named by a pidfd: a signal never hits a
//! process that got its number later. Not here: what the children do.

mod process;
mod program;
mod spawn;
mod spec;
mod watch;

pub use process::{Child, ChildExit};
pub use program::{is_server_named, serve_by, server_program};
pub use spawn::{look_up, spawn};
pub use spec::{ChildIdentity, ChildSpec, ChildStdio};
pub use watch::{LastWords, OnDeath, Watched, describe_death};
