//! From the names of files to a checked project.
//!
//! ```text
//! `-f` files ─read─► text ─► tree ─include─► more files      variables: environment, `.env`, `--env-file`
//!                                    │
//!             all trees ─merge─► one ─lower─► Project ─► checks
//! ```
//!
//! A file that cannot be read or parsed is told of and left out; the others are checked, and what would only follow
//! from the part that is missing is not said.

mod find;
mod include;
mod loader;
mod locked;
mod read;
mod request;
#[cfg(test)]
mod tests;
mod variables;

pub use find::find;
pub use loader::load;
pub use request::{FileRequest, LoadRequest, Loaded, Mode};
