//! The rules that look at a whole project: one file a family, each adds diagnostics and changes nothing.
//!
//! ```text
//! Project ─► World (sources looked up, targets resolved, once) ─► targets, nesting, sources, writers,
//!                                                                   overlap, names, waits, cycles, outputs, owners, commands, machines
//! ```
//!
//! What only follows from another mistake is left out: each family asks the project's gaps and the verdicts of
//! others before it speaks. What several machines say through one anchor is said once.

mod all;
mod apart;
mod capacity;
mod commands;
mod cycles;
mod guest;
mod hidden;
mod images;
mod inputs;
mod kernel;
mod links;
mod machines;
mod mend;
mod names;
mod nesting;
mod never;
mod order;
#[cfg(test)]
mod order_tests;
mod outputs;
mod overlap;
mod overlap_matrix;
mod overlap_volumes;
mod overridden;
mod owners;
mod places;
mod ports;
mod reach;
mod repeats;
mod rounds;
mod runs;
mod show;
mod sources;
mod system;
mod targets;
mod volumes;
mod waits;
mod wide;
mod words;
mod world;
mod writers;

pub(crate) use all::check_all;
pub(crate) use overridden::find_overridden;
use show::{in_order, is_later, long_form, shell_word};
