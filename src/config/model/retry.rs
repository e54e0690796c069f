//! More attempts of a step after a failure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a step is tried, and how long it rests between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Time between the end of an attempt and the start of the next.
    pub delay: Duration,
}
