//! The keys of each place, and those that this smolvm does not run yet. Words of other tools for them are in `foreign`.

use super::foreign::{self, Foreign};

/// The keys of one kind of map.
#[derive(Debug)]
pub(super) struct KeyTable {
    /// The map in the user's words: "a machine".
    pub(super) place: &'static str,
    /// Keys that run.
    pub(super) keys: &'static [&'static str],
    /// Keys that are known and not run yet (0011).
    pub(super) later: &'static [&'static str],
    /// Words of compose, Actions and Taskfile.
    pub(super) foreign: &'static [Foreign],
}

pub(super) const FILE: KeyTable = KeyTable {
    place: "the file",
    keys: &["name", "requires", "include", "env", "env_file", "machines", "steps", "finally", "volumes"],
    later: &[],
    foreign: foreign::FILE,
};

pub(super) const MACHINE: KeyTable = KeyTable {
    place: "a machine",
    keys: &[
        "image",
        "kernel",
        "modules",
        "cpus",
        "memory",
        "env",
        "env_file",
        "working_dir",
        "user",
        "hostname",
        "shell",
        "mounts",
        "workspace",
        "network",
        "ports",
        "links",
        "depends_on",
        "command",
        "healthcheck",
        "restart",
        "stop_signal",
        "stop_grace",
        "matrix",
        "profiles",
    ],
    later: &[],
    foreign: foreign::MACHINE,
};

pub(super) const MOUNT: KeyTable = KeyTable {
    place: "a mount",
    keys: &["type", "source", "target", "readonly", "create", "owner", "size", "guest_owner", "cache"],
    later: &[],
    foreign: foreign::MOUNT,
};

pub(super) const VOLUME: KeyTable =
    KeyTable { place: "a volume", keys: &["size"], later: &[], foreign: foreign::VOLUME };

/// An entry of `env_file` as a map.
pub(super) const ENV_FILE: KeyTable =
    KeyTable { place: "an entry of `env_file`", keys: &["path", "required"], later: &[], foreign: &[] };

pub(super) const HEALTHCHECK: KeyTable = KeyTable {
    place: "`healthcheck`",
    keys: &["test", "interval", "timeout", "retries", "start_period", "start_interval", "log_line"],
    later: &[],
    foreign: foreign::HEALTHCHECK,
};

/// An entry of `depends_on` as a map.
pub(super) const DEPENDENCY: KeyTable =
    KeyTable { place: "an entry of `depends_on`", keys: &["condition"], later: &[], foreign: foreign::DEPENDENCY };

/// `network` as a map.
pub(super) const NETWORK: KeyTable =
    KeyTable { place: "`network`", keys: &["mode", "allow"], later: &[], foreign: foreign::NETWORK };

/// `retry` of a step.
pub(super) const RETRY: KeyTable =
    KeyTable { place: "`retry`", keys: &["attempts", "delay"], later: &[], foreign: foreign::RETRY };

pub(super) const STEP: KeyTable = KeyTable {
    place: "a step",
    keys: &[
        "id",
        "name",
        "machine",
        "run",
        "shell",
        "env",
        "env_file",
        "working_dir",
        "user",
        "needs",
        "outputs",
        "timeout",
        "retry",
        "continue_on_error",
        "if",
        "chown",
        "profiles",
    ],
    later: &["inputs"],
    foreign: foreign::STEP,
};

pub(super) const FINALLY: KeyTable = KeyTable {
    place: "an entry of `finally`",
    keys: &[
        "id",
        "name",
        "machine",
        "run",
        "shell",
        "env",
        "env_file",
        "working_dir",
        "user",
        "outputs",
        "timeout",
        "continue_on_error",
        "if",
        "chown",
        "profiles",
    ],
    later: &[],
    foreign: foreign::STEP,
};

/// Every key and its place, for words that stand in the wrong one.
pub(super) fn places_of(key: &str) -> Vec<&'static str> {
    [&FILE, &MACHINE, &MOUNT, &STEP]
        .into_iter()
        .filter(|table| table.keys.contains(&key) || table.later.contains(&key))
        .map(|table| table.place)
        .collect()
}

#[cfg(test)]
mod tests;
