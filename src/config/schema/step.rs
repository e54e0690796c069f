//! Steps, and entries of `finally`.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::file::EnvFile;
use super::scalars::{Chown, CommandLine, Count, Duration, EnvValue, Flag, GuestPath, GuestPattern, Name, Shell, Text};

/// A command in a machine.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Step {
    /// Name that `needs` and the command line use. Default: `step-N`, N its place from 1.
    #[schemars(extend("examples" = ["compile"]))]
    id: Option<Name>,
    /// Title shown beside the id.
    name: Option<Text>,
    /// Machine it runs in; may be left out where the file declares one.
    machine: Option<Name>,
    /// What runs.
    #[schemars(extend("examples" = ["make -C /code", ["/code/run-tests", "--report", "/reports/unit.xml"]]))]
    run: CommandLine,
    /// Shell of `run` where that is a string. Default: the machine's.
    shell: Option<Shell>,
    /// Environment, on top of the machine's.
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all.
    env_file: Option<Vec<EnvFile>>,
    /// Working folder. Default: the machine's.
    working_dir: Option<GuestPath>,
    /// User: `name`, `uid`, `uid:gid` or `name:group`. Default: the machine's.
    user: Option<Text>,
    /// Steps that must have passed before. Default: the step above; `[]` starts at once.
    #[schemars(extend("examples" = [["compile"], []]))]
    needs: Option<Vec<Name>>,
    /// Host files it depends on, as patterns of `.gitignore` relative to this file; it is skipped when nothing changed.
    #[schemars(extend("examples" = [["src/**", "!src/**/*.snap"]]))]
    inputs: Option<Vec<String>>,
    /// Guest paths or globs that must exist at the end, each below a writable mount.
    #[schemars(extend("examples" = [["/output/app"]]))]
    outputs: Option<Vec<GuestPattern>>,
    /// Longest time one attempt may take. Default: no limit.
    #[schemars(extend("examples" = ["10m"]))]
    timeout: Option<Duration>,
    /// More attempts after a failure.
    retry: Option<Retry>,
    /// Whether a failure is only a warning.
    #[schemars(extend("default" = false))]
    continue_on_error: Option<Flag>,
    /// Runs only where this variable or comparison is true after interpolation.
    #[schemars(rename = "if", extend("examples" = ["${CI} == true"]))]
    condition: Option<Text>,
    /// For mounts with `owner: guest`: gives the outputs, or what the step made, away after the step.
    chown: Option<Chown>,
    /// The step is there only with one of these profiles.
    profiles: Option<Vec<Name>>,
}

/// A command that always runs at the end.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct FinallyStep {
    /// Name. Default: `finally-N`, N its place from 1.
    id: Option<Name>,
    /// Title shown beside the id.
    name: Option<Text>,
    /// Machine it runs in; may be left out where the file declares one.
    machine: Option<Name>,
    /// What runs.
    #[schemars(extend("examples" = ["dmesg > /reports/dmesg.txt"]))]
    run: CommandLine,
    /// Shell of `run` where that is a string. Default: the machine's.
    shell: Option<Shell>,
    /// Environment, on top of the machine's.
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V`, relative to this file; a later one overrides, `env` overrides all.
    env_file: Option<Vec<EnvFile>>,
    /// Working folder. Default: the machine's.
    working_dir: Option<GuestPath>,
    /// User: `name`, `uid`, `uid:gid` or `name:group`. Default: the machine's.
    user: Option<Text>,
    /// Guest paths or globs that must exist at the end, each below a writable mount.
    outputs: Option<Vec<GuestPattern>>,
    /// Longest time it may take. Default: no limit but that of all of `finally`.
    timeout: Option<Duration>,
    /// Whether a failure is only a warning.
    #[schemars(extend("default" = false))]
    continue_on_error: Option<Flag>,
    /// Runs only where this variable or comparison is true after interpolation.
    #[schemars(rename = "if")]
    condition: Option<Text>,
    /// For mounts with `owner: guest`: gives the outputs, or what it made, away afterwards.
    chown: Option<Chown>,
    /// The entry is there only with one of these profiles.
    profiles: Option<Vec<Name>>,
}

/// More attempts after a failure.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Retry {
    /// Attempts in all.
    #[schemars(extend("examples" = [2]))]
    attempts: Option<Count>,
    /// Time between two attempts.
    #[schemars(extend("default" = "0s"))]
    delay: Option<Duration>,
}
