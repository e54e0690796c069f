//! A command that somebody sits at: its input comes from them, and what it writes goes to them as it is, past events,
//! logs and the inbox.
//!
//! Deliberately not here: whose streams these are, and the modes of a terminal (`cli`).

use tokio::sync::{mpsc, watch};

use crate::guest::{CommandInput, CommandOutput, CommandStream, ExitStatus, Output, Session, Streams, TerminalSize};

/// Who sits at the command of a run. There is one; a run that is attended has one step.
pub trait Attend: Send + Sync {
    /// The kind of streams that the command gets.
    fn streams(&self) -> Streams;

    /// The command runs: from now on its streams are used.
    fn begin(&self) -> Attended;
}

/// The other ends of a command's streams. All of them are bounded, so that either side waits for the other.
#[derive(Debug)]
pub struct Attended {
    /// What the command is to read; its end is the end of the input. It is dropped when the command takes no more.
    pub input: mpsc::Receiver<Vec<u8>>,
    /// What the command writes; where the receiver is dropped, its outputs are closed.
    pub output: mpsc::Sender<Output>,
    /// The size of the terminal, where the command has one.
    pub size: watch::Receiver<TerminalSize>,
}

/// Carries input and output until the command has ended and all that it wrote was taken; tells how it ended, and whether
/// it ran out of memory. `None` where the session ended before.
pub(super) async fn attend(
    session: &Session,
    exec: u64,
    command: CommandStream,
    attended: Attended,
) -> Option<(ExitStatus, bool)> {
    let CommandStream { input, output, end } = command;
    // A terminal that cannot be told keeps its size.
    carry(input, output, attended, |size| async move { drop(session.resize(exec, size).await) }).await;
    end.wait().await
}

/// Carries input and output until all that the command wrote was taken; `resize` tells it of each other size.
pub async fn carry<R: Future<Output = ()>>(
    input: CommandInput,
    output: CommandOutput,
    attended: Attended,
    resize: impl Fn(TerminalSize) -> R,
) {
    let Attended { input: given, output: taken, mut size } = attended;
    let feeding = feed(input, given);
    let resizing = async {
        while size.changed().await.is_ok() {
            let now = *size.borrow_and_update();
            resize(now).await;
        }
    };
    let showing = show(output, taken);
    // Who is dropped closes its part of the stream.
    tokio::select! {
        () = async { tokio::join!(feeding, resizing); std::future::pending::<()>().await } => {}
        () = showing => {}
    }
}

async fn feed(mut input: CommandInput, mut given: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = given.recv().await {
        if !input.write(&bytes).await {
            return;
        }
    }
}

async fn show(mut output: CommandOutput, taken: mpsc::Sender<Output>) {
    while let Some(bytes) = output.next().await {
        if taken.send(bytes).await.is_err() {
            return;
        }
    }
}
