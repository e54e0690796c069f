//! Mounts: the short form, and a long form for each type.

#![expect(dead_code, reason = "shapes for schemars; nothing makes values of them")]

use schemars::JsonSchema;

use super::scalars::{Cache, Flag, GuestPath, HostPath, Name, Size, Text};

/// A place in the guest that comes from elsewhere.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Mount {
    /// `SOURCE:TARGET[:ro|:rw]`. SOURCE is a host path where it begins with `.`, `/` or `~`, else a volume's name.
    Short(
        #[schemars(regex(pattern = r"(^[^:]+:/[^:]*(:(ro|rw))?$|\$)"), extend("examples" = ["./src:/code:ro"]))] String,
    ),
    /// A folder or file of the host.
    Bind(Bind),
    /// A folder of the host that the guest may write to without changing it.
    Overlay(Overlay),
    /// A named, persistent folder.
    Volume(VolumeMount),
    /// A folder in memory.
    Tmpfs(Tmpfs),
}

/// A folder or file of the host.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Bind {
    /// Kind of mount.
    #[schemars(rename = "type", extend("const" = "bind", "default" = "bind"))]
    kind: Option<String>,
    /// Host path, relative to this file.
    #[schemars(extend("examples" = ["./src"]))]
    source: HostPath,
    /// Mount point in the guest.
    #[schemars(extend("examples" = ["/code"]))]
    target: GuestPath,
    /// Whether the guest may not write; enforced on the host.
    #[schemars(extend("default" = false))]
    readonly: Option<Flag>,
    /// Whether a missing source, or a missing mount point in an outer mount, is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
    /// Who owns on the host what the guest creates: `invoker`, `guest`, or ids or names of the host.
    #[schemars(extend("default" = "invoker", "examples" = ["invoker", "guest", "1000:1000"]))]
    owner: Option<Text>,
    /// Who owns the files as the guest sees them. Default: the user of the step that runs.
    guest_owner: Option<Text>,
    /// How the guest caches it: `always` is for read-only mounts only.
    #[schemars(extend("default" = "auto"))]
    cache: Option<Cache>,
}

/// A folder of the host that the guest may write to without changing it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Overlay {
    /// Kind of mount.
    #[schemars(rename = "type", extend("const" = "overlay"))]
    kind: String,
    /// Host path, relative to this file.
    source: HostPath,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether a missing mount point in an outer mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
    /// Who owns the files as the guest sees them. Default: the machine's user.
    guest_owner: Option<Text>,
}

/// A named, persistent folder.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct VolumeMount {
    /// Kind of mount.
    #[schemars(rename = "type", extend("const" = "volume"))]
    kind: String,
    /// Name of the volume, declared below `volumes`.
    source: Name,
    /// Mount point in the guest.
    target: GuestPath,
    /// Whether the guest may not write.
    #[schemars(extend("default" = false))]
    readonly: Option<Flag>,
    /// Whether a missing mount point in an outer mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
}

/// A folder in memory.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("patternProperties" = { "^x-": true }))]
pub(super) struct Tmpfs {
    /// Kind of mount.
    #[schemars(rename = "type", extend("const" = "tmpfs"))]
    kind: String,
    /// Mount point in the guest.
    target: GuestPath,
    /// Most that it may hold. Default: half of the machine's memory.
    #[schemars(extend("examples" = ["512MiB"]))]
    size: Option<Size>,
    /// Whether a missing mount point in an outer mount is made on the host.
    #[schemars(extend("default" = false))]
    create: Option<Flag>,
}
