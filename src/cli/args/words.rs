//! Words that flags take. Not here: the flags.

use clap::ValueEnum;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// `tty` on a terminal, else `plain`
    Auto,
    /// A block that is drawn again and again
    Tty,
    /// Lines with time and step
    Plain,
    /// One event a line, as JSON
    Json,
    /// Failures only
    Quiet,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Color {
    /// On terminals; `NO_COLOR` and `CLICOLOR_FORCE` are heeded
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What runs machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// The best one that this host can run
    Auto,
    /// QEMU
    Qemu,
    /// Our own, on KVM (not there yet)
    Kvm,
}

/// What runs their CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accel {
    /// KVM where a probe finds it fast, else emulation
    Auto,
    /// Hardware virtualization
    Kvm,
    /// Emulation
    Tcg,
}

/// How the root of an image is given to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RootForm {
    /// The quickest that the kernel has
    Auto,
    /// Served file by file
    Virtiofs,
    /// As a disk
    Erofs,
}

/// Exit code of a failed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExitCodeRule {
    /// The code of the first step, in file order, that failed
    First,
    /// 1
    Fixed,
}

/// Form of remarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// With the lines of the file
    Full,
    /// A line each
    Concise,
    /// One object
    Json,
    /// A SARIF 2.1.0 log, for code scanning
    Sarif,
    /// Annotations of GitHub Actions, a line each
    Github,
}

/// What fails a check besides errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deny {
    /// Warnings
    Warnings,
}

/// Form of a resolved file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigFormat {
    /// As the file itself
    Yaml,
    /// The same, for programs
    Json,
}

/// Form of what a verb prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    /// For people
    Text,
    /// For programs
    Json,
}
