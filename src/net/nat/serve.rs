//! The child's side: `smolvm __net` becomes the confined far end of a machine's wire.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::confine::confine;
use super::gateway::Gateway;
use super::policy::Policy;
use super::wire::{CONTROL_FD, FromChild, ToChild, receive, send};
use crate::share::{say, speak_on_stderr};
use crate::sys::exit::exit_now;
use crate::sys::handed;

/// How often the parent is asked which servers of names the host has, while names are asked for.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Descriptors that are not connections of TCP: those of datagrams, echoes and names, and a few of our own.
const OTHERS: u64 = 1024 + 64 + 256 + 64;

/// Connections of TCP, whatever the descriptors: their buffers would not be there for more.
const CONNECTIONS_MAX: u64 = 8192;

/// Runs `smolvm __net`: the hidden command that [`super::spawn_nat`] starts, useless to anybody else.
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
    let started = handed::take(CONTROL_FD).and_then(|control| match receive(&control)? {
        Some((ToChild::Start { allow }, _)) => Ok((control, Policy::new(allow))),
        _ => Err(io::Error::other("the first message is another one")),
    });
    let (control, policy) = match started {
        Ok(started) => started,
        Err(error) => {
            say(&format!("`__net` is started by smolvm itself: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match serve(&control, policy, attempt) {
        // Without a parent there is nobody to serve.
        Ok(()) => exit_now(0),
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Confines this process and serves until the parent goes.
fn serve(control: &OwnedFd, policy: Policy, attempt: Option<fn()>) -> io::Result<()> {
    // What is made before the confinement needs no call after it.
    let mut gateway = Gateway::new(policy)?;
    let descriptors =
        confine(control).map_err(|error| io::Error::other(format!("this host denies its confinement: {error}")))?;
    if let Some(attempt) = attempt {
        attempt();
        return Ok(());
    }
    let sockets = descriptors.saturating_sub(OTHERS).clamp(16, CONNECTIONS_MAX);
    gateway.set_sockets_max(usize::try_from(sockets).unwrap_or_default());
    never_wait(control)?;
    gateway.watch_parent(control)?;
    send(control, &FromChild::Ready, None)?;
    let mut asked: Option<Instant> = None;
    loop {
        if gateway.turn()? && !hear(control, &mut gateway)? {
            return Ok(());
        }
        for news in gateway.take_news() {
            tell(control, &FromChild::News(news))?;
        }
        if gateway.take_is_asked() && asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
            asked = Some(Instant::now());
            tell(control, &FromChild::AskServers)?;
        }
    }
}

/// Does what the parent says; `false` at its end.
fn hear(control: &OwnedFd, gateway: &mut Gateway) -> io::Result<bool> {
    loop {
        match receive(control) {
            Ok(Some((ToChild::Servers(servers), _))) => gateway.set_servers(servers),
            Ok(Some((ToChild::Connect, Some(stream)))) => {
                never_wait(&stream)?;
                gateway.connect(stream)?;
            }
            Ok(Some(_)) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Makes calls on a descriptor fail where they would wait.
fn never_wait(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = fcntl_getfl(descriptor)?;
    Ok(fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)?)
}

/// A parent that is slow to read misses news, and is asked again for the rest.
fn tell(control: &OwnedFd, message: &FromChild) -> io::Result<()> {
    match send(control, message, None) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        // Its end is heard of where it is read.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
