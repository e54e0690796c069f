//! The parent's side of a disk's server: start it, hear that it is ready, notice its death.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::spec::{CONTROL_FD, DiskError, DiskSpec, FIRST_SEGMENT_FD, LISTENER_FD, READY, SPEC_FD, Told};
use crate::sys::child::{Child, ChildSpec, ChildStdio, LastWords, OnDeath, Watched, describe_death, spawn};
use crate::sys::socket::connected_listener;

/// How long a server may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);

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
pub fn spawn_disk(spec: DiskSpec, on_death: OnDeath) -> Result<(DiskHandle, OwnedFd), DiskError> {
    spawn_disk_from(Path::new("/proc/self/exe"), spec, on_death)
}

/// As [`spawn_disk`], with another program than this one as the server: for tests, whose own program has no `__disk`.
pub fn spawn_disk_from(program: &Path, spec: DiskSpec, on_death: OnDeath) -> Result<(DiskHandle, OwnedFd), DiskError> {
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
    let server = Watched::start(child, words, &serial, on_death).map_err(failed)?;
    Ok((DiskHandle { control, server }, front_end.into()))
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
    let told =
        Told { serial: spec.serial.clone(), lengths: spec.segments.iter().map(|segment| segment.length).collect() };
    fds.extend(spec.segments.into_iter().map(|segment| segment.file).zip(FIRST_SEGMENT_FD..));
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
