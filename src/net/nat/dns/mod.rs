//! Names: a machine's questions, answered by the host's own servers of names, or not at all.

mod message;
mod relay;
mod reply;
mod way;

pub(super) use relay::{Answer, Asker, Relay};

#[cfg(test)]
pub(super) use message::tests;
