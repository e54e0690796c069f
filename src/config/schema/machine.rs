//! A machine.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::file::EnvFile;
use super::mount::Mount;
use super::scalars::{
    CommandLine, Count, Duration, EnvValue, GuestPath, HostPath, Name, Port, Restart, Shell, Size, Text, Workspace,
};

/// A virtual machine; steps run in it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Machine {
    /// Root file system: `host` (this computer's own, read-only, without what is private), `dir:PATH` (an unpacked
    /// one), `oci:PATH`, `docker-archive:PATH`, or an OCI reference. Paths are relative to this file.
    #[schemars(extend("default" = "host", "examples" = ["host", "dir:./rootfs", "alpine:3.20"]))]
    image: Option<String>,
    /// Guest kernel: `auto`, the path of a bzImage or vmlinux relative to this file, or an OCI reference.
    #[schemars(extend("default" = "auto", "examples" = ["auto", "./vmlinux"]))]
    kernel: Option<String>,
    /// Folder of the kernel's modules, relative to this file. Default: `../lib/modules/<version>` seen from the
    /// kernel's folder, then `/lib/modules/<version>`.
    modules: Option<HostPath>,
    /// Virtual CPUs. Default: two, or one where the host has one.
    #[schemars(extend("examples" = [2]))]
    cpus: Option<Count>,
    /// Memory.
    #[schemars(extend("default" = "1GiB", "examples" = ["2GiB", 512]))]
    memory: Option<Size>,
    /// Environment of every step of this machine, on top of the file's.
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all.
    env_file: Option<Vec<EnvFile>>,
    /// Working folder of steps. Default: the image's.
    #[schemars(extend("examples" = ["/code"]))]
    working_dir: Option<GuestPath>,
    /// User of steps: `name`, `uid`, `uid:gid` or `name:group`. Default: the image's, root if it names none.
    #[schemars(extend("examples" = ["1000", "www-data"]))]
    user: Option<Text>,
    /// Host name inside. Default: the machine's name.
    hostname: Option<Text>,
    /// Shell of steps whose `run` is a string.
    #[schemars(extend("default" = ["sh", "-eu"]))]
    shell: Option<Shell>,
    /// Host folders and other places in the guest; outer ones are mounted first, whatever their order.
    #[schemars(extend("examples" = [["./src:/code:ro", { "source": "./dist", "target": "/output", "create": true }]]))]
    mounts: Option<Vec<Mount>>,
    /// Size of the disk behind `/workspace`, or `false` for none.
    #[schemars(extend("examples" = ["20GiB", false]))]
    workspace: Option<Workspace>,
    /// Access to the network.
    #[schemars(extend("default" = "none"))]
    network: Option<Network>,
    /// Ports published on the host.
    ports: Option<Vec<Port>>,
    /// Services this machine may reach: `MACHINE:PORT`, by that name.
    #[schemars(extend("examples" = [["db:5432"]]))]
    links: Option<Vec<String>>,
    /// Machines that must be healthy, started or completed before this one boots.
    depends_on: Option<DependsOn>,
    /// Makes the machine a service: started, kept up, stopped at the end.
    #[schemars(extend("examples" = [["postgres", "-c", "fsync=off"]]))]
    command: Option<CommandLine>,
    /// How to know that the service is ready.
    healthcheck: Option<Healthcheck>,
    /// When the service is started again after it ended.
    #[schemars(extend("default" = "no"))]
    restart: Option<Restart>,
    /// Signal that asks the service to end.
    #[schemars(extend("default" = "SIGTERM"))]
    stop_signal: Option<Text>,
    /// Time between the polite end of a step or service and its killing.
    #[schemars(extend("default" = "10s"))]
    stop_grace: Option<Duration>,
    /// One machine per combination of these values; each is `${MATRIX_<KEY>}` in this machine.
    #[schemars(extend("examples" = [{ "image": ["debian:12", "alpine:3.20"] }]))]
    matrix: Option<BTreeMap<String, Vec<Text>>>,
    /// The machine is there only with one of these profiles.
    profiles: Option<Vec<Name>>,
}

/// Access to the network.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Network {
    /// None at all, or all of it.
    Mode(NetworkMode),
    /// A mode, and what it allows.
    Long(NetworkLong),
}

/// Kind of network.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum NetworkMode {
    /// No interface but `lo`.
    None,
    /// The host's network behind address translation.
    Nat,
}

/// A mode, and what it allows.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct NetworkLong {
    /// Kind of network.
    mode: NetworkMode,
    /// Names and networks that may be reached, with `nat`. Default: all.
    #[schemars(extend("examples" = [["crates.example", "10.0.0.0/8"]]))]
    allow: Option<Vec<String>>,
}

/// Machines that this one waits for.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum DependsOn {
    /// Healthy where there is a healthcheck, started where there is a command, else completed.
    Names(Vec<Name>),
    /// With the state to wait for.
    Long(BTreeMap<String, Dependency>),
}

/// The state to wait for.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Dependency {
    /// State of the other machine.
    condition: Condition,
}

/// State of a machine.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum Condition {
    /// Its command runs.
    Started,
    /// Its healthcheck passed.
    Healthy,
    /// All its steps passed.
    Completed,
}

/// How to know that a service is ready.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Healthcheck {
    /// Command that ends with 0 when the service is ready.
    #[schemars(extend("examples" = ["pg_isready -q"]))]
    test: Option<CommandLine>,
    /// Time between two tests.
    interval: Option<Duration>,
    /// Longest time one test may take.
    timeout: Option<Duration>,
    /// Failures in a row that make the service unhealthy.
    retries: Option<Count>,
    /// Time in which failures do not count.
    start_period: Option<Duration>,
    /// Time between two tests in the start period.
    start_interval: Option<Duration>,
    /// The service is ready when it has printed a line that holds this text.
    log_line: Option<String>,
}
