//! Watches over the signs of life of a guest, and asks for one before it is given up.
//!
//! The question is also an interrupt: an emulated guest whose timer was lost on an overloaded host sleeps until something
//! comes from outside. Deliberately not here: what becomes of a guest that is silent (`run`).

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::session::SessionEvent;

/// Into how many parts a silence is cut: after each but the last the guest is asked.
const PARTS: u32 = 3;

/// Tells each silence that is as long as the limit, once.
pub(super) async fn watch(
    mut hearing: watch::Receiver<()>,
    limit: Duration,
    ask: impl Fn() + Send,
    events: mpsc::Sender<SessionEvent>,
) {
    let mut quiet = 0;
    loop {
        match timeout(limit / PARTS, hearing.changed()).await {
            Ok(Ok(())) => quiet = 0,
            Ok(Err(_)) => return,
            Err(_) if quiet + 1 < PARTS => {
                quiet += 1;
                ask();
            }
            Err(_) => {
                quiet = 0;
                let silent = SessionEvent::Silent { seconds: limit.as_secs() };
                if events.send(silent).await.is_err() || hearing.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}
