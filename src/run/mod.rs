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

mod attend;
mod chunk;
mod dispatcher;
mod driver;
mod guest_work;
mod input;
mod limits;
mod lock;
mod logs;
mod machine;
mod options;
mod provide;
mod schedule;
mod signals;
mod state;
mod step;
mod step_work;
#[cfg(test)]
mod tests;
mod verdict;
mod worker;

pub use attend::{Attend, Attended};
pub use driver::run;
pub use lock::{Holder, LockError, ProjectLock};
pub use options::{Options, RunDeps, StepOutcome, Summary};
pub use provide::{Gift, GivenFiles, Prepared, Provide, ProvideError, ProvideHooks, Pulled, Shares};
pub use signals::{Signal, signals};
pub use state::{ProjectState, RunFolder, StateError};
