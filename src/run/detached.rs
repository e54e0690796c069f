//! A command in a machine that nobody waits for: it goes on until it ends or its machine does, and what it writes is its
//! machine's output, in the log and to whoever follows.
//!
//! Deliberately not here: how it is started (`outside`).

use super::chunk::LineChunks;
use super::input::{MachineInput, RunInput, StartFailure};
use super::outside::{ExecRequest, Guest, GuestExec};
use super::worker::Workers;
use crate::event::Stream as EventStream;
use crate::guest::{CommandOutput, Output, Stream, Streams};

impl Guest {
    /// Starts a command that is on its own from then on: its input is empty, and it gets three pipes.
    ///
    /// # Errors
    /// Why it did not start, as with [`Guest::exec`].
    pub async fn exec_detached(&self, request: ExecRequest) -> Result<(), StartFailure> {
        let GuestExec { input, output, .. } = self.exec(ExecRequest { streams: Streams::Pipes, ..request }).await?;
        drop(input);
        let (workers, machine) = self.home();
        let inbox = workers.clone();
        workers.spawn(machine, async move { tell_output(output, &inbox, machine).await });
        Ok(())
    }
}

/// Tells what a command writes, line by line, so that it does not mix with the lines of others.
async fn tell_output(mut output: CommandOutput, workers: &Workers, machine: usize) {
    let mut chunks = [LineChunks::default(), LineChunks::default()];
    let kinds = [EventStream::Stdout, EventStream::Stderr];
    while let Some(Output { stream, bytes }) = output.next().await {
        let slot = usize::from(stream == Stream::Stderr);
        if let Some(lines) = chunks[slot].push(&bytes) {
            tell(workers, machine, kinds[slot], lines).await;
        }
    }
    for (chunks, kind) in chunks.iter_mut().zip(kinds) {
        if let Some(mut rest) = chunks.finish() {
            // What others write begins with a line of its own.
            rest.push(b'\n');
            tell(workers, machine, kind, rest).await;
        }
    }
}

async fn tell(workers: &Workers, machine: usize, stream: EventStream, bytes: Vec<u8>) {
    // The inbox is closed only when the run is over. Where it is full, the command is held back.
    let _ = workers.inbox.send(RunInput::Machine(machine, MachineInput::Written(stream, bytes))).await;
}
