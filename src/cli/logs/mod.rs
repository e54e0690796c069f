//! `smolvm logs`: what steps, services and consoles of the last run wrote, in the order in which it came.
//!
//! It is read from the files of the run, also while it goes on: they hold the same bytes as its events, and are there
//! when nobody can be asked any more. Deliberately not here: the files (`run`).

mod choice;
mod lines;
mod time;
mod verb;

pub(super) use verb::{LogsArgs, run};
