//! The output of one command: from its two pipes, or its terminal, to the host.
//!
//! ```text
//! stdout ─┐                      ┌─ Output… until the process ends, then what is in the pipes, then Exited
//! stderr ─┼─► poll, read, send ──┤
//! end ────┘                      └─ Log… for what background processes write later, until they close the pipes
//! ```
//!
//! Sending blocks while the host does not read, the pipe fills, and the command waits: memory stays bounded. Where the
//! host does not want the output any more, the pipes are closed, as by a reader that is gone.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use smolvm_agent::{Bytes, ExitStatus, Report, Stream};

use crate::sys::{self, Readiness};
use crate::wire::CHUNK;

/// What a terminal may hold when the process in it ends, in bytes: more comes from who still writes.
const TERMINAL_MAX: usize = 256 << 10;

/// Where the agent's ends of a command's pipes are.
#[derive(Debug)]
pub(crate) struct Pump {
    pub(crate) exec: u64,
    pub(crate) stdout: File,
    /// `None` where it is a terminal.
    pub(crate) stderr: Option<File>,
    /// Gives the wait status when the process ends.
    pub(crate) end: File,
}

impl Pump {
    /// Sends everything; returns when all writers have closed the pipes. `send` tells whether more is wanted.
    /// `has_run_out_of_memory` is asked once, at the end of the process.
    pub(crate) fn run(self, send: &dyn Fn(Report) -> bool, has_run_out_of_memory: &dyn Fn() -> bool) {
        let exec = self.exec;
        let mut pipes = [(Stream::Stdout, Some(self.stdout)), (Stream::Stderr, self.stderr)];
        let is_terminal = pipes[1].1.is_none();
        let mut end = Some(self.end);
        let mut buffer = vec![0; CHUNK];
        while end.is_some() || pipes.iter().any(|(_, pipe)| pipe.is_some()) {
            let waited = [pipes[0].1.as_ref(), pipes[1].1.as_ref(), end.as_ref()];
            let Ok([out, err, ended]) = sys::poll(waited.map(|file| file.map(AsFd::as_fd)), Readiness::Input, None)
            else {
                break;
            };
            if ended {
                let status = end.take().and_then(read_wait_status);
                for (stream, pipe) in &mut pipes {
                    let unread = pipe.as_ref().and_then(|pipe| sys::unread_bytes(pipe.as_fd()).ok()).unwrap_or(0);
                    // What a terminal holds is known when nothing more comes out of it.
                    let left = if is_terminal { TERMINAL_MAX } else { unread };
                    let mut send = |bytes| send(Report::Output { exec, stream: *stream, bytes });
                    drain(pipe, &mut buffer, left, &mut send);
                }
                let is_out_of_memory = has_run_out_of_memory();
                send(Report::Exited { exec, status: exit_status(status.unwrap_or(0)), is_out_of_memory });
                continue;
            }
            let mut is_wanted = true;
            for ((stream, pipe), is_ready) in pipes.iter_mut().zip([out, err]) {
                if is_ready && let Some(bytes) = read_some(pipe, &mut buffer) {
                    let bytes = Bytes(bytes.to_vec());
                    is_wanted &= send(match end {
                        Some(_) => Report::Output { exec, stream: *stream, bytes },
                        None => Report::Log { bytes },
                    });
                }
            }
            if !is_wanted {
                pipes.iter_mut().for_each(|(_, pipe)| *pipe = None);
            }
        }
    }
}

/// Sends what a pipe holds now, at most `left` bytes, and no more: a background process may go on writing for ever.
fn drain(pipe: &mut Option<File>, buffer: &mut [u8], mut left: usize, send: &mut dyn FnMut(Bytes) -> bool) {
    while left > 0 {
        let part = left.min(buffer.len());
        let Some(bytes) = read_some(pipe, &mut buffer[..part]) else {
            return;
        };
        left -= bytes.len();
        if !send(Bytes(bytes.to_vec())) {
            return;
        }
    }
}

/// Reads once; at the end of the pipe there is nothing, and the pipe is closed. So it is when the last process has left
/// a terminal, whose end is an error; one that only has nothing to say stays open.
fn read_some<'a>(pipe: &mut Option<File>, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    match pipe.as_mut()?.read(buffer) {
        Ok(count) if count > 0 => Some(&buffer[..count]),
        Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => None,
        _ => {
            *pipe = None;
            None
        }
    }
}

fn read_wait_status(mut end: File) -> Option<i32> {
    let mut status = [0; 4];
    end.read_exact(&mut status).ok()?;
    Some(i32::from_ne_bytes(status))
}

/// What a wait status means.
fn exit_status(wait_status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(wait_status) {
        ExitStatus::Signal(libc::WTERMSIG(wait_status))
    } else {
        ExitStatus::Code(libc::WEXITSTATUS(wait_status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe;
    use std::cell::RefCell;
    use std::io::Write;
    use std::sync::mpsc;
    use std::thread;

    /// A pump on a thread, and the far ends of its pipes: stdout, stderr, end.
    fn pump() -> (File, File, File, mpsc::Receiver<Report>, thread::JoinHandle<()>) {
        let (stdout, out) = pipe().expect("a pipe");
        let (stderr, err) = pipe().expect("a pipe");
        let (end, told) = pipe().expect("a pipe");
        let (sender, reports) = mpsc::channel();
        let pump = Pump { exec: 7, stdout, stderr: Some(stderr), end };
        let thread = thread::spawn(move || {
            pump.run(&|report| sender.send(report).is_ok(), &|| false);
        });
        (out, err, told, reports, thread)
    }

    fn output(stream: Stream, bytes: &[u8]) -> Report {
        Report::Output { exec: 7, stream, bytes: Bytes(bytes.to_vec()) }
    }

    #[test]
    fn end_is_told_after_the_output_and_background_output_is_log() {
        let (mut out, mut err, mut told, reports, thread) = pump();
        out.write_all(b"one\xff").expect("the pump reads");
        assert_eq!(reports.recv(), Ok(output(Stream::Stdout, b"one\xff")));
        err.write_all(b"two").expect("the pump reads");
        assert_eq!(reports.recv(), Ok(output(Stream::Stderr, b"two")));
        told.write_all(&(3i32 << 8).to_ne_bytes()).expect("the pump reads");
        let exited = Report::Exited { exec: 7, status: ExitStatus::Code(3), is_out_of_memory: false };
        assert_eq!(reports.recv(), Ok(exited));
        out.write_all(b"late").expect("the pump reads");
        assert_eq!(reports.recv(), Ok(Report::Log { bytes: Bytes(b"late".to_vec()) }));
        drop((out, err));
        thread.join().expect("the pump ends when the pipes close");
    }

    #[test]
    fn output_that_nobody_wants_closes_the_pipes_and_the_end_is_still_told() {
        let (mut out, mut err, mut told, reports, thread) = pump();
        drop(reports);
        out.write_all(b"unwanted").expect("the pump reads");
        // The other pipe is closed too.
        let limit = Some(std::time::Duration::from_secs(10));
        assert_eq!(sys::poll([Some(err.as_fd())], Readiness::Change, limit).expect("poll works"), [true]);
        assert_eq!(err.write_all(b"x").expect_err("it is closed").kind(), io::ErrorKind::BrokenPipe);
        told.write_all(&0i32.to_ne_bytes()).expect("the pump waits for the end");
        thread.join().expect("the pump ends");
    }

    #[test]
    fn what_a_terminal_holds_at_the_end_comes_before_it() {
        let size = smolvm_agent::TerminalSize { rows: 24, columns: 80 };
        let (outer, mut inner) = sys::open_terminal(size).expect("there are terminals");
        let (end, mut told) = pipe().expect("a pipe");
        inner.write_all(b"bye\n").expect("the terminal has room");
        told.write_all(&0i32.to_ne_bytes()).expect("the pipe has room");
        let reports = RefCell::new(Vec::new());
        let send = |report| {
            let is_end = matches!(report, Report::Exited { .. });
            reports.borrow_mut().push(report);
            !is_end
        };
        thread::scope(|scope| {
            // A process in the background keeps the terminal open for a while.
            scope.spawn(move || drop(inner));
            Pump { exec: 7, stdout: outer, stderr: None, end }.run(&send, &|| false);
        });
        let exited = Report::Exited { exec: 7, status: ExitStatus::Code(0), is_out_of_memory: false };
        assert_eq!(reports.into_inner(), [output(Stream::Stdout, b"bye\r\n"), exited]);
    }

    #[test]
    fn what_is_in_the_pipes_at_the_end_comes_before_it() {
        let (stdout, mut out) = pipe().expect("a pipe");
        let (stderr, err) = pipe().expect("a pipe");
        let (end, mut told) = pipe().expect("a pipe");
        out.write_all(&[b'x'; 10_000]).expect("the pipe has room");
        told.write_all(&9i32.to_ne_bytes()).expect("the pipe has room");
        drop((out, err));
        let reports = RefCell::new(Vec::new());
        let send = |report| {
            reports.borrow_mut().push(report);
            true
        };
        Pump { exec: 7, stdout, stderr: Some(stderr), end }.run(&send, &|| true);
        let expected = [
            output(Stream::Stdout, &[b'x'; 10_000]),
            Report::Exited { exec: 7, status: ExitStatus::Signal(9), is_out_of_memory: true },
        ];
        assert_eq!(reports.into_inner(), expected);
    }
}
