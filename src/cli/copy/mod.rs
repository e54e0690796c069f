//! `smolvm cp`: `verb` copies, `archive` is tar on our side of it.

mod archive;
mod verb;

pub(crate) use verb::{CopyArgs, run};
