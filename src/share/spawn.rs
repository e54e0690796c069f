//! The parent's side of a file server: start it, hear that it is ready, set its view, notice its death.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::sys::child::{
    Child, ChildSpec, ChildStdio, LastWords, OnDeath, Watched, describe_death, server_program, spawn,
};
use crate::sys::socket::connected_listener;

use super::image::open_files;
use super::source::ShareSource;
use super::spec::{ShareError, ShareSpec};
use super::wire::{
    Answer, Ask, CONTROL_FD, Given, IMAGE_FD, LISTENER_FD, Outputs, Report, SPEC_FD, ask, receive_report,
};

/// How long a server may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to put a view in force.
const VIEW_LIMIT: Duration = Duration::from_secs(10);

/// A running file server. Dropping it ends the server and reaps it.
pub struct ShareHandle {
    control: Mutex<UnixStream>,
    source: Arc<ShareSource>,
    server: Watched,
}

impl fmt::Debug for ShareHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ShareHandle").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

impl ShareHandle {
    /// Makes the files of the share appear as owned by these ids of the guest. In force when this returns; what the
    /// guest has cached it believes for a second more, unless it is told to look again.
    pub fn set_view(&self, uid: u32, gid: u32) -> io::Result<()> {
        self.ask(&Ask::View { uid, gid }, || true).map(drop)
    }

    /// Begins to record what the guest makes and changes, and forgets what was recorded before.
    pub fn record(&self) -> io::Result<()> {
        self.ask(&Ask::Record, || true).map(drop)
    }

    /// Gives files to a user of the host: what the patterns match, and all below; without them what was recorded,
    /// which ends the recording. Asks `goes_on` a few times a second; once it says no, the server is of no use any
    /// more. The server must have root's rights.
    pub fn give(
        &self,
        uid: u32,
        gid: u32,
        outputs: Option<Outputs>,
        goes_on: impl FnMut() -> bool,
    ) -> io::Result<Given> {
        let answer = self.ask(&Ask::Give { uid, gid, outputs }, goes_on);
        match answer {
            Ok(Answer::Given(given)) => return Ok(given),
            Ok(other) => Err(io::Error::other(format!("the file server answered {other:?}"))),
            Err(error) => Err(error),
        }
        // What still comes would be taken for the answer to another question.
        .inspect_err(|_: &io::Error| {
            let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = control.shutdown(Shutdown::Both);
        })
    }

    fn ask(&self, question: &Ask, goes_on: impl FnMut() -> bool) -> io::Result<Answer> {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&*control, question, goes_on)
    }

    /// The source as it was when the server started, to see whether it still is.
    pub fn source(&self) -> Arc<ShareSource> {
        Arc::clone(&self.source)
    }

    /// Process id of the server's outer process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

impl Drop for ShareHandle {
    fn drop(&mut self) {
        // The server ends when the stream does. It is asked first, so that the outer process can reap it.
        let control = self.control.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.server.end(|| drop(control.shutdown(Shutdown::Both)));
    }
}

/// Starts a confined file server for one share. Returns its handle and the front end's end of its vhost-user socket.
/// `on_death` is called, on a thread of its own, when the server dies by itself; never after the handle is dropped.
///
/// # Errors
///
/// [`ShareError::Start`] carries the server's own reason; it says whether the host is unfit.
pub fn spawn_share(spec: ShareSpec, on_death: OnDeath) -> Result<(ShareHandle, OwnedFd), ShareError> {
    spawn_share_from(server_program(), spec, on_death)
}

/// As [`spawn_share`], with another program than this one as the server: for tests, whose own program has no
/// `__share`.
pub fn spawn_share_from(
    program: &Path,
    spec: ShareSpec,
    on_death: OnDeath,
) -> Result<(ShareHandle, OwnedFd), ShareError> {
    let failed = |source| ShareError::Spawn { tag: spec.tag.clone(), source };
    let files = open_files(&spec.tag, &spec.tree)?;
    let Started { child, control, words, front_end } = start(program, &spec, files).map_err(failed)?;
    let words = LastWords::listen(words).map_err(failed)?;
    let report = receive_report(&control).map_err(failed)?;
    let source = match report {
        Some(Report::Ready(served)) => Arc::new(ShareSource::new(spec.tree, spec.rights, served)),
        Some(Report::Failed { message, is_host_unfit }) => {
            return Err(ShareError::Start { tag: spec.tag, message, is_host_unfit });
        }
        None => {
            let exit = child.wait().map_err(failed)?;
            let message = describe_death(exit, &words.last());
            return Err(ShareError::Start { tag: spec.tag, message, is_host_unfit: false });
        }
    };
    control.set_read_timeout(Some(VIEW_LIMIT)).map_err(failed)?;
    let server = Watched::start(child, words, &spec.tag, on_death).map_err(failed)?;
    Ok((ShareHandle { control: Mutex::new(control), source, server }, front_end.into()))
}

struct Started {
    child: Child,
    control: UnixStream,
    words: File,
    front_end: UnixStream,
}

fn start(program: &Path, spec: &ShareSpec, files: Vec<OwnedFd>) -> io::Result<Started> {
    let (listener, front_end) = connected_listener()?;
    let (control, their_control) = UnixStream::pair()?;
    control.set_read_timeout(Some(START_LIMIT))?;
    control.set_write_timeout(Some(VIEW_LIMIT))?;
    let (words, their_words) = io::pipe()?;
    let (their_spec, spec_writer) = io::pipe()?;
    let own: [(OwnedFd, RawFd); 3] =
        [(their_spec.into(), SPEC_FD), (listener.into(), LISTENER_FD), (their_control.into(), CONTROL_FD)];
    let child = spawn(ChildSpec {
        args: vec!["__share".into(), spec.tag.clone().into()],
        env: Some(Vec::new()),
        stderr: ChildStdio::Fd(their_words.into()),
        fds: own.into_iter().chain(files.into_iter().zip(IMAGE_FD..)).collect(),
        ..ChildSpec::new(program)
    })?;
    // After the start, so that a specification longer than a pipe holds has a reader.
    let mut spec_writer = spec_writer;
    spec_writer.write_all(&serde_json::to_vec(spec)?)?;
    Ok(Started { child, control, words: File::from(OwnedFd::from(words)), front_end })
}
