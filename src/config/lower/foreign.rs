//! Words of other tools (compose, GitHub Actions, Taskfile, GitLab, Kubernetes) and what smolvm says for them.
//!
//! `same` may be renamed without asking, `likely` is offered, `other` needs more than another word, which its help says.
//! Words are in lower case, as they are looked for. A word that is a key of ours in the same place is none of these.

mod service;

pub(super) use service::{DEPENDENCY, HEALTHCHECK};

/// A word of another tool.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) word: &'static str,
    pub(super) ours: &'static str,
    /// Whether its value has the form of ours, so that it can be read in its place.
    pub(super) is_same_form: bool,
    /// Whether it means the same, so that it may be renamed without asking.
    pub(super) is_certain: bool,
    /// What to write, where renaming is not all.
    pub(super) help: Option<&'static str>,
}

const fn same(word: &'static str, ours: &'static str) -> Foreign {
    Foreign { word, ours, is_same_form: true, is_certain: true, help: None }
}

const fn likely(word: &'static str, ours: &'static str) -> Foreign {
    Foreign { word, ours, is_same_form: true, is_certain: false, help: None }
}

const fn other(word: &'static str, ours: &'static str, help: &'static str) -> Foreign {
    Foreign { word, ours, is_same_form: false, is_certain: false, help: Some(help) }
}

const ROOT: &str = "take it out: root in a machine is root of a kernel of its own";
const IN_ORDER: &str = "take it out: steps run in the order in which they stand, and `needs:` changes it";
const OUTPUT: &str = "take it out: `--progress` and `-q` say what is printed";
const OWN_KERNEL: &str = "take it out: each machine has a kernel of its own";
const SECRETS: &str = "mount the folder that holds them, or pass them on with `env: { NAME: }`";
const LIMITS: &str = "write `cpus:` and `memory:` of the machine";
const ACTIONS: &str = "smolvm knows no actions: write what it runs with `run:`";
const VOLUME_DISK: &str = "take it out: a volume is a disk of its own, and has a `size:`";
const STRICT: &str = "take it out: scripts run under `sh -eu`, and `shell: [bash, -euo, pipefail]` changes it";
const SKIPPED: &str = "write `inputs:` in a step: it is skipped when nothing that it depends on changed";
const MINUTES: &str = "write the unit too: `timeout: 10m`";

const COUNTED: &str = "write `attempts:`, which counts the first one too";

pub(super) const FILE: &[Foreign] = &[
    same("services", "machines"),
    same("vms", "machines"),
    same("virtual_machines", "machines"),
    same("containers", "machines"),
    likely("executors", "machines"),
    same("environment", "env"),
    same("variables", "env"),
    likely("vars", "env"),
    likely("includes", "include"),
    likely("extends", "include"),
    same("dotenv", "env_file"),
    likely("pipeline", "steps"),
    likely("after_script", "finally"),
    likely("post", "finally"),
    likely("always", "finally"),
    other("jobs", "steps", "list what the jobs run under `steps:`, each with `machine:` and `run:`"),
    other("workflows", "steps", "list what runs under `steps:`, each with `machine:` and `run:`"),
    other("tasks", "steps", "list the tasks under `steps:`, each with `id:`, `machine:` and `run:`"),
    other("targets", "steps", "list what they run under `steps:`, each with `id:` and `run:`"),
    other("stages", "steps", IN_ORDER),
    other("script", "steps", "write it as a step: `steps: [{ run: … }]`"),
    other("scripts", "steps", "write each as a step: `steps: [{ run: … }]`"),
    other("run", "steps", "write it as a step: `steps: [{ run: … }]`"),
    other("before_script", "steps", "write it as the first step under `steps:`"),
    other("image", "machines", "write it in a machine: `machines: { build: { image: host } }`"),
    other("mounts", "machines", "write them in a machine, below `machines:`"),
    other("version", "requires", "take it out, or write `requires: \">=0.1\"`"),
    other("on", "steps", "take it out: smolvm runs when it is called"),
    other("workflow", "steps", "take it out: smolvm runs when it is called"),
    other("defaults", "machines", "write `shell:` and `working_dir:` in each machine; an anchor shares them"),
    other("default", "machines", "write them in each machine; an anchor and `<<` share them"),
    other("permissions", "name", "take it out: a guest has no rights on this host but its mounts"),
    other("concurrency", "name", "take it out: one `up` of a project runs at a time"),
    other("output", "name", OUTPUT),
    other("silent", "name", OUTPUT),
    other("set", "machines", STRICT),
    other("shopt", "machines", STRICT),
    other("interval", "name", "take it out: files are not watched"),
    other("method", "steps", "take it out: contents of the `inputs:` of a step are compared"),
    other("cache", "steps", SKIPPED),
    other("commands", "steps", "write each as a step: `steps: [{ run: … }]`"),
    other("networks", "name", "write `network:` in each machine"),
    other("secrets", "name", SECRETS),
    other("configs", "name", "mount the folder that holds them"),
];

const ENTRYPOINT: &str =
    "write `command: exec PROGRAM …`: a text takes the place of the image's entrypoint, a list goes behind it";

pub(super) const MACHINE: &[Foreign] = &[
    same("volumes", "mounts"),
    same("shares", "mounts"),
    same("binds", "mounts"),
    same("synced_folders", "mounts"),
    same("environment", "env"),
    same("variables", "env"),
    same("workdir", "working_dir"),
    same("working_directory", "working_dir"),
    same("working-directory", "working_dir"),
    same("cwd", "working_dir"),
    likely("dir", "working_dir"),
    same("mem_limit", "memory"),
    same("mem", "memory"),
    same("ram", "memory"),
    likely("mem_reservation", "memory"),
    same("cpu", "cpus"),
    same("vcpus", "cpus"),
    same("cpu_count", "cpus"),
    same("cores", "cpus"),
    same("host_name", "hostname"),
    likely("network_mode", "network"),
    other("entrypoint", "command", ENTRYPOINT),
    likely("cmd", "command"),
    likely("exec", "command"),
    likely("publish", "ports"),
    same("stop_grace_period", "stop_grace"),
    same("stopsignal", "stop_signal"),
    same("restart_policy", "restart"),
    likely("needs", "depends_on"),
    likely("wait_for", "depends_on"),
    likely("after", "depends_on"),
    likely("requires", "depends_on"),
    same("kill_signal", "stop_signal"),
    likely("readinessprobe", "healthcheck"),
    likely("startupprobe", "healthcheck"),
    likely("livenessprobe", "healthcheck"),
    likely("readiness", "healthcheck"),
    other("stop_timeout", "stop_grace", "write the unit too: `stop_grace: 10s`"),
    other("post_start", "command", "write it as a step of this machine, or as the first lines of `command:`"),
    other("pre_stop", "stop_signal", "write what ends the service as `stop_signal:`, or under `finally:` of the file"),
    likely("external_links", "links"),
    same("dotenv", "env_file"),
    other("expose", "links", "take it out: other machines reach a port by naming it in `links:`"),
    other("runs-on", "image", "write `image: host`, or another image"),
    other("runs_on", "image", "write `image: host`, or another image"),
    other("container", "image", "write `image: host`, or another image"),
    other("box", "image", "write `image: host`, or another image"),
    other("rootfs", "image", "write `image: dir:PATH`"),
    other("build", "image", "smolvm builds no images: name one with `image:`"),
    other("dockerfile", "image", "smolvm builds no images: name one with `image:`"),
    other("platform", "image", "take it out: machines have the architecture of this host"),
    other("pull_policy", "image", "take it out: an image is pulled once, and kept"),
    other("networks", "network", "write `network: none` or `network: nat`"),
    other("dns", "network", "take it out: with `network: nat` names are looked up as on this host"),
    other("extra_hosts", "links", "name machines in `links:`; a step may write to `/etc/hosts`"),
    other("tmpfs", "mounts", "write it under `mounts:` as `- { type: tmpfs, target: /scratch, size: 512MiB }`"),
    other("shm_size", "mounts", "write it under `mounts:` as `- { type: tmpfs, target: /dev/shm, size: 512MiB }`"),
    other("volumes_from", "mounts", "write the mounts in both machines; an anchor shares them"),
    other("secrets", "mounts", SECRETS),
    other("configs", "mounts", "mount the folder that holds them"),
    other("devices", "mounts", "devices of this host are not given to machines"),
    other("gpus", "mounts", "devices of this host are not given to machines"),
    other("strategy", "matrix", "write `matrix:` with the lists directly below it"),
    other("services", "depends_on", "declare them as machines with a `command:`, and name them in `depends_on:`"),
    other("defaults", "shell", "write `shell:` and `working_dir:` directly in the machine"),
    other("permissions", "user", "take it out: a guest has no rights on this host but its mounts"),
    other("continue-on-error", "steps", "write `continue_on_error: true` in the steps that run in this machine"),
    other("deploy", "cpus", "write `cpus:`, `memory:` and `restart:`; `matrix:` makes several machines"),
    other("resources", "cpus", "write `cpus:` and `memory:`"),
    other("cpu_shares", "cpus", LIMITS),
    other("cpu_quota", "cpus", LIMITS),
    other("memswap_limit", "memory", LIMITS),
    other("scale", "matrix", "write `matrix:` with a list: one machine for each of its values"),
    other("extends", "image", "share keys with an anchor: `x-base: &base { … }`, and `<<: *base` in the machine"),
    other("privileged", "user", ROOT),
    other("cap_add", "user", ROOT),
    other("cap_drop", "user", "take it out, or name another user with `user:`"),
    other("security_opt", "user", OWN_KERNEL),
    other("sysctls", "kernel", "take it out, and set them in a step: root in a machine may"),
    other("ulimits", "user", "take it out, and set them in a step, with `ulimit`"),
    other("read_only", "image", "take it out: what is written outside mounts is gone with the machine"),
    other("init", "command", "take it out: every machine has an init"),
    other("tty", "command", "take it out: `-i` opens a shell in the machine of a failed step"),
    other("stdin_open", "command", "take it out: steps have an empty standard input"),
    other("container_name", "hostname", "the key below `machines:` is the name; `hostname:` is what the guest sees"),
    other("name", "hostname", "the key below `machines:` is the name; `hostname:` is what the guest sees"),
    other("labels", "profiles", "take it out, or keep it as `x-labels:`"),
    other("logging", "command", "take it out: logs are kept with each run"),
    other("timeout-minutes", "steps", "write `timeout: 10m` in the steps that run in this machine"),
    other("steps", "steps", "list them under `steps:` of the file, with `machine:` naming this machine"),
    other("run", "steps", "write it under `steps:`, with `machine:` naming this machine"),
    other("script", "steps", "write it under `steps:` as `run:`, with `machine:` naming this machine"),
    other("before_script", "steps", "write it as the first step with `machine:` naming this machine"),
];

pub(super) const MOUNT: &[Foreign] = &[
    same("read_only", "readonly"),
    same("read-only", "readonly"),
    same("ro", "readonly"),
    same("src", "source"),
    same("hostpath", "source"),
    same("host_path", "source"),
    likely("host", "source"),
    likely("from", "source"),
    same("dst", "target"),
    same("dest", "target"),
    same("destination", "target"),
    same("mountpath", "target"),
    same("mount_path", "target"),
    same("mount_point", "target"),
    same("mountpoint", "target"),
    likely("guest", "target"),
    likely("to", "target"),
    likely("path", "target"),
    same("create_host_path", "create"),
    likely("mkdir", "create"),
    likely("uid", "owner"),
    likely("user", "owner"),
    likely("kind", "type"),
    other("gid", "owner", "write both: `owner: \"1000:1000\"`"),
    other("chown", "owner", "say who owns what is made with `owner:`; the default is you"),
    other("bind", "create", "write `create: true` where the source may be made"),
    other("tmpfs", "type", "write `type: tmpfs` and `size:`"),
    other("volume", "type", "write `type: volume` and `source:` with the volume's name"),
    other("mode", "readonly", "write `readonly: true` or `readonly: false`"),
    other("rw", "readonly", "write `readonly: false`, or leave it out"),
    other("writable", "readonly", "write `readonly: false`, or leave it out"),
    other("subpath", "source", "name the folder itself with `source:`"),
    other("consistency", "cache", "take it out, or write `cache: auto`"),
    other("options", "readonly", "take it out; what a mount can be told are keys of its own"),
];

pub(super) const VOLUME: &[Foreign] = &[
    same("capacity", "size"),
    likely("size_mib", "size"),
    other("driver", "size", VOLUME_DISK),
    other("driver_opts", "size", VOLUME_DISK),
    other("opts", "size", VOLUME_DISK),
    other("external", "size", "take it out: volumes belong to the project, and go with `down --volumes`"),
    other("name", "size", "the key below `volumes` is the name"),
    other("labels", "size", "take it out, or keep it as `x-labels:`"),
    other("path", "size", "mount the folder itself, as `./folder:/target`"),
    other("source", "size", "mount the folder itself, as `./folder:/target`"),
    other("target", "size", "say where it is mounted in `mounts:` of a machine, as `NAME:/target`"),
];

pub(super) const NETWORK: &[Foreign] = &[
    likely("type", "mode"),
    likely("driver", "mode"),
    likely("kind", "mode"),
    likely("policy", "mode"),
    same("allowed", "allow"),
    same("allowlist", "allow"),
    same("allow_list", "allow"),
    same("whitelist", "allow"),
    likely("hosts", "allow"),
    likely("domains", "allow"),
    likely("egress", "allow"),
    other("deny", "allow", "name what may be reached with `allow:`; nothing else is"),
    other("ports", "mode", "write `ports:` in the machine, beside `network:`"),
    other("links", "mode", "write `links:` in the machine, beside `network:`"),
    other("dns", "mode", "take it out: with `mode: nat` names are looked up as on this host"),
];

/// `retry` as a map: what GitLab, Buildkite and the actions for it say. Most count the attempts after the first.
pub(super) const RETRY: &[Foreign] = &[
    same("max_attempts", "attempts"),
    same("max-attempts", "attempts"),
    other("max", "attempts", COUNTED),
    other("max_retries", "attempts", COUNTED),
    other("limit", "attempts", COUNTED),
    other("retries", "attempts", COUNTED),
    other("count", "attempts", COUNTED),
    other("times", "attempts", COUNTED),
    likely("wait", "delay"),
    likely("interval", "delay"),
    likely("backoff", "delay"),
    other("timeout", "delay", "write it beside `retry:`; it is the time of each attempt"),
    other("when", "attempts", "take it out: a step is tried again whatever its exit code"),
    other("exit_codes", "attempts", "take it out: a step is tried again whatever its exit code"),
];

pub(super) const STEP: &[Foreign] = &[
    same("script", "run"),
    same("cmd", "run"),
    same("cmds", "run"),
    same("command", "run"),
    same("commands", "run"),
    same("exec", "run"),
    likely("args", "run"),
    likely("entrypoint", "run"),
    same("environment", "env"),
    same("variables", "env"),
    same("with_env", "env"),
    likely("vars", "env"),
    same("dotenv", "env_file"),
    same("workdir", "working_dir"),
    same("working_directory", "working_dir"),
    same("working-directory", "working_dir"),
    same("cwd", "working_dir"),
    same("dir", "working_dir"),
    same("continue-on-error", "continue_on_error"),
    same("allow_failure", "continue_on_error"),
    same("ignore_error", "continue_on_error"),
    same("ignore_errors", "continue_on_error"),
    same("soft_fail", "continue_on_error"),
    same("depends_on", "needs"),
    same("deps", "needs"),
    likely("dependencies", "needs"),
    likely("requires", "needs"),
    same("after", "needs"),
    same("service", "machine"),
    same("vm", "machine"),
    likely("host", "machine"),
    likely("container", "machine"),
    likely("runs-on", "machine"),
    likely("runs_on", "machine"),
    same("executor", "machine"),
    same("title", "name"),
    same("desc", "name"),
    same("description", "name"),
    same("summary", "name"),
    same("label", "name"),
    same("key", "id"),
    likely("step", "id"),
    likely("task", "id"),
    likely("job", "id"),
    likely("artifacts", "outputs"),
    likely("artifact_paths", "outputs"),
    likely("generates", "outputs"),
    likely("produces", "outputs"),
    same("sources", "inputs"),
    likely("changes", "inputs"),
    likely("when", "if"),
    same("run_as", "user"),
    same("interpreter", "shell"),
    other("timeout-minutes", "timeout", MINUTES),
    other("timeout_minutes", "timeout", MINUTES),
    other("timeout_in_minutes", "timeout", MINUTES),
    other("timeout_seconds", "timeout", "write the unit too: `timeout: 60s`"),
    other("uses", "run", ACTIONS),
    other("with", "env", "smolvm knows no actions: pass values with `env:`"),
    other("plugins", "run", ACTIONS),
    other("retries", "retry", "write `retry: { attempts: 2 }`"),
    other("attempts", "retry", "write `retry: { attempts: 2 }`"),
    other("stage", "needs", IN_ORDER),
    other("stages", "needs", IN_ORDER),
    other("parallel", "needs", "write `needs: []` in steps that need not wait for the one above"),
    other("before_script", "run", "write it as the first lines of `run:`, or as a step of its own"),
    other("after_script", "run", "write it under `finally:` of the file"),
    other("defer", "run", "write it under `finally:` of the file"),
    other("steps", "run", "a step runs one command or script: write each as a step of its own"),
    other("only", "if", "write a condition: `if: \"${CI} == true\"`"),
    other("except", "if", "write a condition: `if: \"${CI} != true\"`"),
    other("rules", "if", "write a condition: `if: \"${CI} == true\"`"),
    other("preconditions", "run", "write them as the first lines of `run:`, as `test -f FILE`"),
    other("status", "inputs", "write `inputs:`: the step is skipped when nothing that it depends on changed"),
    other("cache", "inputs", "write `inputs:`: the step is skipped when nothing that it depends on changed"),
    other("method", "inputs", "take it out: contents of `inputs:` are compared"),
    other("silent", "name", OUTPUT),
    other("prefix", "name", OUTPUT),
    other("coverage", "name", "take it out: smolvm reads nothing out of what is printed"),
    other("prompt", "name", "take it out: steps have an empty standard input"),
    other("aliases", "id", "take it out: a step has one `id:`"),
    other("internal", "profiles", "write `profiles: [NAME]`: the step then runs with `--profile NAME`"),
    other("platforms", "name", "take it out: steps run in machines with Linux"),
    other("tags", "name", "take it out: steps run on this computer, in the machine that `machine:` names"),
    other("for", "name", "write a loop of the shell in `run:`"),
    other("set", "shell", STRICT),
    other("shopt", "shell", STRICT),
    other("watch", "inputs", "take it out: files are not watched"),
    other("extends", "run", "share keys with an anchor: `x-base: &base { … }`, and `<<: *base` in the step"),
    other("interruptible", "timeout", "take it out: Ctrl-C ends every step"),
    other("resource_group", "needs", "take it out: two steps of a machine never run at the same time"),
    other("concurrency", "needs", "take it out: two steps of a machine never run at the same time"),
    other("interactive", "name", "take it out: steps have an empty standard input"),
    other("image", "machine", "declare the image in a machine, and name the machine with `machine:`"),
    other("mounts", "machine", "declare the mounts in a machine, and name the machine with `machine:`"),
    other("volumes", "machine", "declare the mounts in a machine, and name the machine with `machine:`"),
    other(
        "services",
        "machine",
        "declare them as machines with a `command:`, and `depends_on:` in this step's machine",
    ),
    other("matrix", "machine", "write `matrix:` in the machine of this step"),
    other("strategy", "machine", "write `matrix:` in the machine of this step"),
];

#[cfg(test)]
mod tests {
    use super::super::keys::{self, KeyTable};

    #[test]
    fn words_are_in_lower_case_given_once_and_no_keys_themselves() {
        for table in [
            &keys::FILE,
            &keys::MACHINE,
            &keys::MOUNT,
            &keys::VOLUME,
            &keys::NETWORK,
            &keys::STEP,
            &keys::FINALLY,
            &keys::HEALTHCHECK,
            &keys::DEPENDENCY,
        ] {
            for (index, foreign) in table.foreign.iter().enumerate() {
                let (word, place) = (foreign.word, table.place);
                assert_eq!(word, word.to_lowercase(), "in {place}");
                assert!(table.foreign[..index].iter().all(|earlier| earlier.word != word), "`{word}` twice in {place}");
                assert!(!is_known(table, word), "`{word}` is a key of {place}");
                let is_own_place = foreign.help.is_some() || is_known(table, foreign.ours);
                assert!(is_own_place || place == keys::FINALLY.place, "`{word}` leads nowhere in {place}");
            }
        }
    }

    fn is_known(table: &KeyTable, key: &str) -> bool {
        table.keys.contains(&key) || table.later.contains(&key)
    }
}
