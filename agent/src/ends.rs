//! The agent's and the command's ends of a command's input and output: three pipes, or a terminal.
//!
//! ```text
//! stream ─► input thread ─► pipe or terminal ─► command ─► pipes or terminal ─► pump ─► stream, or output connection
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::fchown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smolvm_agent::Streams;

use crate::sys::{self, Readiness};
use crate::wire::CHUNK;

/// How often who waits for room looks whether the command lives.
const LOOK: Duration = Duration::from_millis(500);

/// All ends.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The command's own: standard input, output, errors.
    pub(crate) child: [File; 3],
    /// Where its output is read.
    pub(crate) stdout: File,
    /// Where its errors are read, where they are apart.
    pub(crate) stderr: Option<File>,
    /// Where its input is written, where it has any.
    pub(crate) input: Option<File>,
    /// The agent's end of its terminal.
    pub(crate) terminal: Option<Arc<File>>,
}

impl Ends {
    /// Makes the ends of a command that will run as user `uid`.
    pub(crate) fn make(streams: Option<&Streams>, uid: u32) -> io::Result<Self> {
        let (stdin, input) = match streams {
            Some(Streams::Terminal(terminal)) => return Self::of_terminal(sys::open_terminal(terminal.size)?, uid),
            Some(Streams::Pipes) => {
                let (stdin, input) = sys::pipe()?;
                sys::set_nonblocking(&input)?;
                (stdin, Some(input))
            }
            None => (sys::open_null()?, None),
        };
        let (stdout, out) = sys::pipe()?;
        let (stderr, err) = sys::pipe()?;
        Ok(Self { child: [stdin, out, err], stdout, stderr: Some(stderr), input, terminal: None })
    }

    fn of_terminal((outer, inner): (File, File), uid: u32) -> io::Result<Self> {
        // Its group is the one of terminals, as the file system of terminals is told.
        fchown(&inner, Some(uid), None)?;
        Ok(Self {
            child: [inner.try_clone()?, inner.try_clone()?, inner],
            stdout: outer.try_clone()?,
            stderr: None,
            input: Some(outer.try_clone()?),
            terminal: Some(Arc::new(outer)),
        })
    }
}

/// Gives a command its input until either side ends it, or the command has ended. A terminal is told the end by the
/// character for it.
pub(crate) fn feed(mut stream: &File, mut input: File, is_terminal: bool, has_ended: &AtomicBool) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if write_all(&mut input, &buffer[..count], has_ended).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The command takes nothing more, or the stream is broken.
            Ok(_) | Err(_) => {
                // A stream that is gone needs no telling.
                let _ = sys::end_reading(stream);
                return;
            }
        }
    }
    if is_terminal && let Some(end) = sys::end_of_input(&input) {
        // A command that has ended does not need it.
        let _ = write_all(&mut input, &[end], has_ended);
    }
}

/// Writes all to a descriptor that does not block.
fn write_all(input: &mut File, mut bytes: &[u8], has_ended: &AtomicBool) -> io::Result<()> {
    while !bytes.is_empty() {
        match input.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sys::poll([Some(input.as_fd())], Readiness::Room, Some(LOOK))?;
                if has_ended.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
