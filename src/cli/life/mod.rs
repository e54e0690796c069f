//! Machines that stay up: `up -d` and `up --keep`, the process that holds them, and the verbs that talk to it.
//!
//! ```text
//! up -d ──plan, signals──► __supervise ── run ── machines        lives on when the last word is said
//!       ◄──events, end────      │
//! down stop start restart kill wait ──socket──┘
//! ```
//!
//! Deliberately not here: the messages (`control`), what a run does about them (`run`).

pub(super) mod args;
mod begin;
mod down;
mod order;
mod reach;
mod second;
mod supervise;
mod wait;

pub(super) use begin::up;
pub(super) use down::run as down;
pub(super) use order::{kill, restart, start, stop};
pub(crate) use reach::find;
pub(super) use supervise::{finished, main as supervise};
pub(super) use wait::run as wait;
