//! Runs a tool of the distribution to its end and keeps what it said. It does not outlive us.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::sys::child::{self, ChildExit, ChildSpec, ChildStdio};

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
    spec: ChildSpec,
    program: String,
}

impl Tool {
    /// A tool that speaks English and asks nothing.
    pub(crate) fn new(program: &str) -> Tool {
        let mut spec = ChildSpec::new(program);
        let ours = std::env::vars_os().filter(|(name, _)| name != "LC_ALL");
        spec.env = Some(ours.chain([("LC_ALL".into(), "C.UTF-8".into())]).collect());
        Tool { spec, program: program.to_owned() }
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Tool {
        self.spec.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it in this folder; arguments may follow.
    pub(crate) fn folder(mut self, folder: &Path) -> Tool {
        let program = std::mem::replace(&mut self.spec.program, "env".into());
        self.spec.args.splice(0..0, ["-C".as_ref(), folder.as_os_str(), program.as_os_str()].map(OsStr::to_owned));
        self
    }

    /// Reads its input from here.
    pub(crate) fn input(mut self, input: File) -> Tool {
        self.spec.stdin = ChildStdio::Fd(input.into());
        self
    }

    /// Writes its output there; [`Tool::run`] then gives nothing.
    pub(crate) fn output(mut self, output: File) -> Tool {
        self.spec.stdout = ChildStdio::Fd(output.into());
        self
    }

    /// Runs it; its standard output.
    pub(crate) fn run(mut self) -> Result<String, ToolError> {
        let program = self.program;
        let failed = |source| ToolError::Run { program: program.clone(), source };
        // Files in memory: whatever the tool writes first, nothing waits for a reader.
        let (mut output, mut errors) = (memory_file().map_err(failed)?, memory_file().map_err(failed)?);
        if matches!(self.spec.stdout, ChildStdio::Null) {
            self.spec.stdout = ChildStdio::Fd(duplicate(&output).map_err(failed)?);
        }
        self.spec.stderr = ChildStdio::Fd(duplicate(&errors).map_err(failed)?);
        let child = child::spawn(self.spec).map_err(failed)?;
        let exit = child.wait().map_err(failed)?;
        if exit == ChildExit::Code(0) {
            return read_back(&mut output).map_err(failed);
        }
        let said = read_back(&mut errors).map_err(failed)?;
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = match (lines.len(), exit) {
            (0, ChildExit::Code(code)) => format!("exit code {code}"),
            (0, ChildExit::Signal(signal)) => format!("signal {signal}"),
            (count, _) => lines[count.saturating_sub(LAST_LINES)..].join("; "),
        };
        Err(ToolError::Failed { program, said })
    }
}

fn memory_file() -> io::Result<File> {
    Ok(memfd_create("output", MemfdFlags::CLOEXEC)?.into())
}

fn duplicate(file: &File) -> io::Result<OwnedFd> {
    Ok(file.try_clone()?.into())
}

fn read_back(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        assert_eq!(error.to_string(), "`sh` failed: exit code 3");
        let error = Tool::new("no-such-program-anywhere").run().unwrap_err();
        assert!(matches!(error, ToolError::Run { .. }));
    }

    #[test]
    fn folder_input_and_output_are_as_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in"), "text").unwrap();
        let input = File::open(folder.path().join("in")).unwrap();
        let output = File::create(folder.path().join("out")).unwrap();
        let tool = Tool::new("sh").folder(folder.path()).args(["-c", "cat - in"]);
        assert_eq!(tool.input(input).output(output).run().unwrap(), "");
        assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "texttext");
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
