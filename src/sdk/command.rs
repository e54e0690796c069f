//! What a command is to be: its words, and what it gets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::MachineError;
use crate::guest::Streams;
use crate::plan::GuestPath;
use crate::run::ExecRequest;

/// Code of a command whose working folder cannot be one.
const CANNOT_RUN: i32 = 126;

/// A command. Its words alone are one, wherever one is asked for; what it gets besides is written in this form:
///
/// ```
/// use std::time::Duration;
///
/// use smolvm::ExecSpec;
///
/// let command = ExecSpec {
///     stdin: Some(b"3\n1\n2\n".to_vec()),
///     timeout: Some(Duration::from_secs(10)),
///     ..ExecSpec::from(["sort", "-n"])
/// };
/// assert_eq!(command.command, ["sort", "-n"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments; no shell is between.
    pub command: Vec<String>,
    /// Environment above that of the machine.
    pub env: BTreeMap<String, String>,
    /// Working folder, absolute; the machine's by default.
    pub working_dir: Option<String>,
    /// User: `name`, `uid`, `uid:gid`; the machine's by default.
    pub user: Option<String>,
    /// All of its standard input. Without it the input is empty, but for [`Machine::spawn`](super::Machine::spawn), which
    /// then gives the caller its writing end.
    pub stdin: Option<Vec<u8>>,
    /// How long it may run; then it and all that it started get SIGTERM, and SIGKILL a second later.
    pub timeout: Option<Duration>,
}

impl<I> From<I> for ExecSpec
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    fn from(words: I) -> Self {
        Self { command: words.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl ExecSpec {
    /// The working folder as the guest has it.
    pub(super) fn folder(&self) -> Result<Option<GuestPath>, MachineError> {
        let Some(text) = &self.working_dir else { return Ok(None) };
        let cause = || format!("working folder `{text}` is no absolute path without `..`");
        let failed = || MachineError::Command { exit_code: CANNOT_RUN, cause: cause() };
        GuestPath::parse(text).map(Some).ok_or_else(failed)
    }

    /// What a machine that is up is asked; input and time are not its matter.
    pub(super) fn request(self) -> Result<ExecRequest, MachineError> {
        if self.command.is_empty() {
            return Err(MachineError::NoCommand);
        }
        let working_dir = self.folder()?;
        let Self { command, env, user, .. } = self;
        Ok(ExecRequest {
            command: command.into_iter().map(Into::into).collect(),
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            working_dir: working_dir.map(|folder| folder.as_str().into()),
            user,
            streams: Streams::Pipes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_alone_are_a_command() {
        let words = ExecSpec { command: vec!["cat".to_owned(), "/x".to_owned()], ..ExecSpec::default() };
        assert_eq!(ExecSpec::from(["cat", "/x"]), words);
        assert_eq!(ExecSpec::from(vec!["cat".to_owned(), "/x".to_owned()]), words);
        assert_eq!(ExecSpec::from("cat /x".split(' ')), words);
    }

    #[test]
    fn what_cannot_be_run_is_told_before_the_guest_is_asked() {
        assert!(matches!(ExecSpec::default().request(), Err(MachineError::NoCommand)));
        for folder in ["code", "", "/a/../b", "/a\0b"] {
            let spec = ExecSpec { working_dir: Some(folder.to_owned()), ..ExecSpec::from(["true"]) };
            assert!(matches!(spec.request(), Err(MachineError::Command { exit_code: 126, .. })), "{folder:?}");
        }
    }
}
