//! The parent's side of a disk's server: start it, hear that it is ready, notice its death.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::spec::{
    CONTROL_FD, DiskContent, DiskError, DiskSpec, FIRST_SEGMENT_FD, FULL, LISTENER_FD, READY, SPEC_FD, Told, ToldKind,
};
use crate::sys::child::{
    Child, ChildSpec, ChildStdio, LastWords, OnDeath, Watched, describe_death, server_program, spawn,
};
use crate::sys::socket::connected_listener;

/// How long a server may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What is called when the host has no room for what is written to a disk: once, on a thread of its own.
pub type OnFull = Box<dyn FnOnce() + Send>;

/// A running server of a disk. Dropping it ends the server and reaps it.
#[derive(Debug)]
pub struct DiskHandle {
    control: UnixStream,
    server: Watched,
}

impl DiskHandle {
    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

impl Drop for DiskHandle {
    fn drop(&mut self) {
        // The server ends when the stream does.
        let Self { control, server } = self;
        server.end(|| drop(control.shutdown(Shutdown::Both)));
    }
}

/// Starts a confined server for one disk. Returns its handle and the front end's end of its vhost-user socket.
/// `on_death` is called, on a thread of its own, when the server dies by itself; never after the handle is dropped.
///
/// # Errors
/// [`DiskError::Start`] carries the server's own reason.
pub fn spawn_disk(
    spec: DiskSpec,
    on_death: OnDeath,
    on_full: Option<OnFull>,
) -> Result<(DiskHandle, OwnedFd), DiskError> {
    spawn_disk_from(server_program(), spec, on_death, on_full)
}

/// As [`spawn_disk`], with another program than this one as the server: for tests, whose own program has no `__disk`.
pub fn spawn_disk_from(
    program: &Path,
    spec: DiskSpec,
    on_death: OnDeath,
    on_full: Option<OnFull>,
) -> Result<(DiskHandle, OwnedFd), DiskError> {
    let serial = spec.serial.clone();
    let failed = |source| DiskError::Spawn { serial: serial.clone(), source };
    let Started { child, mut control, words, front_end } = start(program, spec).map_err(failed)?;
    let words = LastWords::listen(words).map_err(failed)?;
    let mut answer = [0];
    let is_ready = control.read_exact(&mut answer).is_ok() && answer == [READY];
    if !is_ready {
        // It may also be late: without its stream it ends.
        let _ = control.shutdown(Shutdown::Both);
        let exit = child.wait().map_err(failed)?;
        let message = describe_death(exit, &words.last());
        return Err(DiskError::Start { serial, message });
    }
    if let Some(on_full) = on_full {
        listen(&control, on_full).map_err(failed)?;
    }
    let server = Watched::start(child, words, &serial, on_death).map_err(failed)?;
    Ok((DiskHandle { control, server }, front_end.into()))
}

/// Waits for the word that the host is full; the thread ends with the stream.
fn listen(control: &UnixStream, on_full: OnFull) -> io::Result<()> {
    let mut control = control.try_clone()?;
    control.set_read_timeout(None)?;
    let wait = move || {
        let mut word = [0];
        if control.read_exact(&mut word).is_ok() && word == [FULL] {
            on_full();
        }
    };
    std::thread::Builder::new().name("disk words".to_owned()).spawn(wait).map(drop)
}

struct Started {
    child: Child,
    control: UnixStream,
    words: File,
    front_end: UnixStream,
}

fn start(program: &Path, spec: DiskSpec) -> io::Result<Started> {
    let (listener, front_end) = connected_listener()?;
    let (control, their_control) = UnixStream::pair()?;
    control.set_read_timeout(Some(START_LIMIT))?;
    let (words, their_words) = io::pipe()?;
    let (their_told, told_writer) = io::pipe()?;
    let mut fds =
        vec![(their_told.into(), SPEC_FD), (listener.into(), LISTENER_FD), (their_control.into(), CONTROL_FD)];
    let (segments, kind) = match spec.content {
        DiskContent::Fixed(segments) => (segments, ToldKind::Fixed),
        DiskContent::Writable(segment) => (vec![segment], ToldKind::Writable),
        DiskContent::Private(segment) => (vec![segment], ToldKind::Private),
    };
    let lengths = segments.iter().map(|segment| segment.length).collect();
    let told = Told { serial: spec.serial.clone(), lengths, kind };
    fds.extend(segments.into_iter().map(|segment| segment.file).zip(FIRST_SEGMENT_FD..));
    let child = spawn(ChildSpec {
        args: vec!["__disk".into(), spec.serial.into()],
        env: Some(Vec::new()),
        stderr: ChildStdio::Fd(their_words.into()),
        fds,
        ..ChildSpec::new(program)
    })?;
    // After the start, so that what is longer than a pipe holds has a reader.
    let mut told_writer = told_writer;
    told_writer.write_all(&serde_json::to_vec(&told)?)?;
    Ok(Started { child, control, words: File::from(OwnedFd::from(words)), front_end })
}
