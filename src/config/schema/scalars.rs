//! The forms of single values: text, names, sizes, durations, paths, numbers and words of a fixed set.
//!
//! Wherever a value may be interpolated, a text with a `$` in it is accepted; what it becomes is not known here.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares a scalar: its name in the schema, and the schema itself.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident = $($schema:tt)+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}

/// Names of machines, steps and volumes; keys that begin with `x-` are ignored and are no names.
pub(super) const NAME_PATTERN: &str = "^(?!x-)[a-z0-9][a-z0-9_-]{0,62}$";
/// Keys that are ignored anywhere.
pub(super) const IGNORED_PATTERN: &str = "^x-";

scalar! {
    /// A name.
    Name = {
        "description": "A name: lower-case letters, digits, `_` and `-`, at most 63.",
        "type": "string",
        "pattern": "(^[a-z0-9][a-z0-9_-]{0,62}$|\\$)"
    }
}
scalar! {
    /// Text, which may be written as a number or a boolean.
    Text = { "description": "Text; a number or a boolean is taken as it is written.", "type": ["string", "number", "boolean"] }
}
scalar! {
    /// Text, or null to pass a variable on.
    EnvValue = {
        "description": "Text; null passes the variable of smolvm's own environment on, if it is set.",
        "type": ["string", "number", "boolean", "null"]
    }
}
scalar! {
    /// A size.
    Size = {
        "description": "A size: digits and KiB, MiB, GiB, TiB, kB, MB, GB or TB; a bare integer is MiB.",
        "anyOf": [
            { "type": "string", "pattern": "(^[0-9]+(KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$|\\$)" },
            { "type": "integer", "minimum": 0 }
        ],
        "examples": ["512MiB", "2GiB", 1024]
    }
}
scalar! {
    /// A duration.
    Duration = {
        "description": "A duration: hours, minutes, seconds, milliseconds, in this order, at least one of them.",
        "type": "string",
        "pattern": "(^(?=[0-9])([0-9]+h)?([0-9]+m(?!s))?([0-9]+s)?([0-9]+ms)?$|\\$)",
        "examples": ["10m", "1h30m", "500ms"]
    }
}
scalar! {
    /// A path on the host.
    HostPath = {
        "description": "A path on the host: absolute, below `~/`, or relative to the file that says it.",
        "type": "string",
        "minLength": 1
    }
}
scalar! {
    /// An absolute path in the guest.
    GuestPath = {
        "description": "An absolute path in the guest, without `..`.",
        "type": "string",
        "pattern": "(^/(?!(.*/)?\\.\\.(/|$))|\\$)"
    }
}
scalar! {
    /// An absolute path or pattern in the guest.
    GuestPattern = {
        "description": "An absolute path or glob in the guest, without `..`.",
        "type": "string",
        "pattern": "(^/(?!(.*/)?\\.\\.(/|$))|\\$)"
    }
}
scalar! {
    /// A number of at least one.
    Count = {
        "description": "A whole number, at least 1.",
        "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "\\$" }]
    }
}
scalar! {
    /// True or false.
    Flag = {
        "description": "`true` or `false`.",
        "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "\\$" }]
    }
}
scalar! {
    /// What runs.
    CommandLine = {
        "description": "A string runs under `shell`; a list runs as it is, with no shell.",
        "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "minItems": 1, "items": { "type": "string" } }
        ]
    }
}
scalar! {
    /// A shell.
    Shell = {
        "description": "The program, or the program and its arguments, to which the script's file name is added.",
        "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "minItems": 1, "items": { "type": "string" } }
        ],
        "examples": ["bash", ["bash", "-euo", "pipefail"], ["python3"]]
    }
}
scalar! {
    /// When a service is started again.
    Restart = { "anyOf": [{ "enum": ["no", "on-failure", "always"] }, { "type": "string", "pattern": "\\$" }] }
}
scalar! {
    /// How a share is cached in the guest.
    Cache = { "anyOf": [{ "enum": ["auto", "always", "never"] }, { "type": "string", "pattern": "\\$" }] }
}
scalar! {
    /// A published port.
    Port = {
        "description": "`[HOST_IP:]HOST:GUEST`, TCP. IPv6 in brackets; host port 0 is any free one.",
        "type": "string",
        "pattern": "(^((\\[[0-9A-Fa-f:]+\\]|[0-9.]+):)?[0-9]{1,5}:[0-9]{1,5}$|\\$)",
        "examples": ["5432:5432", "127.0.0.1:0:8080"]
    }
}
scalar! {
    /// Whom outputs are given to.
    Chown = { "description": "`true` for the invoking user, or ids or names as for `owner`.", "type": ["boolean", "string", "integer"] }
}
scalar! {
    /// The disk behind `/workspace`.
    Workspace = {
        "description": "A size, or `false` for no workspace.",
        "anyOf": [
            { "type": "string", "pattern": "(^[0-9]+(KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$|\\$)" },
            { "type": "integer", "minimum": 0 },
            { "const": false }
        ]
    }
}
