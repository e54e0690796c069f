//! A project whose machines stay up while something is measured in them. Not here: bare QEMU.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// It goes down with the value.
pub(crate) struct Held {
    folder: PathBuf,
}

impl Held {
    /// Brings up what the text says, in a folder.
    pub(crate) fn up(folder: &Path, text: &str) -> Self {
        fs::write(folder.join("smolvm.yaml"), text).expect("the build's folder can be written");
        let held = Self { folder: folder.to_owned() };
        let status = held.command(["--progress", "quiet", "up", "-d"]).status().expect("smolvm runs");
        assert!(status.success(), "the machines do not come up: {status}");
        held
    }

    /// smolvm, about this project.
    pub(crate) fn command<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm"));
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", crate::bare::cache()).env("XDG_STATE_HOME", self.folder.join("state"));
        command
    }

    /// Port of the host that a port of a machine is published by.
    pub(crate) fn port(&self, machine: &str, port: u16) -> u16 {
        let output = self.command(["port", machine, &port.to_string()]).output().expect("smolvm runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let port = text.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.unwrap_or_else(|| panic!("no port in `{text}`"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What could not be ended is told by the command itself.
        let _ = self.command(["--progress", "quiet", "down"]).status();
    }
}
