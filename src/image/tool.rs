//! Runs a tool of the distribution to its end and keeps what it said. It does not outlive us.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most lines of a failed tool that are repeated.
const LAST_LINES: usize = 4;

/// Why a tool gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It could not be started.
    #[error("cannot run `{program}`: {source}")]
    Run { program: String, source: io::Error },
    /// It ended otherwise than with 0.
    #[error("`{program}` failed: {said}")]
    Failed { program: String, said: String },
}

/// A tool with its arguments.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
}

impl Tool {
    /// A tool that speaks English and asks nothing.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Tool {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        Tool { command }
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Tool {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    /// Runs it in this folder.
    pub(crate) fn folder(mut self, folder: &Path) -> Tool {
        self.command.current_dir(folder);
        self
    }

    /// Reads its input from here.
    pub(crate) fn input(mut self, input: impl Into<Stdio>) -> Tool {
        self.command.stdin(input);
        self
    }

    /// Runs it; its standard output.
    pub(crate) fn run(mut self) -> Result<String, ToolError> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        crate::sys::die_with_parent::die_with_parent(&mut self.command);
        let output = match self.command.output() {
            Ok(output) => output,
            Err(source) => return Err(ToolError::Run { program, source }),
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = match lines.len() {
            0 => output.status.to_string(),
            count => lines[count.saturating_sub(LAST_LINES)..].join("; "),
        };
        Err(ToolError::Failed { program, said })
    }
}

/// Where a program is in `PATH`, with the places that an ordinary user's `PATH` may lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_a_tool_is_its_answer() {
        assert_eq!(Tool::new("sh").args(["-c", "echo yes; echo no >&2"]).run().unwrap(), "yes\n");
    }

    #[test]
    fn failed_tool_is_quoted() {
        let error = Tool::new("sh").args(["-c", "echo no such thing >&2; exit 3"]).run().unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: no such thing");
        let error = Tool::new("sh").args(["-c", "exit 3"]).run().unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: exit status: 3");
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
