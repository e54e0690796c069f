//! Frames on the two connections. A writer blocks while the host does not read, and that holds back who writes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use smolvm_agent::{
    ANSWER_MAX, Answer, Attach, Bytes, GREETING_BYTES, Numbered, REQUEST_MAX, Report, check_greeting, decode, encode,
    frame_length, greeting,
};

use crate::sys::{self, Readiness};

/// Largest chunk of output in one frame.
pub(crate) const CHUNK: usize = 64 << 10;

/// Largest first frame of a stream.
const ATTACH_MAX: usize = 64;

/// Exchanges greetings on a fresh connection. An agent says its greeting to whatever version the host has, so that
/// the host can name both.
pub(crate) fn greet(mut stream: &File) -> io::Result<()> {
    let mut theirs = [0; GREETING_BYTES];
    stream.read_exact(&mut theirs)?;
    stream.write_all(&greeting())?;
    check_greeting(theirs).map_err(io::Error::other)
}

/// Reads the beginning of a stream, and says to which command it belongs. The greeting back is the caller's.
pub(crate) fn read_attach(mut stream: &File) -> io::Result<Attach> {
    let mut theirs = [0; GREETING_BYTES];
    stream.read_exact(&mut theirs)?;
    check_greeting(theirs).map_err(io::Error::other)?;
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut payload = vec![0; frame_length(header, ATTACH_MAX).map_err(io::Error::other)?];
    stream.read_exact(&mut payload)?;
    decode(&payload).map_err(io::Error::other)
}

/// Reads the next request; `None` at the end of the connection.
pub(crate) fn read_request(mut stream: &File) -> io::Result<Option<Numbered>> {
    let mut header = [0; 4];
    match stream.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut payload = vec![0; frame_length(header, REQUEST_MAX).map_err(io::Error::other)?];
    stream.read_exact(&mut payload)?;
    decode(&payload).map(Some).map_err(io::Error::other)
}

/// The agent's end of a connection, shared by all threads that write to it.
#[derive(Debug)]
struct Writer {
    stream: Mutex<File>,
}

impl Writer {
    fn send<T: Serialize>(&self, message: &T) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the host is gone, the reader of the control connection powers the machine off.
        let _ = write_message(&stream, message);
    }
}

/// Writes one message as a frame.
pub(crate) fn write_message<T: Serialize>(mut stream: &File, message: &T) -> io::Result<()> {
    match encode(message, ANSWER_MAX) {
        Ok(frame) => stream.write_all(&frame),
        Err(error) => {
            eprint_kernel(&format!("a message was not sent: {error}"));
            Ok(())
        }
    }
}

/// The control connection, for writing.
#[derive(Debug)]
pub(crate) struct Answers(Writer);

impl Answers {
    pub(crate) fn new(stream: File) -> Self {
        Self(Writer { stream: Mutex::new(stream) })
    }

    pub(crate) fn send(&self, answer: &Answer) {
        self.0.send(answer);
    }
}

/// The output connection.
#[derive(Debug)]
pub(crate) struct Reports(Writer);

impl Reports {
    pub(crate) fn new(stream: File) -> Self {
        Self(Writer { stream: Mutex::new(stream) })
    }

    pub(crate) fn send(&self, report: &Report) {
        self.0.send(report);
    }

    /// Ends the connection, and waits until the host has read all of it: what the kernel has not yet sent is lost
    /// when the machine powers off.
    pub(crate) fn finish(&self, limit: Duration) {
        let stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if sys::end_writing(&stream).is_ok() {
            // The host says nothing on this connection but its end.
            let _ = sys::poll([Some(stream.as_fd())], Readiness::Input, Some(limit));
        }
    }

    pub(crate) fn log(&self, bytes: &[u8]) {
        self.send(&Report::Log { bytes: Bytes(bytes.to_vec()) });
    }
}

/// Says something where it is seen when nothing else works: in the kernel's log, and so on the console.
pub(crate) fn eprint_kernel(text: &str) {
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("<3>smolvm: {text}\n").as_bytes());
    }
}
