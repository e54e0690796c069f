//! What a child is told.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// Where a standard stream of a child goes.
#[derive(Debug, Default)]
pub enum ChildStdio {
    /// To or from `/dev/null`.
    #[default]
    Null,
    /// To or from this descriptor.
    Fd(OwnedFd),
    /// To or from ours.
    Inherit,
}

/// With whose rights a child runs; changing them needs root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildIdentity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What to run.
#[derive(Debug)]
pub struct ChildSpec {
    /// The program; a bare name is looked up in `PATH`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// The whole environment, or `None` for ours.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// Standard input.
    pub stdin: ChildStdio,
    /// Standard output.
    pub stdout: ChildStdio,
    /// Standard error.
    pub stderr: ChildStdio,
    /// Descriptors and the numbers (from 3 on) under which the child finds them.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Another identity than ours.
    pub identity: Option<ChildIdentity>,
    /// A Landlock domain for it, with which goes `no_new_privs`.
    pub domain: Option<OwnedFd>,
}

impl ChildSpec {
    /// A program without arguments, with our environment, `/dev/null` as its streams and no further descriptor.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: None,
            stdin: ChildStdio::Null,
            stdout: ChildStdio::Null,
            stderr: ChildStdio::Null,
            fds: Vec::new(),
            identity: None,
            domain: None,
        }
    }
}
