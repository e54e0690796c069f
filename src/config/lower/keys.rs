//! The keys of each place, those that this smolvm does not run yet, and words of other tools for them.

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

/// A word of another tool.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) word: &'static str,
    pub(super) ours: &'static str,
    /// Whether its value has the form of ours, so that it can be read in its place.
    pub(super) is_same_form: bool,
    /// What to write, where renaming is not all.
    pub(super) help: Option<&'static str>,
}

const fn same(word: &'static str, ours: &'static str) -> Foreign {
    Foreign { word, ours, is_same_form: true, help: None }
}

const fn other(word: &'static str, ours: &'static str, help: &'static str) -> Foreign {
    Foreign { word, ours, is_same_form: false, help: Some(help) }
}

pub(super) const FILE: KeyTable = KeyTable {
    place: "the file",
    keys: &["name", "requires", "env", "machines", "steps", "finally"],
    later: &["include", "env_file", "volumes"],
    foreign: &[
        same("services", "machines"),
        same("vms", "machines"),
        same("containers", "machines"),
        same("environment", "env"),
        same("vars", "env"),
        same("includes", "include"),
        same("dotenv", "env_file"),
        same("after_script", "finally"),
        other("jobs", "steps", "list what the jobs run under `steps:`, each with `machine:` and `run:`"),
        other("tasks", "steps", "list the tasks under `steps:`, each with `id:`, `machine:` and `run:`"),
        other("version", "requires", "take it out, or write `requires: \">=0.1\"`"),
        other("on", "steps", "take it out: smolvm runs when it is called"),
        other("networks", "name", "write `network:` in each machine"),
        other("secrets", "name", "mount the folder that holds them, or pass them on with `env: { NAME: }`"),
        other("configs", "name", "mount the folder that holds them"),
    ],
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
        "working_dir",
        "user",
        "hostname",
        "shell",
        "mounts",
        "network",
    ],
    later: &[
        "env_file",
        "workspace",
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
    foreign: &[
        same("volumes", "mounts"),
        same("environment", "env"),
        same("workdir", "working_dir"),
        same("working_directory", "working_dir"),
        same("working-directory", "working_dir"),
        same("cwd", "working_dir"),
        same("dir", "working_dir"),
        same("mem_limit", "memory"),
        same("mem", "memory"),
        same("ram", "memory"),
        same("cpu", "cpus"),
        same("vcpus", "cpus"),
        same("cpu_count", "cpus"),
        same("host_name", "hostname"),
        same("network_mode", "network"),
        same("entrypoint", "command"),
        same("expose", "ports"),
        same("stop_grace_period", "stop_grace"),
        same("needs", "depends_on"),
        other("runs-on", "image", "write `image: host`, or another image"),
        other("runs_on", "image", "write `image: host`, or another image"),
        other("container", "image", "write `image: host`, or another image"),
        other("build", "image", "smolvm builds no images: name one with `image:`"),
        other("networks", "network", "write `network: none` or `network: nat`"),
        other("tmpfs", "mounts", "write it under `mounts:` as `- { type: tmpfs, target: /scratch, size: 512MiB }`"),
        other("strategy", "matrix", "write `matrix:` with the lists directly below it"),
        other("deploy", "cpus", "write `cpus:` and `memory:`"),
        other("privileged", "user", "take it out: root in a machine is root of a kernel of its own"),
        other("cap_add", "user", "take it out: root in a machine is root of a kernel of its own"),
        other(
            "container_name",
            "hostname",
            "the key below `machines:` is the name; `hostname:` is what the guest sees",
        ),
        other("run", "steps", "write it under `steps:`, with `machine:` naming this machine"),
    ],
};

pub(super) const MOUNT: KeyTable = KeyTable {
    place: "a mount",
    keys: &["type", "source", "target", "readonly", "create", "owner", "size", "guest_owner", "cache"],
    later: &[],
    foreign: &[
        same("read_only", "readonly"),
        same("ro", "readonly"),
        same("src", "source"),
        same("host", "source"),
        same("from", "source"),
        same("dst", "target"),
        same("dest", "target"),
        same("destination", "target"),
        same("guest", "target"),
        same("to", "target"),
        same("path", "target"),
        same("create_host_path", "create"),
        same("uid", "owner"),
        other("bind", "create", "write `create: true` where the source may be made"),
        other("tmpfs", "type", "write `type: tmpfs` and `size:`"),
        other("volume", "type", "write `type: volume` and `source:` with the volume's name"),
        other("mode", "readonly", "write `readonly: true` or `readonly: false`"),
        other("rw", "readonly", "write `readonly: false`, or leave it out"),
    ],
};

pub(super) const STEP: KeyTable = KeyTable {
    place: "a step",
    keys: &[
        "id",
        "name",
        "machine",
        "run",
        "shell",
        "env",
        "working_dir",
        "user",
        "needs",
        "outputs",
        "timeout",
        "continue_on_error",
        "chown",
    ],
    later: &["env_file", "inputs", "retry", "if", "profiles"],
    foreign: STEP_FOREIGN,
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
        "working_dir",
        "user",
        "outputs",
        "timeout",
        "continue_on_error",
        "chown",
    ],
    later: &["env_file", "if", "profiles"],
    foreign: STEP_FOREIGN,
};

const STEP_FOREIGN: &[Foreign] = &[
    same("script", "run"),
    same("cmd", "run"),
    same("cmds", "run"),
    same("command", "run"),
    same("commands", "run"),
    same("environment", "env"),
    same("with_env", "env"),
    same("vars", "env"),
    same("workdir", "working_dir"),
    same("working_directory", "working_dir"),
    same("working-directory", "working_dir"),
    same("cwd", "working_dir"),
    same("dir", "working_dir"),
    same("continue-on-error", "continue_on_error"),
    same("allow_failure", "continue_on_error"),
    same("ignore_error", "continue_on_error"),
    same("depends_on", "needs"),
    same("deps", "needs"),
    same("service", "machine"),
    same("vm", "machine"),
    same("container", "machine"),
    same("title", "name"),
    same("desc", "name"),
    same("label", "name"),
    same("key", "id"),
    same("artifacts", "outputs"),
    same("generates", "outputs"),
    same("sources", "inputs"),
    same("when", "if"),
    other("timeout-minutes", "timeout", "write the unit too: `timeout: 10m`"),
    other("timeout_minutes", "timeout", "write the unit too: `timeout: 10m`"),
    other("timeout_in_minutes", "timeout", "write the unit too: `timeout: 10m`"),
    other("uses", "run", "smolvm knows no actions: write what it runs with `run:`"),
    other("with", "env", "smolvm knows no actions: pass values with `env:`"),
    other("retries", "retry", "write `retry: { attempts: 2 }`"),
    other("image", "machine", "declare the image in a machine, and name the machine with `machine:`"),
    other("mounts", "machine", "declare the mounts in a machine, and name the machine with `machine:`"),
];

/// Every key and its place, for words that stand in the wrong one.
pub(super) fn places_of(key: &str) -> Vec<&'static str> {
    [&FILE, &MACHINE, &MOUNT, &STEP]
        .into_iter()
        .filter(|table| table.keys.contains(&key) || table.later.contains(&key))
        .map(|table| table.place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_no_keys_themselves_and_lead_to_known_keys() {
        for table in [&FILE, &MACHINE, &MOUNT, &STEP, &FINALLY] {
            let known = |key: &str| table.keys.contains(&key) || table.later.contains(&key);
            for foreign in table.foreign {
                assert!(!known(foreign.word), "{} in {}", foreign.word, table.place);
                let is_own_place = foreign.help.is_some() || known(foreign.ours) || table.place == FINALLY.place;
                assert!(is_own_place, "{} in {}", foreign.word, table.place);
            }
        }
    }
}
