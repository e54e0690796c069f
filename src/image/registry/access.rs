//! All that it takes to ask registries, as one value.

use std::time::Duration;

use super::settings::RegistrySettings;
use super::surroundings::Surroundings;

/// How registries are asked.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// What the user says of them.
    pub settings: RegistrySettings,
    /// Credentials, certificates, proxies.
    pub surroundings: Surroundings,
    /// How long and how often.
    pub patience: Patience,
}

/// How long is waited, and how often something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a registry may send nothing.
    pub stall: Duration,
    /// How often something is tried in all.
    pub tries: u32,
    /// How long is waited after the first time; twice as long after each further one.
    pub first_pause: Duration,
    /// The longest pause, also where a registry asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}
