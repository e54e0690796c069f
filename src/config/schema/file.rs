//! The file as a whole.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::machine::Machine;
use super::scalars::{EnvValue, Flag, HostPath, IGNORED_PATTERN, NAME_PATTERN, Name, Size, Text};
use super::step::{FinallyStep, Step};

/// Linux microVMs, host folders in them, and ordered steps, as `smolvm` runs them.
#[derive(Debug, JsonSchema)]
#[schemars(title = "smolvm.yaml", deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct File {
    /// Name of the project. Default: the folder's name, lowered, other characters dropped.
    #[schemars(extend("examples" = ["acme"]))]
    name: Option<Name>,
    /// Range of versions of smolvm that may run this file, as in Cargo.
    #[schemars(extend("examples" = [">=0.1"]))]
    requires: Option<Text>,
    /// Other files, merged below this one; their paths are relative to themselves.
    #[schemars(extend("examples" = [["./ci/base.yaml"]]))]
    include: Option<Vec<HostPath>>,
    /// Environment of every step of every machine.
    #[schemars(extend("examples" = [{ "CI": "true" }]))]
    env: Option<BTreeMap<String, EnvValue>>,
    /// Files with lines `K=V` for every step, relative to this file; a later one overrides, `env` overrides all.
    env_file: Option<Vec<EnvFile>>,
    /// Machines by name.
    #[schemars(extend("examples" = [{ "build": { "mounts": ["./src:/code:ro"] } }]))]
    machines: Machines,
    /// Commands, in the order in which they run.
    steps: Option<Vec<Step>>,
    /// Commands that always run at the end, in order, also after a failure or Ctrl-C.
    finally: Option<Vec<FinallyStep>>,
    /// Named folders that survive `down`.
    volumes: Option<Volumes>,
}

/// A file with lines `K=V`.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum EnvFile {
    /// Its path, relative to this file; it must be there.
    Path(HostPath),
    /// Its path, and whether it must be there.
    Long(EnvFileLong),
}

/// A file with lines `K=V`, and whether it must be there.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct EnvFileLong {
    /// Path, relative to this file.
    path: HostPath,
    /// Whether it must be there.
    #[schemars(extend("default" = true))]
    required: Option<Flag>,
}

/// A named, persistent folder.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Volume {
    /// Size of the disk behind it.
    #[schemars(extend("examples" = ["4GiB"]))]
    size: Option<Size>,
}

/// Machines by name; null is a machine with all defaults.
#[derive(Debug)]
pub(super) struct Machines;

impl JsonSchema for Machines {
    fn schema_name() -> Cow<'static, str> {
        "Machines".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        by_name(generator.subschema_for::<Machine>())
    }
}

/// Volumes by name; null is a volume with all defaults.
#[derive(Debug)]
pub(super) struct Volumes;

impl JsonSchema for Volumes {
    fn schema_name() -> Cow<'static, str> {
        "Volumes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        by_name(generator.subschema_for::<Volume>())
    }
}

fn by_name(value: Schema) -> Schema {
    json_schema!({
        "type": "object",
        "patternProperties": {
            NAME_PATTERN: { "anyOf": [value, { "type": "null" }] },
            IGNORED_PATTERN: true
        },
        "additionalProperties": false
    })
}
