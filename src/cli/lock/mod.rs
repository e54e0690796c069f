//! `smolvm lock` and `smolvm update`: the lock file, kept in step with the project and with the registries.
//!
//! ```text
//! lock             asks for what is missing, takes out what is not used, leaves the rest
//! lock --check     says what `lock` would do; asks nobody, but with `--remote`
//! update           asks anew for all, or for what is named
//! ```
//!
//! Deliberately not here: the form of the file (`config`), how it is honoured (`plan` carries its digests).

mod args;
mod ask;
mod auto;
mod file;
mod verbs;

pub(super) use args::{LockArgs, UpdateArgs};
pub(super) use verbs::{lock, update};
