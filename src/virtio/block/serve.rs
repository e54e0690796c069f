//! The child's side: `smolvm __disk` becomes a confined server of a disk.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use super::confine::confine;
use super::device::Device;
use super::disk::Disk;
use super::private::PrivateDisk;
use super::request::{Medium, Target};
use super::spec::{CONTROL_FD, FIRST_SEGMENT_FD, FULL, LISTENER_FD, READY, SPEC_FD, Told, ToldKind};
use super::writable::WritableDisk;
use crate::share::{say, speak_on_stderr};
use crate::sys::exit::exit_now;
use crate::sys::handed;

/// Runs `smolvm __disk`: the hidden command that [`super::spawn_disk`] starts, useless to anybody else.
pub fn serve_main() -> ExitCode {
    main_then(None)
}

/// As [`serve_main`], but once it is confined the process does something else than to serve, and ends: for tests of
/// the confinement.
#[doc(hidden)]
pub fn confined_main(attempt: fn()) -> ExitCode {
    main_then(Some(attempt))
}

fn main_then(attempt: Option<fn()>) -> ExitCode {
    speak_on_stderr();
    let handed = match take_handed() {
        Ok(handed) => handed,
        Err(error) => {
            say(&format!("`__disk` is started by smolvm itself: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let Err(error) = serve(handed, attempt);
    say(&error.to_string());
    ExitCode::FAILURE
}

/// What the parent hands over.
struct Handed {
    target: Target,
    listener: UnixListener,
    control: File,
}

fn take_handed() -> io::Result<Handed> {
    let told = File::from(handed::take(SPEC_FD)?);
    let listener = UnixListener::from(handed::take(LISTENER_FD)?);
    // A plain file, for reads by read(2): the filter of system calls has no recvfrom(2).
    let control = File::from(handed::take(CONTROL_FD)?);
    let told: Told = serde_json::from_reader(io::BufReader::new(told))?;
    let mut files = Vec::new();
    for (number, length) in (FIRST_SEGMENT_FD..).zip(told.lengths) {
        files.push((File::from(handed::take(number)?), length));
    }
    let mut only = || files.pop().ok_or(io::ErrorKind::InvalidInput);
    let medium = match told.kind {
        ToldKind::Writable => only().map(|(file, length)| Medium::Writable(WritableDisk::new(file, length)))?,
        ToldKind::Private => only().map(|(file, length)| Medium::Private(PrivateDisk::new(file, length)))?,
        ToldKind::Fixed => Medium::Fixed(Disk::new(files)?),
    };
    let words = control.try_clone()?;
    let tell_full = Box::new(move || {
        // Who does not listen any more has ended.
        let _ = (&words).write_all(&[FULL]);
    });
    let target = Target { medium, serial: told.serial, tell_full, is_full_told: AtomicBool::new(false) };
    Ok(Handed { target, listener, control })
}

/// Confines this process and serves until the front end goes.
fn serve(handed: Handed, attempt: Option<fn()>) -> io::Result<Infallible> {
    let Handed { target, listener, control } = handed;
    let is_writable = target.medium.writable().is_some();
    confine(&control, is_writable)
        .map_err(|error| io::Error::other(format!("this host denies its confinement: {error}")))?;
    // From here on every thread is confined.
    if let Some(attempt) = attempt {
        attempt();
        exit_now(0);
    }
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let daemon = VhostUserDaemon::new("disk".to_owned(), Arc::new(Device::new(target)), memory);
    let mut daemon = daemon.map_err(|error| io::Error::other(error.to_string()))?;
    (&control).write_all(&[READY])?;
    thread::Builder::new().name("control".into()).spawn(move || {
        // Whether the parent closed the stream or broke it: without a parent there is nobody to serve.
        let _ = (&control).read(&mut [0]);
        exit_now(0);
    })?;
    // Whoever connects after the front end finds nobody: the listener closes before the first request.
    let started = daemon.start(&mut Listener::from(listener));
    let ended = started.and_then(|()| daemon.wait());
    match ended {
        Ok(()) | Err(DaemonError::HandleRequest(VhostUserError::Disconnected)) => exit_now(0),
        Err(error) => {
            say(&error.to_string());
            exit_now(1)
        }
    }
}
