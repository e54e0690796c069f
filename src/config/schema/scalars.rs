//! The forms of single values: text, names, sizes, durations, paths, numbers and words of a fixed set.
//!
//! Wherever a value may be interpolated, a text with a `$` in it is accepted; what it becomes is not known here.
//! `errorMessage` is what `yaml-language-server` says in the place of the pattern; other programs pass over it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::model::Signal;

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
        "pattern": "(^[a-z0-9][a-z0-9_-]{0,62}$|\\$)",
        "errorMessage": "A name is lower-case letters, digits, `_` and `-`, at most 63, and begins with a letter or digit.",
        "examples": ["build", "unit-tests"]
    }
}
scalar! {
    /// The name of something else in the file.
    Reference = {
        "description": "A name; of what a matrix makes several, that of one has its values in brackets.",
        "type": "string",
        "pattern": "(^[a-z0-9][a-z0-9_-]{0,62}(\\[.+\\])?$|\\$)",
        "errorMessage": "A name is lower-case letters, digits, `_` and `-`; values of a matrix may follow in brackets.",
        "examples": ["build", "test[debian:12]"]
    }
}
scalar! {
    /// Text, which may be written as a number or a boolean.
    Text = {
        "description": "Text; a number or a boolean is taken as it is written.",
        "type": ["string", "number", "boolean"],
        "errorMessage": "Expected text."
    }
}
scalar! {
    /// Text, or null to pass a variable on.
    EnvValue = {
        "description": "Text; null passes the variable of smolvm's own environment on, if it is set.",
        "type": ["string", "number", "boolean", "null"],
        "errorMessage": "Expected text, or nothing to pass the variable of smolvm's own environment on."
    }
}
scalar! {
    /// A size.
    Size = {
        "description": "A size: digits and KiB, MiB, GiB, TiB, kB, MB, GB or TB; a bare integer is MiB.",
        "anyOf": [
            { "type": "string", "pattern": "(^[0-9]+(KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$|\\$)" },
            { "type": "integer", "minimum": 1 }
        ],
        "errorMessage": "A size is digits and a unit, as 512MiB or 2GiB (KiB, MiB, GiB, TiB, kB, MB, GB, TB); a bare integer is MiB.",
        "examples": ["512MiB", "2GiB", 1024]
    }
}
scalar! {
    /// A duration.
    Duration = {
        "description": "A duration: hours, minutes, seconds, milliseconds, in this order, at least one of them.",
        "type": "string",
        "pattern": "(^(?=[0-9])([0-9]+h)?([0-9]+m(?!s))?([0-9]+s)?([0-9]+ms)?$|\\$)",
        "errorMessage": "A duration is whole numbers with units, as 90s, 10m, 1h30m or 500ms.",
        "examples": ["10m", "1h30m", "500ms"]
    }
}
scalar! {
    /// A path on the host.
    HostPath = {
        "description": "A path on the host: absolute, below `~/`, or relative to the file that says it.",
        "type": "string",
        "pattern": "(^(~(/|$)|[^~\\s])[^\\n]*$|\\$)",
        "errorMessage": "Expected a path on the host: absolute, below ~/, or relative to this file.",
        "examples": ["./src", "~/data", "/srv/data"]
    }
}
scalar! {
    /// An absolute path in the guest.
    GuestPath = {
        "description": "An absolute path in the guest, without `..`.",
        "type": "string",
        "pattern": "(^/(?!(.*/)?\\.\\.(/|$))|\\$)",
        "errorMessage": "Expected an absolute path in the guest, without `..`, as /code.",
        "examples": ["/code"]
    }
}
scalar! {
    /// An absolute path or pattern in the guest.
    GuestPattern = {
        "description": "An absolute path or glob in the guest, without `..`.",
        "type": "string",
        "pattern": "(^/(?!(.*/)?\\.\\.(/|$))|\\$)",
        "errorMessage": "Expected an absolute path or glob in the guest, without `..`, as /output/app or /output/*.o.",
        "examples": ["/output/app", "/output/*.o"]
    }
}
scalar! {
    /// A number of at least one.
    Count = {
        "description": "A whole number, at least 1.",
        "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected a whole number, at least 1.",
        "examples": [2]
    }
}
scalar! {
    /// True or false.
    Flag = {
        "description": "`true` or `false`.",
        "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected true or false.",
        "examples": [true]
    }
}
scalar! {
    /// What runs.
    CommandLine = {
        "description": "A string runs under `shell`; a list runs as it is, with no shell.",
        "anyOf": [
            { "type": "string", "pattern": "\\S" },
            { "type": "array", "minItems": 1, "items": { "type": "string", "errorMessage": "Expected text: put it in quotes." } }
        ],
        "errorMessage": "Expected a command: text, which runs under `shell`, or a list, which runs with no shell.",
        "examples": ["make -C /code", ["/code/run-tests", "--report", "/reports/unit.xml"]]
    }
}
scalar! {
    /// A shell.
    Shell = {
        "description": "The program, or the program and its arguments, to which the script's file name is added.",
        "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "minItems": 1, "items": { "type": "string", "errorMessage": "Expected text: put it in quotes." } }
        ],
        "errorMessage": "Expected a program, or a list of a program and its arguments.",
        "examples": ["bash", ["bash", "-euo", "pipefail"], ["python3"]]
    }
}
scalar! {
    /// When a service is started again.
    Restart = {
        "anyOf": [{ "enum": ["no", "on-failure", "always"] }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected `no`, `on-failure` or `always`.",
        "examples": ["on-failure"]
    }
}
scalar! {
    /// The command of a healthcheck.
    HealthTest = {
        "description": "A string runs under `shell`; a list runs as it is, with no shell and without compose's `CMD`.",
        "anyOf": [
            { "type": "string", "pattern": "\\S", "not": { "const": "NONE" } },
            {
                "type": "array", "minItems": 1,
                "items": { "type": "string", "errorMessage": "Expected text: put it in quotes." },
                "not": { "prefixItems": [{ "enum": ["CMD", "CMD-SHELL", "NONE"] }] }
            }
        ],
        "errorMessage": "Expected a command: text, which runs under `shell`, or a list, which runs with no shell; without `CMD`.",
        "examples": ["pg_isready -q", ["pg_isready", "-q"]]
    }
}
scalar! {
    /// A signal.
    SignalName = {
        "description": "A signal: its name in any case, with or without `SIG`, or its number.",
        "anyOf": [
            { "type": "string", "pattern": signal_pattern() },
            { "type": "integer", "minimum": 1, "maximum": 64 }
        ],
        "errorMessage": "Expected a signal, as SIGINT, or a number from 1 to 64.",
        "examples": ["SIGINT"]
    }
}
scalar! {
    /// How a share is cached in the guest.
    Cache = {
        "anyOf": [{ "enum": ["auto", "always", "never"] }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected `auto`, `always` or `never`.",
        "examples": ["always"]
    }
}
scalar! {
    /// Kind of network.
    NetworkMode = {
        "anyOf": [{ "enum": ["none", "nat"] }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected `none` or `nat`.",
        "examples": ["nat"]
    }
}
scalar! {
    /// State of another machine.
    Condition = {
        "description": "`started`: its command runs; `healthy`: its healthcheck passed; `completed`: all its steps passed.",
        "anyOf": [{ "enum": ["started", "healthy", "completed"] }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected `started`, `healthy` or `completed`.",
        "examples": ["healthy"]
    }
}
scalar! {
    /// Kind of a mount.
    MountType = {
        "anyOf": [{ "enum": ["bind", "overlay", "volume", "tmpfs"] }, { "type": "string", "pattern": "\\$" }],
        "errorMessage": "Expected `bind`, `overlay`, `volume` or `tmpfs`.",
        "examples": ["tmpfs"]
    }
}
scalar! {
    /// A published port.
    Port = {
        "description": "`[HOST_IP:]HOST:GUEST`, TCP. IPv6 in brackets; host port 0 is any free one.",
        "type": "string",
        "pattern": "(^((\\[[0-9A-Fa-f:.]+\\]|[0-9.]+):)?[0-9]{1,5}:[0-9]{1,5}$|\\$)",
        "errorMessage": "A port is `[HOST_IP:]HOST:GUEST`, as \"5432:5432\" or \"127.0.0.1:0:8080\".",
        "examples": ["5432:5432", "127.0.0.1:0:8080"]
    }
}
scalar! {
    /// A service that may be reached.
    Link = {
        "description": "`MACHINE:PORT`.",
        "type": "string",
        "pattern": "(^[a-z0-9][a-z0-9_-]{0,62}(\\[.+\\])?:[0-9]{1,5}$|\\$)",
        "errorMessage": "A link is `MACHINE:PORT`, as \"db:5432\".",
        "examples": ["db:5432"]
    }
}
scalar! {
    /// Whom outputs are given to.
    Chown = {
        "description": "`true` for the invoking user, or ids or names as for `owner`.",
        "type": ["boolean", "string", "integer"],
        "errorMessage": "Expected `true`, or ids or names of this host, as \"1000:1000\".",
        "examples": [true, "1000:1000"]
    }
}
scalar! {
    /// The disk behind `/workspace`.
    Workspace = {
        "description": "A size, or `false` for no workspace.",
        "anyOf": [
            { "type": "string", "pattern": "(^[0-9]+(KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$|\\$)" },
            { "type": "integer", "minimum": 1 },
            { "const": false }
        ],
        "errorMessage": "Expected a size, as 20GiB, or false.",
        "examples": ["20GiB", false]
    }
}
scalar! {
    /// A range of versions.
    Versions = {
        "description": "A range of versions, as in Cargo.",
        "type": ["string", "number"],
        "pattern": "(^[^A-Za-z]*[0-9*]|\\$)",
        "errorMessage": "Expected a range of versions, as \">=0.1\".",
        "examples": [">=0.1", ">=0.1, <2"]
    }
}
scalar! {
    /// A root file system.
    Image = {
        "description": "`host`, `dir:PATH`, `oci:PATH`, `docker-archive:PATH`, or an OCI reference.",
        "type": "string",
        "pattern": "(^(?!(dir|oci|docker-archive):$)[^\\s]([^\\r\\n]*[^\\s])?$|\\$)",
        "errorMessage": "Expected `host`, `dir:PATH`, `oci:PATH`, `docker-archive:PATH`, or an image's reference, as debian:12.",
        "examples": ["host", "dir:./rootfs", "alpine:3.20"]
    }
}

/// Names in any case (a pattern has no sign for that), and numbers as text.
fn signal_pattern() -> String {
    let any_case = |name: &str| -> String {
        let letter =
            |c: char| if c.is_ascii_digit() { c.to_string() } else { format!("[{c}{}]", c.to_ascii_lowercase()) };
        name.chars().map(letter).collect()
    };
    let names: Vec<String> = Signal::names().map(any_case).collect();
    let offset = "([12]?[0-9]|30)";
    let real_time = format!("{}(\\+{offset})?|{}(-{offset})?", any_case("RTMIN"), any_case("RTMAX"));
    let numbers = "0*([1-9]|[1-5][0-9]|6[0-4])";
    format!("(^(({})?({}|{real_time})|{numbers})$|\\$)", any_case("SIG"), names.join("|"))
}
