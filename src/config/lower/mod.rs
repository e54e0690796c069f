//! From the tree to the [`Project`](super::model::Project), by hand: the only door to the model.
//!
//! A value that cannot be read is told and left out; the rest is lowered, so that one run tells all mistakes.
//! What is left out is noted in the model's `gaps`, and rules that would only follow from it stay silent.
//!
//! ```text
//! project ─► machine ─► mount          fields: keys of one map        reader, typed: forms of values
//!        └─► step ─► command, environment   keys, guess: the tables     values: paths, sizes, words
//! ```

mod combined;
mod command;
mod condition;
mod env_file;
mod environment;
mod expand;
mod fields;
mod foreign;
mod foreign_value;
mod guess;
mod healthcheck;
mod image;
mod include;
mod inputs;
mod keys;
mod machine;
mod matrix;
mod mount;
mod mount_long;
mod network;
mod ports;
mod profiles;
mod project;
mod reader;
mod requires;
mod retry;
mod service;
mod signal;
mod step;
mod typed;
mod values;
mod volumes;

pub(super) use include::Included;
pub(super) use project::lower;
pub(super) use reader::Reader;
