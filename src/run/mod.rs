//! From a plan to outcomes: boots machines, runs steps in them, ends both, and tells everything as events.
//!
//! ```text
//!   signals ─┐                                   ┌─► events ─► report (cli)
//!   timers ──┤         one inbox                 │
//!   engine ──┼──RunInput──► Dispatcher ──Action──┤
//!   guest ───┤              (all state,          │
//!   provider ┘               no clock, no I/O)   └─► workers: tasks that act and send
//! ```
//!
//! [`run`] reads the inbox, gives each input to the dispatcher and carries out its actions. The dispatcher is a pure
//! function of its inputs, so every path of it is tested without a machine. Kernels, file servers and images come
//! through [`Provide`], which `cli` fills.

mod asked;
mod attend;
mod chunk;
mod command;
mod connections;
mod detached;
mod dispatcher;
mod driver;
mod guest_work;
mod handle;
mod held;
mod input;
mod kernel_lines;
mod left_out;
mod limits;
mod lock;
mod log_index;
mod log_reader;
mod logs;
mod machine;
mod options;
mod outlook;
mod outside;
mod pause;
mod phases;
mod provide;
mod round;
mod round_plan;
mod round_work;
mod schedule;
mod segments;
mod service;
mod service_work;
mod services;
mod signals;
mod state;
mod step;
mod step_work;
#[cfg(test)]
pub(crate) mod tests;
mod turns;
mod usage;
mod verdict;
mod view;
mod worker;

pub use attend::{Attend, Attended, carry};
pub use driver::run;
pub use handle::{CommandError, GoingRound, RunCommand, RunDoor, RunHandle, door};
pub use input::StartFailure;
pub use lock::{Holder, LockError, ProjectLock};
pub use log_index::LogSource;
pub use log_reader::{LogPiece, LogReader};
pub use options::{Hold, Options, RunDeps, StepOutcome, Summary};
pub use outside::{ExecControl, ExecRequest, Guest, GuestError, GuestExec};
pub use provide::{Gift, GivenFiles, Network, Prepared, Provide, ProvideError, ProvideHooks, Pulled, Shares};
pub use round::{RoundWish, Rounds};
pub use signals::{Signal, signals};
pub use state::{ProjectState, RunFolder, StateError, file_name};
pub use usage::MachineUsage;
#[cfg(test)]
pub(crate) use view::view_of;
pub use view::{Health, MachineView, RunView, ServiceState, ServiceView, StepView, shape, step_shape};
