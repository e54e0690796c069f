//! Runs a tool of the distribution to its end and keeps what it said. It does not outlive us.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use super::waiter::{LOOK, Waiter};
use crate::sys::child::{self, Child, ChildExit, ChildSpec, ChildStdio};

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
    /// Nobody waits for what it makes any more.
    #[error("`{program}` was ended, because nobody waits for it any more")]
    NotWanted { program: String },
}

/// A tool with its arguments.
#[derive(Debug)]
pub(crate) struct Tool {
    spec: ChildSpec,
    program: String,
    /// The file that takes all that it says, where that is wanted.
    log: Option<PathBuf>,
}

impl Tool {
    /// A tool that speaks English and asks nothing.
    pub(crate) fn new(program: &str) -> Tool {
        let mut spec = ChildSpec::new(program);
        let ours = std::env::vars_os().filter(|(name, _)| name != "LC_ALL");
        spec.env = Some(ours.chain([("LC_ALL".into(), "C.UTF-8".into())]).collect());
        Tool { spec, program: program.to_owned(), log: None }
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

    /// Replaces our environment, but for where programs and the user's home are.
    pub(crate) fn clean_env(mut self, set: &[(&str, &OsStr)]) -> Tool {
        let kept = ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let set = set.iter().map(|(name, value)| (OsString::from(name), (*value).to_owned()));
        self.spec.env = Some(kept.chain([("LC_ALL".into(), "C.UTF-8".into())]).chain(set).collect());
        self
    }

    /// Adds all that it says, on both streams, to the end of a file. The last words of a failure are read from there.
    pub(crate) fn log(mut self, file: &Path) -> Tool {
        self.log = Some(file.to_owned());
        self
    }

    /// Runs it in a process namespace, so that all that it started ends with it however we end; without one where the
    /// host has none to give.
    pub(crate) fn alone(mut self, waiter: &dyn Waiter) -> Tool {
        let options = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--"];
        if Tool::new("unshare").args(options).args(["true"]).run(waiter).is_err() {
            return self;
        }
        let program = std::mem::replace(&mut self.spec.program, "unshare".into());
        let before = options.map(OsString::from).into_iter().chain([program.into_os_string()]);
        self.spec.args.splice(0..0, before);
        self
    }

    /// Runs it; its standard output. It is ended when the waiter leaves.
    pub(crate) fn run(mut self, waiter: &dyn Waiter) -> Result<String, ToolError> {
        // A file in memory: whatever the tool writes, it does not wait for a reader.
        let mut output = memory_file().map_err(|source| self.cannot_run(source))?;
        self.spec.stdout = ChildStdio::Fd(duplicate(&output).map_err(|source| self.cannot_run(source))?);
        let running = self.start()?;
        let program = running.program.clone();
        running.finish(waiter)?;
        read_back(&mut output).map_err(|source| ToolError::Run { program, source })
    }

    /// Runs it to its end; meanwhile `look` is called again and again.
    pub(crate) fn run_watched(
        self,
        waiter: &mut dyn Waiter,
        look: &mut dyn FnMut(&mut dyn Waiter),
    ) -> Result<(), ToolError> {
        self.start()?.finish_unless(&mut || {
            look(waiter);
            waiter.has_left()
        })
    }

    /// Runs it with its output as the input of another one. When we are killed the other one ends at once, and so
    /// does everything that this one started and that writes into the pipe.
    pub(crate) fn run_into(mut self, mut next: Tool, waiter: &dyn Waiter) -> Result<(), ToolError> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|source| self.cannot_run(source.into()))?;
        self.spec.stdout = ChildStdio::Fd(write);
        next.spec.stdin = ChildStdio::Fd(read);
        let (first, second) = (self.start()?, next.start()?);
        // The reader's complaint explains that of a writer whose pipe broke.
        second.finish(waiter).and(first.finish(waiter))
    }

    fn cannot_run(&self, source: io::Error) -> ToolError {
        ToolError::Run { program: self.program.clone(), source }
    }

    fn start(mut self) -> Result<Running, ToolError> {
        let errors = match &self.log {
            Some(log) => File::options().create(true).append(true).read(true).open(log),
            None => memory_file(),
        };
        let errors = errors.map_err(|source| self.cannot_run(source))?;
        self.spec.stderr = ChildStdio::Fd(duplicate(&errors).map_err(|source| self.cannot_run(source))?);
        if self.log.is_some() {
            self.spec.stdout = ChildStdio::Fd(duplicate(&errors).map_err(|source| self.cannot_run(source))?);
        }
        let Tool { spec, program, log: _ } = self;
        match child::spawn(spec) {
            Ok(child) => Ok(Running { child, program, errors }),
            Err(source) => Err(ToolError::Run { program, source }),
        }
    }
}

/// A tool that was started.
#[derive(Debug)]
struct Running {
    child: Child,
    program: String,
    errors: File,
}

impl Running {
    fn finish(self, waiter: &dyn Waiter) -> Result<(), ToolError> {
        self.finish_unless(&mut || waiter.has_left())
    }

    /// Waits for its end; it is ended where the question, asked again and again, is answered with yes.
    fn finish_unless(mut self, is_over: &mut dyn FnMut() -> bool) -> Result<(), ToolError> {
        let program = self.program;
        let failed = |source| ToolError::Run { program: program.clone(), source };
        let exit = loop {
            if let Some(exit) = self.child.wait_for(LOOK).map_err(failed)? {
                break exit;
            }
            if is_over() {
                self.child.kill_group();
                return Err(ToolError::NotWanted { program });
            }
        };
        if exit == ChildExit::Code(0) {
            return Ok(());
        }
        let said = read_back(&mut self.errors).map_err(failed)?;
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

    fn patient(_: &str) {}

    struct Gone;

    impl Waiter for Gone {
        fn tell(&mut self, _: &str) {}
        fn has_left(&self) -> bool {
            true
        }
    }

    #[test]
    fn tool_that_nobody_waits_for_ends_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        // The shell's child holds the lock: it is free when both have ended.
        let script = "exec 9>lock; flock 9; sleep 1000; true";
        let error = Tool::new("sh").folder(folder.path()).args(["-c", script]).run(&Gone).unwrap_err();
        assert!(matches!(error, ToolError::NotWanted { .. }), "{error}");
        let lock = File::create(folder.path().join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    }

    #[test]
    fn output_of_a_tool_is_its_answer() {
        assert_eq!(Tool::new("sh").args(["-c", "echo yes; echo no >&2"]).run(&patient).unwrap(), "yes\n");
    }

    #[test]
    fn failed_tool_is_quoted() {
        let error = Tool::new("sh").args(["-c", "echo no such thing >&2; exit 3"]).run(&patient).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: no such thing");
        let error = Tool::new("sh").args(["-c", "exit 3"]).run(&patient).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: exit code 3");
        let error = Tool::new("no-such-program-anywhere").run(&patient).unwrap_err();
        assert!(matches!(error, ToolError::Run { .. }));
    }

    #[test]
    fn log_of_a_tool_has_both_streams_and_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let tool = |script: &str| Tool::new("sh").args(["-c", script]).log(&log);
        tool("echo one; echo two >&2").run_watched(&mut patient, &mut |_| {}).unwrap();
        let error = tool("echo three; exit 1").run_watched(&mut patient, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: one; two; three");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn clean_environment_holds_what_is_set() {
        let script = "test -n \"$PATH\" && test \"$A\" = b && test -z \"$CARGO\"";
        Tool::new("sh").args(["-c", script]).clean_env(&[("A", OsStr::new("b"))]).run(&patient).unwrap();
    }

    #[test]
    fn tool_that_is_alone_has_its_folder_and_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let tool = Tool::new("sh").args(["-c", "echo text > file; exit 3"]).folder(folder.path()).alone(&patient);
        assert_eq!(tool.run(&patient).unwrap_err().to_string(), "`sh` failed: exit code 3");
        assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "text\n");
    }

    #[test]
    fn one_tool_feeds_another_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let writer = || Tool::new("sh").args(["-c", "printf text"]);
        writer().run_into(Tool::new("sh").folder(folder.path()).args(["-c", "cat > out"]), &patient).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "text");
        let error = writer().run_into(Tool::new("sh").args(["-c", "echo full >&2; exit 2"]), &patient).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: full");
        let error = Tool::new("sh").args(["-c", "exit 5"]).run_into(Tool::new("cat"), &patient).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed: exit code 5");
    }

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
