//! What a user says about registries, `registries:` of the user's `config.yaml`. Not here: reading that file (`cli`).

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is said of single registries, by the host as references name it (`docker.io`, `host:5000`); `*` is all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct RegistrySettings {
    /// By host.
    pub hosts: BTreeMap<String, HostSettings>,
}

/// What is said of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSettings {
    /// Hosts that are asked before the registry itself, in this order.
    pub mirrors: Vec<String>,
    /// Whether it speaks http, without TLS.
    pub plain_http: bool,
    /// Certificates (PEM) that are trusted besides those of the system.
    pub ca: Option<PathBuf>,
    /// Seconds without a byte after which it counts as stalled.
    pub timeout_seconds: Option<u64>,
}
