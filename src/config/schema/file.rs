//! The file as a whole.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::machine::Machine;
use super::scalars::{EnvValue, Flag, HostPath, IGNORED_PATTERN, NAME_PATTERN, Name, Size, Versions};
use super::step::{FinallyStep, Step};

/// Linux microVMs, host folders in them, and ordered steps, as `smolvm` runs them.
#[derive(Debug, JsonSchema)]
#[schemars(
    title = "smolvm.yaml",
    deny_unknown_fields,
    extend(
        "patternProperties" = { "^x-": true },
        // What is included may bring the machines.
        "if" = { "required": ["include"] },
        "else" = { "required": ["machines"] }
    )
)]
pub(super) struct File {
    /// Name of the project. Default: the folder's name, lowered, other characters dropped.
    #[schemars(extend("examples" = ["acme"]))]
    name: Option<Name>,
    /// Range of versions of smolvm that may run this file, as in Cargo. Default: any.
    requires: Option<Versions>,
    /// Other files, merged below this one; their paths are relative to themselves. Default: none.
    #[schemars(extend("examples" = [["./ci/base.yaml"]]))]
    include: Option<Vec<HostPath>>,
    /// Environment of every step of every machine; null passes smolvm's own variable on. Default: none.
    #[schemars(extend("examples" = [{ "CI": "${CI:-false}" }]))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V` for every step, relative to this file; a later one overrides, `env` overrides all.
    /// Default: none.
    #[schemars(extend("examples" = [["./ci/test.env", { "path": "./local.env", "required": false }]]))]
    env_file: Option<Vec<EnvFile>>,
    /// Machines by name; null is a machine with all defaults. Default: those of `include`.
    #[schemars(extend("examples" = [{ "build": { "mounts": ["./src:/code:ro"] } }]))]
    machines: Option<Machines>,
    /// Commands, in the order in which they run unless `needs` says otherwise. Default: none.
    #[schemars(extend("examples" = [[{ "id": "compile", "run": "make -C /code" }]]))]
    steps: Option<Vec<Step>>,
    /// Commands that always run at the end, in order, also after a failure or Ctrl-C. Default: none.
    #[schemars(extend("examples" = [[{ "run": "dmesg > /reports/dmesg.txt" }]]))]
    finally: Option<Vec<FinallyStep>>,
    /// Named folders that survive `down`; null is a volume with all defaults. Default: none.
    #[schemars(extend("examples" = [{ "cargo-cache": { "size": "4GiB" } }]))]
    volumes: Option<Volumes>,
}

/// A file with lines `K=V`: its path, or its path and whether it must be there.
#[derive(Debug)]
pub(super) struct EnvFile;

impl JsonSchema for EnvFile {
    fn schema_name() -> Cow<'static, str> {
        "EnvFile".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "if": { "type": "object" },
            "then": generator.subschema_for::<EnvFileLong>(),
            "else": generator.subschema_for::<HostPath>()
        })
    }
}

/// A file with lines `K=V`, and whether it must be there.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct EnvFileLong {
    /// Path, relative to this file.
    #[schemars(extend("examples" = ["./ci/test.env"]))]
    path: HostPath,
    /// Whether it must be there.
    #[schemars(extend("default" = true))]
    required: Option<Flag>,
}

/// A named, persistent folder.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct Volume {
    /// Size of the disk behind it. Default: smolvm chooses a size.
    #[schemars(extend("examples" = ["4GiB"]))]
    size: Option<Size>,
}

/// Machines by name; null is a machine with all defaults.
#[derive(Debug)]
struct Machines;

impl JsonSchema for Machines {
    fn schema_name() -> Cow<'static, str> {
        "Machines".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut machines = by_name(generator.subschema_for::<Machine>());
        machines.insert("minProperties".to_owned(), 1.into());
        machines
    }
}

/// Volumes by name; null is a volume with all defaults.
#[derive(Debug)]
struct Volumes;

impl JsonSchema for Volumes {
    fn schema_name() -> Cow<'static, str> {
        "Volumes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        by_name(generator.subschema_for::<Volume>())
    }
}

fn by_name(value: Schema) -> Schema {
    let words = "Expected a map of names: lower-case letters, digits, `_` and `-`, at most 63.";
    json_schema!({
        "type": "object",
        "patternProperties": {
            NAME_PATTERN: { "if": { "type": "null" }, "then": true, "else": value },
            IGNORED_PATTERN: true
        },
        "additionalProperties": false,
        "errorMessage": words
    })
}
