//! `smolvm pull`: brings images, and the kernels that come from registries.
//!
//! Deliberately not here: how they are brought (`image`), how it looks (`report`).

mod args;
mod show;
mod verb;
mod wanted;
mod work;

pub(super) use args::PullArgs;
pub(super) use verb::{run, word_failure};
pub(super) use wanted::of_words;
