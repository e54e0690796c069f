//! A machine.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::file::EnvFile;
use super::matrix::Matrix;
use super::mount::Mount;
use super::scalars::{
    CommandLine, Condition, Count, Duration, EnvValue, GuestPath, HealthTest, HostPath, IGNORED_PATTERN, Image, Link,
    Name, NetworkMode, Port, Reference, Restart, Shell, SignalName, Size, Text, Workspace,
};

/// A virtual machine; steps run in it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Machine {
    /// Root file system: `host` (this computer's own, read-only, without what is private), `dir:PATH` (an unpacked
    /// one), `oci:PATH`, `docker-archive:PATH`, or an OCI reference. Paths are relative to this file.
    #[schemars(extend("default" = "host"))]
    image: Option<Image>,
    /// Guest kernel: `auto`, the path of a bzImage or vmlinux relative to this file, or an OCI reference.
    #[schemars(extend("default" = "auto", "examples" = ["auto", "./vmlinux"]))]
    kernel: Option<HostPath>,
    /// Folder of the kernel's modules, relative to this file. Default: `../lib/modules/<version>` seen from the
    /// kernel's folder, then `/lib/modules/<version>`.
    #[schemars(extend("examples" = ["./modules/6.12.0"]))]
    modules: Option<HostPath>,
    /// Virtual CPUs. Default: two, or one where the host has one.
    #[schemars(extend("examples" = [2]))]
    cpus: Option<Count>,
    /// Memory.
    #[schemars(extend("default" = "1GiB", "examples" = ["2GiB", 512]))]
    memory: Option<Size>,
    /// Environment of every step of this machine, on top of the file's; null passes smolvm's own variable on.
    /// Default: the file's.
    #[schemars(extend("examples" = [{ "RUST_LOG": "${RUST_LOG:-info}", "PORT": 8080 }]))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all. Default: none.
    #[schemars(extend("examples" = [["./ci/test.env", { "path": "./local.env", "required": false }]]))]
    env_file: Option<Vec<EnvFile>>,
    /// Working folder of steps. Default: the image's.
    #[schemars(extend("examples" = ["/code"]))]
    working_dir: Option<GuestPath>,
    /// User of steps: `name`, `uid`, `uid:gid` or `name:group`. Default: the image's, root if it names none.
    #[schemars(extend("examples" = ["1000", "www-data"]))]
    user: Option<Text>,
    /// Host name inside. Default: the machine's name.
    #[schemars(extend("examples" = ["ci.internal"]))]
    hostname: Option<Text>,
    /// Shell of steps whose `run` is a string: the script's file name is added to it.
    #[schemars(extend("default" = ["sh", "-eu"]))]
    shell: Option<Shell>,
    /// Host folders and other places in the guest; outer ones are mounted first, whatever their order. Default: none.
    #[schemars(extend("examples" = [["./src:/code:ro", { "source": "./dist", "target": "/output", "create": true }]]))]
    mounts: Option<Vec<Mount>>,
    /// Size of the machine's own disk behind `/workspace`, which survives steps and `stop`, or `false` for none.
    /// Default: smolvm chooses a size.
    #[schemars(extend("examples" = ["20GiB", false]))]
    workspace: Option<Workspace>,
    /// Access to the network: `none`, `nat` (the host's network behind address translation), or `nat` with a list of
    /// what may be reached.
    #[schemars(extend("default" = "none", "examples" = ["nat", { "mode": "nat", "allow": ["crates.example"] }]))]
    network: Option<Network>,
    /// TCP ports published on the host, `[HOST_IP:]HOST:GUEST`; the host address is 127.0.0.1 where none is given, and
    /// host port 0 is any free one. Default: none.
    #[schemars(extend("examples" = [["5432:5432", "127.0.0.1:0:8080"]]))]
    ports: Option<Vec<Port>>,
    /// Services this machine may reach: `MACHINE:PORT`, by that name; nothing else reaches it. Default: none.
    #[schemars(extend("examples" = [["db:5432"]]))]
    links: Option<Vec<Link>>,
    /// Machines that must be ready before this one boots: `healthy` where there is a healthcheck, `started` where there
    /// is a command, else `completed` (all their steps passed). Default: none.
    #[schemars(extend("examples" = [["db"], { "db": { "condition": "healthy" } }]))]
    depends_on: Option<DependsOn>,
    /// Makes the machine a service: started when the machine is up, kept up, stopped at the end. Default: none.
    #[schemars(extend("examples" = [["postgres", "-c", "fsync=off"]]))]
    command: Option<CommandLine>,
    /// How to know that the service is ready. Default: it is ready once its command runs.
    #[schemars(extend("examples" = [{ "test": "pg_isready -q", "interval": "1s", "retries": 30 }]))]
    healthcheck: Option<Healthcheck>,
    /// When the service is started again after it ended.
    #[schemars(extend("default" = "no"))]
    restart: Option<Restart>,
    /// Signal that asks the service to end.
    #[schemars(extend("default" = "SIGTERM", "examples" = ["SIGINT"]))]
    stop_signal: Option<SignalName>,
    /// Time between the polite end of a step or service and its killing.
    #[schemars(extend("default" = "10s"))]
    stop_grace: Option<Duration>,
    /// One machine per combination of these values; each is `${MATRIX_<KEY>}` in this machine, and `${MATRIX_ID}` is the
    /// combination as a file name. Default: one machine.
    #[schemars(extend("examples" = [{ "image": ["debian:12", "alpine:3.20"] }]))]
    matrix: Option<Matrix>,
    /// The machine is there only with one of these profiles (`--profile`). Default: always.
    #[schemars(extend("examples" = [["nightly"]]))]
    profiles: Option<Vec<Name>>,
}

/// Access to the network: a mode, or a mode and what it allows.
#[derive(Debug)]
pub(super) struct Network;

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "if": { "type": "object" },
            "then": generator.subschema_for::<NetworkLong>(),
            "else": generator.subschema_for::<NetworkMode>()
        })
    }
}

/// A mode, and what it allows.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct NetworkLong {
    /// Kind of network: `none` (no interface but `lo`) or `nat` (the host's, behind address translation).
    mode: NetworkMode,
    /// Names and networks that may be reached, with `nat`. Default: all.
    #[schemars(extend("examples" = [["crates.example", "10.0.0.0/8"]]))]
    allow: Option<Vec<String>>,
}

/// Machines that this one waits for: their names, or a map with the state to wait for.
#[derive(Debug)]
pub(super) struct DependsOn;

impl JsonSchema for DependsOn {
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "if": { "type": "object" },
            "then": { "patternProperties": { IGNORED_PATTERN: true }, "additionalProperties": generator.subschema_for::<Dependency>() },
            "else": {
                "type": "array",
                "items": generator.subschema_for::<Reference>(),
                "errorMessage": "Expected a list of machines, or a map from machines to conditions."
            }
        })
    }
}

/// The state to wait for.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct Dependency {
    /// State of the other machine: `started` (its command runs), `healthy` (its healthcheck passed) or `completed` (all
    /// its steps passed).
    condition: Condition,
}

/// How to know that a service is ready.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct Healthcheck {
    /// Command that ends with 0 when the service is ready. Default: none, with `log_line`.
    #[schemars(extend("examples" = ["pg_isready -q", ["pg_isready", "-q"]]))]
    test: Option<HealthTest>,
    /// Time between two tests.
    #[schemars(extend("default" = "30s", "examples" = ["1s"]))]
    interval: Option<Duration>,
    /// Longest time one test may take.
    #[schemars(extend("default" = "30s", "examples" = ["2s"]))]
    timeout: Option<Duration>,
    /// Failures in a row that make the service unhealthy.
    #[schemars(extend("default" = 3, "examples" = [30]))]
    retries: Option<Count>,
    /// Time after the start in which failures do not count.
    #[schemars(extend("default" = "0s", "examples" = ["5s"]))]
    start_period: Option<Duration>,
    /// Time between two tests in the start period.
    #[schemars(extend("default" = "5s", "examples" = ["1s"]))]
    start_interval: Option<Duration>,
    /// The service is ready when it has printed a line that holds this text. Default: none, with `test`.
    #[schemars(extend("examples" = ["ready to accept connections"]))]
    log_line: Option<Text>,
}
