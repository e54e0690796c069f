//! Steps, and entries of `finally`.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::file::EnvFile;
use super::scalars::{
    Chown, CommandLine, Count, Duration, EnvValue, Flag, GuestPath, GuestPattern, Name, Reference, Shell, Text,
};

/// A command in a machine.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Step {
    /// Name that `needs` and the command line use. Default: `step-N`, N its place from 1.
    #[schemars(extend("examples" = ["compile"]))]
    id: Option<Name>,
    /// Title shown beside the id. Default: none.
    #[schemars(extend("examples" = ["Unit tests"]))]
    name: Option<Text>,
    /// Machine it runs in. Default: the only one, where the file declares one.
    machine: Option<Reference>,
    /// What runs: a string under `shell`, a list as it is, with no shell. Variables are the guest's, not smolvm's.
    #[schemars(extend("examples" = ["make -C /code", ["/code/run-tests", "--report", "/reports/unit.xml"]]))]
    run: CommandLine,
    /// Shell of `run` where that is a string. Default: the machine's.
    shell: Option<Shell>,
    /// Environment, on top of the machine's; null passes smolvm's own variable on. Default: the machine's.
    #[schemars(extend("examples" = [{ "RUST_LOG": "${RUST_LOG:-info}" }]))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all. Default: none.
    #[schemars(extend("examples" = [["./ci/test.env", { "path": "./local.env", "required": false }]]))]
    env_file: Option<Vec<EnvFile>>,
    /// Working folder. Default: the machine's.
    working_dir: Option<GuestPath>,
    /// User: `name`, `uid`, `uid:gid` or `name:group`. Default: the machine's.
    #[schemars(extend("examples" = ["1000", "www-data"]))]
    user: Option<Text>,
    /// Steps that must have passed before; `[]` starts at once. Default: the step above.
    #[schemars(extend("examples" = [["compile"], []]))]
    needs: Option<Vec<Reference>>,
    /// Host files it depends on, as patterns of `.gitignore` relative to this file; it is skipped when nothing that it
    /// depends on changed. Default: none, it always runs.
    #[schemars(extend("examples" = [["src/**", "!src/**/*.snap"]]))]
    inputs: Option<Vec<String>>,
    /// Guest paths or globs that must exist at the end, each below a writable mount. Default: none.
    #[schemars(extend("examples" = [["/output/app"]]))]
    outputs: Option<Vec<GuestPattern>>,
    /// Longest time one attempt may take. Default: no limit.
    #[schemars(extend("examples" = ["10m"]))]
    timeout: Option<Duration>,
    /// More attempts after a failure. Default: one attempt.
    #[schemars(extend("examples" = [{ "attempts": 2, "delay": "1s" }]))]
    retry: Option<Retry>,
    /// Whether a failure is only a warning.
    #[schemars(extend("default" = false))]
    continue_on_error: Option<Flag>,
    /// Runs only where this is true after interpolation: a variable, or comparisons with `==`, `!=`, `&&`, `||`, `!`;
    /// empty, `0` and `false` are false. Default: always.
    #[schemars(rename = "if", extend("examples" = ["${CI} == true"]))]
    condition: Option<Text>,
    /// For mounts with `owner: guest`: after the step, gives its `outputs`, or what it made and changed, to the invoking
    /// user (`true`) or to ids or names as for `owner`. Default: nothing is given.
    chown: Option<Chown>,
    /// The step is there only with one of these profiles (`--profile`). Default: always.
    #[schemars(extend("examples" = [["nightly"]]))]
    profiles: Option<Vec<Name>>,
}

/// A command that always runs at the end.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct FinallyStep {
    /// Name. Default: `finally-N`, N its place from 1.
    #[schemars(extend("examples" = ["collect-logs"]))]
    id: Option<Name>,
    /// Title shown beside the id. Default: none.
    #[schemars(extend("examples" = ["Unit tests"]))]
    name: Option<Text>,
    /// Machine it runs in. Default: the only one, where the file declares one.
    machine: Option<Reference>,
    /// What runs: a string under `shell`, a list as it is, with no shell. Variables are the guest's, not smolvm's.
    #[schemars(extend("examples" = ["dmesg > /reports/dmesg.txt"]))]
    run: CommandLine,
    /// Shell of `run` where that is a string. Default: the machine's.
    shell: Option<Shell>,
    /// Environment, on top of the machine's; null passes smolvm's own variable on. Default: the machine's.
    #[schemars(extend("examples" = [{ "RUST_LOG": "${RUST_LOG:-info}" }]))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all. Default: none.
    #[schemars(extend("examples" = [["./ci/test.env", { "path": "./local.env", "required": false }]]))]
    env_file: Option<Vec<EnvFile>>,
    /// Working folder. Default: the machine's.
    working_dir: Option<GuestPath>,
    /// User: `name`, `uid`, `uid:gid` or `name:group`. Default: the machine's.
    #[schemars(extend("examples" = ["1000", "www-data"]))]
    user: Option<Text>,
    /// Guest paths or globs that must exist at the end, each below a writable mount. Default: none.
    #[schemars(extend("examples" = [["/reports/dmesg.txt"]]))]
    outputs: Option<Vec<GuestPattern>>,
    /// Longest time it may take. Default: no limit but that of all of `finally`.
    timeout: Option<Duration>,
    /// Whether a failure is only a warning.
    #[schemars(extend("default" = false))]
    continue_on_error: Option<Flag>,
    /// Runs only where this is true after interpolation: a variable, or comparisons with `==`, `!=`, `&&`, `||`, `!`;
    /// empty, `0` and `false` are false. Default: always.
    #[schemars(rename = "if", extend("examples" = ["${CI} == true"]))]
    condition: Option<Text>,
    /// For mounts with `owner: guest`: afterwards gives its `outputs`, or what it made and changed, to the invoking user
    /// (`true`) or to ids or names as for `owner`. Default: nothing is given.
    chown: Option<Chown>,
    /// The entry is there only with one of these profiles (`--profile`). Default: always.
    #[schemars(extend("examples" = [["nightly"]]))]
    profiles: Option<Vec<Name>>,
}

/// More attempts after a failure.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Retry {
    /// Attempts in all, at most 100. Default: 1.
    #[schemars(extend("examples" = [2]))]
    attempts: Option<Count>,
    /// Time between two attempts.
    #[schemars(extend("default" = "0s", "examples" = ["1s"]))]
    delay: Option<Duration>,
}
