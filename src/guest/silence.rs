//! Watches over the signs of life of a guest, and asks for one before it is given up.
//!
//! The question is also an interrupt: an emulated guest whose timer was lost on an overloaded host sleeps until something
//! comes from outside. Deliberately not here: what becomes of a guest that is silent (`run`).

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::session::SessionEvent;

/// How often a silence is looked at before it is told.
const LOOKS: u32 = 10;

/// From which look on the guest is asked.
const FIRST_QUESTION: u32 = 3;

/// Tells each silence that is as long as the limit, once. Time in which this process itself did not run (it was
/// suspended) says nothing about the guest: of each look at most two looks' time counts.
pub(super) async fn watch(
    mut hearing: watch::Receiver<()>,
    limit: Duration,
    ask: impl Fn() + Send,
    events: mpsc::Sender<SessionEvent>,
) {
    let look = (limit / LOOKS).max(Duration::from_millis(1));
    let mut silence = Duration::ZERO;
    loop {
        let since = Instant::now();
        match timeout(look, hearing.changed()).await {
            Ok(Ok(())) => silence = Duration::ZERO,
            Ok(Err(_)) => return,
            Err(_) if silence + look < limit => {
                silence += since.elapsed().min(2 * look);
                if silence >= look * FIRST_QUESTION {
                    ask();
                }
            }
            Err(_) => {
                silence = Duration::ZERO;
                let silent = SessionEvent::Silent { seconds: limit.as_secs() };
                if events.send(silent).await.is_err() || hearing.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}
