//! A command that runs: its streams as they come, and its end. It is ended when nobody waits for it any more.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::error::MachineError;
use super::result::ExecResult;
use super::running::Commands;
use crate::guest::{CommandEnd, CommandInput, CommandOutput, Output, Stream};
use crate::run::{ExecControl, GuestExec};

/// Most that is kept of what a command writes on each stream, in bytes.
pub(super) const OUTPUT_MAX: usize = 64 << 20;

/// Between TERM and KILL of a command that is out of time, or that nobody waits for any more.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A command that runs in a machine. Dropped, it is ended, and all that it started.
///
/// ```no_run
/// # async fn example(machine: smolvm::Machine) -> Result<(), smolvm::MachineError> {
/// let mut build = machine.spawn(["make", "-j"]).await?;
/// while let Some(output) = build.next().await {
///     println!("{:?}: {}", output.stream, String::from_utf8_lossy(&output.bytes));
/// }
/// println!("exit code {}", build.wait().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Execution {
    /// Its standard input, where the caller gives it. Who reads and writes at the same time takes it out.
    pub stdin: Option<ExecInput>,
    output: CommandOutput,
    end: End,
    control: EndOnDrop,
    commands: Commands,
}

/// Standard input of a command; dropped, it is at its end.
#[derive(Debug)]
pub struct ExecInput(CommandInput);

/// The end of a command.
#[derive(Debug)]
enum End {
    /// It is waited for, and its time is watched, by a task: also while nobody asks.
    Coming(JoinHandle<Ended>),
    Known(Ended),
}

/// How a command ended.
#[derive(Debug, Clone, Copy)]
struct Ended {
    /// `None` where its machine ended before.
    exit_code: Option<i32>,
    /// The time that it ran out of.
    timeout: Option<Duration>,
}

impl ExecInput {
    /// Gives the command bytes, all of them, once there is room. Dropped on the way, part of them may have been given.
    ///
    /// # Errors
    /// `BrokenPipe` where the command takes no more: it has closed its input, or ended.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.0.write(bytes).await { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

impl Execution {
    /// A command that has been started. Must be called within a tokio runtime.
    pub(super) fn new(
        started: GuestExec,
        stdin: Option<Vec<u8>>,
        timeout: Option<Duration>,
        commands: Commands,
    ) -> Self {
        let GuestExec { input, output, end, control } = started;
        let end = End::Coming(tokio::spawn(watch(end, timeout, control.clone())));
        let stdin = match stdin {
            None => Some(ExecInput(input)),
            Some(bytes) => {
                let mut input = input;
                // The command may take none of it; the task ends with the command's end of the stream.
                tokio::spawn(async move { input.write(&bytes).await });
                None
            }
        };
        Self { stdin, output, end, control: EndOnDrop(Some(control)), commands }
    }

    /// What the command wrote next, a piece as it came; `None` when there is nothing more. Who does not ask holds the
    /// command back. May be dropped without loss.
    pub async fn next(&mut self) -> Option<Output> {
        self.output.next().await
    }

    /// Waits for its end, and gives its exit code: 128 and the number of the signal where one ended it. Its input ends here,
    /// unless that was taken out, and what it writes meanwhile is thrown away. May be dropped: a later one goes on.
    ///
    /// # Errors
    /// [`MachineError::TimedOut`], or [`MachineError::Failed`] where the machine ended before.
    pub async fn wait(&mut self) -> Result<i32, MachineError> {
        self.stdin = None;
        while self.next().await.is_some() {}
        self.end().await
    }

    /// Sends a signal, by its number, to its process group. Nothing happens where it has ended.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub async fn signal(&self, number: i32) -> Result<(), MachineError> {
        let Some(control) = &self.control.0 else { return Ok(()) };
        control.signal(number).await.map_err(|error| MachineError::Failed { cause: error.to_string() })
    }

    /// Takes all of its output, and its end.
    pub(super) async fn collect(mut self) -> Result<ExecResult, MachineError> {
        let mut kept = Kept::default();
        while let Some(output) = self.next().await {
            kept.take(output)?;
        }
        match self.end().await {
            Ok(exit_code) => Ok(kept.result(exit_code)),
            Err(MachineError::TimedOut { timeout, .. }) => Err(kept.timed_out(timeout)),
            Err(error) => Err(error),
        }
    }

    /// Waits for the end, once there is no more output.
    async fn end(&mut self) -> Result<i32, MachineError> {
        let ended = match &mut self.end {
            End::Known(ended) => *ended,
            // A task that is no more has gone with its runtime.
            End::Coming(coming) => coming.await.unwrap_or(Ended { exit_code: None, timeout: None }),
        };
        self.end = End::Known(ended);
        self.control.0 = None;
        match ended {
            Ended { timeout: Some(timeout), .. } => Err(Kept::default().timed_out(timeout)),
            Ended { exit_code: Some(exit_code), .. } => Ok(exit_code),
            _ => Err(MachineError::Failed { cause: self.commands.cause().await }),
        }
    }
}

/// Waits for the end of a command, and ends it where its time is over.
async fn watch(end: CommandEnd, timeout: Option<Duration>, control: ExecControl) -> Ended {
    let mut ended = pin!(end.wait());
    let time = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let in_time = tokio::select! {
        biased;
        ended = &mut ended => Some(ended),
        () = time => None,
    };
    let (ended, timeout) = match in_time {
        Some(ended) => (ended, None),
        None => {
            // Where the machine is gone, so is the command.
            let _ = control.terminate(LAST_GRACE).await;
            (ended.await, timeout)
        }
    };
    Ended { exit_code: ended.map(|(status, _)| status.shell_code()), timeout }
}

/// What is kept of a command's output.
#[derive(Debug, Default)]
pub(super) struct Kept {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Kept {
    /// Takes a piece.
    ///
    /// # Errors
    /// Where it is too much.
    pub(super) fn take(&mut self, output: Output) -> Result<(), MachineError> {
        let to = if output.stream == Stream::Stdout { &mut self.stdout } else { &mut self.stderr };
        if to.len() + output.bytes.len() > OUTPUT_MAX {
            return Err(MachineError::TooMuchOutput { limit: OUTPUT_MAX });
        }
        to.extend(output.bytes);
        Ok(())
    }

    /// With the end of the command.
    pub(super) fn result(self, exit_code: i32) -> ExecResult {
        ExecResult { stdout: self.stdout, stderr: self.stderr, exit_code }
    }

    /// What a command wrote that ran out of time.
    pub(super) fn timed_out(self, timeout: Duration) -> MachineError {
        MachineError::TimedOut { timeout, stdout: self.stdout, stderr: self.stderr }
    }
}

/// A command whose caller goes away is ended.
#[derive(Debug)]
struct EndOnDrop(Option<ExecControl>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let Some(control) = self.0.take() else { return };
        // Without a runtime the machine goes as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { control.terminate(LAST_GRACE).await });
        }
    }
}
