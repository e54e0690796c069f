//! What the machines that are up have used, as each guest and this process count it.
//!
//! Deliberately not here: what their VMs cost this computer (`host`), how it is shown (`cli`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::handle::RunHandle;
use super::outside::Guest;
use crate::guest::GuestStats;

/// For a guest to answer. One that has no CPU left is shown without what it would say.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What one machine has used since it was booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineUsage {
    /// Which machine.
    pub machine: String,
    /// What it says itself; `None` where it did not answer in time.
    pub guest: Option<GuestStats>,
    /// Bytes that went to it through published ports and links.
    pub received: u64,
    /// Bytes that came from it through these.
    pub sent: u64,
}

impl RunHandle {
    /// What the machines that are up have used so far, in file order. All are asked at the same time.
    pub async fn usage(&self) -> Vec<MachineUsage> {
        let view = self.view();
        let mut asked = JoinSet::new();
        for (place, machine) in view.machines.iter().enumerate() {
            if let Ok(guest) = self.guest(&machine.name) {
                asked.spawn(async move { (place, guest.usage().await) });
            }
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().filter_map(|(_, usage)| usage).collect()
    }
}

impl Guest {
    /// What it has used so far; `None` where it is gone.
    pub async fn usage(&self) -> Option<MachineUsage> {
        let (session, traffic) = (self.session().ok()?, self.traffic()?);
        let answer = tokio::time::timeout(ANSWER_LIMIT, session.stats()).await;
        Some(MachineUsage {
            machine: self.plan().name.clone(),
            guest: answer.ok().and_then(Result::ok),
            received: traffic.received,
            sent: traffic.sent,
        })
    }
}
