//! A command with a connection of its own: its input as bytes, its output as frames, its end on the session.
//!
//! Each part may be dropped alone. The input dropped is its end for the command; input and output dropped closes the
//! command's outputs, and hangs its terminal up. Nothing is held here but one frame: who writes waits for the command,
//! who is slow to read holds the command back.

use std::io;
use std::os::fd::OwnedFd;

use smolvm_agent::{ANSWER_MAX, Attach, ExitStatus, Report, Stream, encode};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::error::SessionError;
use super::frames::FrameReader;

/// The three parts of a command.
#[derive(Debug)]
pub struct CommandStream {
    /// Where its input goes.
    pub input: CommandInput,
    /// Where its output comes from.
    pub output: CommandOutput,
    /// How it will end.
    pub end: CommandEnd,
}

/// Input of a command; dropped, it is at its end.
#[derive(Debug)]
pub struct CommandInput(OwnedWriteHalf);

/// Output of a command.
#[derive(Debug)]
pub struct CommandOutput {
    reader: FrameReader<OwnedReadHalf>,
    exec: u64,
}

/// The end of a command that is to come.
#[derive(Debug)]
pub struct CommandEnd(oneshot::Receiver<Ended>);

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where.
    pub stream: Stream,
    /// What.
    pub bytes: Vec<u8>,
}

/// How a command ended, and whether the guest's kernel killed a process of it for want of memory.
pub(super) type Ended = (ExitStatus, bool);

impl CommandStream {
    pub(super) fn new(stream: UnixStream, exec: u64, end: oneshot::Receiver<Ended>) -> Self {
        let (read, write) = stream.into_split();
        Self {
            input: CommandInput(write),
            output: CommandOutput { reader: FrameReader::new(read, ANSWER_MAX), exec },
            end: CommandEnd(end),
        }
    }
}

/// The streams of a command as one descriptor, for another process. What it had written before is not lost.
///
/// # Errors
/// Where something was read from them already, or the runtime cannot let go of them.
pub fn hand_over(input: CommandInput, output: CommandOutput) -> io::Result<OwnedFd> {
    let read = output.reader.into_unread().ok_or_else(|| io::Error::other("output of the command was read already"))?;
    let stream = read.reunite(input.0).map_err(io::Error::other)?;
    Ok(stream.into_std()?.into())
}

/// The streams of a command of this number, from the descriptor that another process has handed over. Must be called
/// within a tokio runtime.
///
/// # Errors
/// Where the descriptor is no stream.
pub fn take_over(descriptor: OwnedFd, exec: u64) -> io::Result<(CommandInput, CommandOutput)> {
    let stream = std::os::unix::net::UnixStream::from(descriptor);
    stream.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(stream)?.into_split();
    Ok((CommandInput(write), CommandOutput { reader: FrameReader::new(read, ANSWER_MAX), exec }))
}

/// What the host says first on a stream, behind its greeting.
pub(super) fn opening(exec: u64) -> Result<Vec<u8>, SessionError> {
    encode(&Attach { exec }, ANSWER_MAX).map_err(|source| SessionError::TooLong { source })
}

impl CommandInput {
    /// Gives the command bytes, once there is room for them; tells whether it takes more.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }
}

impl CommandOutput {
    /// What the command wrote next. There is nothing more where the command has ended, or the guest has broken the
    /// protocol. May be canceled without loss.
    pub async fn next(&mut self) -> Option<Output> {
        match self.reader.next::<Report>().await {
            Ok(Report::Output { exec, stream, bytes }) if exec == self.exec => Some(Output { stream, bytes: bytes.0 }),
            Ok(_) | Err(_) => None,
        }
    }
}

impl CommandEnd {
    /// Waits for the end: how it was, and whether the guest's kernel killed a process of the command for want of
    /// memory; `None` where the session ended before. Output may still come.
    pub async fn wait(self) -> Option<(ExitStatus, bool)> {
        self.0.await.ok()
    }
}
