//! Mounts: the short form, and a long form for each type.
//!
//! The type decides by `if` and `then`, so that an editor offers the keys of that type only, and says of a wrong key
//! that it is wrong rather than that no form fits.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::scalars::{Cache, Flag, GuestPath, HostPath, MountType, Name, Size, Text};

/// A place in the guest that comes from elsewhere.
#[derive(Debug)]
pub(super) struct Mount;

impl JsonSchema for Mount {
    fn schema_name() -> Cow<'static, str> {
        "Mount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bind = generator.subschema_for::<Bind>();
        let of_type = |kind: Schema, then: Schema, otherwise: Schema| {
            let asks = json_schema!({ "required": ["type"], "properties": { "type": kind } });
            json_schema!({ "if": asks, "then": then, "else": otherwise })
        };
        let by_variable =
            of_type(json_schema!({ "pattern": "\\$" }), generator.subschema_for::<MountOfAnyType>(), bind);
        let tmpfs = of_type(json_schema!({ "const": "tmpfs" }), generator.subschema_for::<Tmpfs>(), by_variable);
        let volume = of_type(json_schema!({ "const": "volume" }), generator.subschema_for::<VolumeMount>(), tmpfs);
        let overlay = of_type(json_schema!({ "const": "overlay" }), generator.subschema_for::<Overlay>(), volume);
        json_schema!({
            "description": "A place in the guest that comes from elsewhere: `SOURCE:TARGET[:ro|:rw]`, or a map.",
            "if": { "type": "string" },
            "then": generator.subschema_for::<ShortMount>(),
            "else": overlay
        })
    }
}

/// The short form.
#[derive(Debug)]
struct ShortMount;

impl JsonSchema for ShortMount {
    fn schema_name() -> Cow<'static, str> {
        "ShortMount".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`SOURCE:TARGET[:ro|:rw]`. SOURCE is a host path where it begins with `.`, `/` or `~`, else a volume's name.",
            "type": "string",
            "pattern": "(^(~/|[^:~\\s])[^:\\n]*:/(?!([^:]*/)?\\.\\.(/|:|$))[^:\\n]*(:(ro|rw))?$|\\$)",
            "errorMessage": "A mount is `SOURCE:TARGET[:ro|:rw]`, as ./src:/code:ro, with an absolute target; a path with `:` needs the long form.",
            "examples": ["./src:/code:ro", "./dist:/output", "cargo-cache:/cargo"]
        })
    }
}

/// A folder or file of the host.
#[derive(Debug, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend(
        "patternProperties" = { "^x-": true },
        "allOf" = [
            {
                "if": { "required": ["owner"], "properties": { "owner": { "const": "guest" } } },
                "then": { "properties": { "guest_owner": false } }
            },
            {
                "if": { "required": ["cache"], "properties": { "cache": { "const": "always" } } },
                "then": { "required": ["readonly"], "properties": { "readonly": {
                    "anyOf": [{ "const": true }, { "type": "string" }],
                    "errorMessage": "`cache: always` is for read-only mounts: write `readonly: true`."
                } } }
            }
        ]
    )
)]
struct Bind {
    /// Kind of mount: `bind` (a folder or file of the host), `overlay` (a folder of the host that the guest may write
    /// to without changing it), `volume` (a named folder that survives `down`), `tmpfs` (a folder in memory).
    #[schemars(rename = "type", extend("default" = "bind"))]
    kind: Option<MountType>,
    /// Host path, relative to this file; a single file is mounted as a file.
    source: HostPath,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether the guest may not write; enforced on the host, root in the guest cannot undo it.
    #[schemars(extend("default" = false))]
    readonly: Option<Flag>,
    /// Whether a missing source, or a missing mount point in an outer writable mount, is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
    /// Who owns, on the host, what the guest creates: `invoker` (who ran smolvm), `guest` (the guest's own ids; needs
    /// root), or ids or names of this host (needs root, or to be oneself).
    #[schemars(extend("default" = "invoker", "examples" = ["invoker", "guest", "1000:1000"]))]
    owner: Option<Text>,
    /// User of the image as whose the files appear in the guest. Default: the user of the step that runs.
    #[schemars(extend("examples" = ["www-data", "1000:1000"]))]
    guest_owner: Option<Text>,
    /// How the guest caches it: `auto` sees within a second what the host changes; `always` never looks again, for
    /// read-only mounts only; `never` keeps nothing.
    #[schemars(extend("default" = "auto"))]
    cache: Option<Cache>,
}

/// A folder of the host that the guest may write to without changing it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct Overlay {
    /// Kind of mount.
    #[schemars(rename = "type")]
    kind: MountType,
    /// Host folder, relative to this file; never changed.
    source: HostPath,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether a missing mount point in an outer writable mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
    /// User of the image as whose the files appear in the guest. Default: the machine's `user`.
    #[schemars(extend("examples" = ["www-data", "1000:1000"]))]
    guest_owner: Option<Text>,
}

/// A named, persistent folder.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct VolumeMount {
    /// Kind of mount.
    #[schemars(rename = "type")]
    kind: MountType,
    /// Name of the volume, declared below `volumes`.
    #[schemars(extend("examples" = ["cargo-cache"]))]
    source: Name,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether the guest may not write.
    #[schemars(extend("default" = false))]
    readonly: Option<Flag>,
    /// Whether a missing mount point in an outer writable mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
}

/// A folder in memory.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct Tmpfs {
    /// Kind of mount.
    #[schemars(rename = "type")]
    kind: MountType,
    /// Mount point in the guest.
    target: GuestPath,
    /// Most that it may hold. Default: half of the machine's memory.
    size: Option<Size>,
    /// Whether a missing mount point in an outer writable mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
}

/// A mount whose type a variable decides.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
struct MountOfAnyType {
    /// Kind of mount.
    #[schemars(rename = "type")]
    kind: MountType,
    /// Host path, relative to this file, or the name of a volume. Default: none, for a tmpfs.
    source: Option<HostPath>,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether the guest may not write.
    #[schemars(extend("default" = false))]
    readonly: Option<Flag>,
    /// Whether a missing source, or a missing mount point in an outer writable mount, is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
    /// Who owns, on the host, what the guest creates.
    #[schemars(extend("default" = "invoker", "examples" = ["invoker", "guest", "1000:1000"]))]
    owner: Option<Text>,
    /// User of the image as whose the files appear in the guest. Default: the user of the step that runs.
    #[schemars(extend("examples" = ["www-data", "1000:1000"]))]
    guest_owner: Option<Text>,
    /// How the guest caches it.
    #[schemars(extend("default" = "auto"))]
    cache: Option<Cache>,
    /// Most that it may hold. Default: half of the machine's memory.
    size: Option<Size>,
}
