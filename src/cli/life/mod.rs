//! Machines that stay up: `up -d` and `up --keep`, the process that holds them, and the verbs that talk to it.
//!
//! ```text
//! up -d ──plan, signals──► __supervise ── run ── machines        lives on when the last word is said
//!       ◄──events, end────      │
//! down stop start restart kill wait ──socket──┘
//! ```
//!
//! Deliberately not here: the messages (`control`), what a run does about them (`run`).

use std::collections::BTreeSet;

use super::args::UpArgs;
use super::printer::Printer;
use super::report_run::Mode;
use super::settings::Settings;
use crate::plan::Plan;

pub(super) mod args;
mod begin;
mod changes;
mod down;
mod glance;
mod order;
mod reach;
mod rounds;
mod second;
mod supervise;
mod wait;
mod watch;

pub(super) use begin::{beside, up};
pub(super) use down::run as down;
pub(super) use order::{kill, restart, start, stop};
pub(crate) use reach::find;
pub(super) use supervise::main as supervise;
pub(super) use wait::run as wait;

/// What was asked for, beside the plan, and how it is shown.
pub(super) struct Asked<'a> {
    pub(super) args: &'a UpArgs,
    pub(super) settings: &'a Settings,
    pub(super) printer: &'a Printer,
    pub(super) mode: Mode,
    /// All machines of the file.
    pub(super) known: BTreeSet<String>,
}

impl Asked<'_> {
    /// How many steps may run at the same time.
    fn places(&self, plan: &Plan) -> usize {
        let places = self.args.parallel.and_then(|places| usize::try_from(places).ok());
        places.unwrap_or(plan.limits.steps_at_once)
    }
}
