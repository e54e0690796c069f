//! The parent's side of a machine's network: start its server, hand it the machine's packets, hear what it tells.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown, sockopt};

use super::host::Resolvers;
use super::news::NatNews;
use super::policy::Allowed;
use super::wire::{CONTROL_FD, FromChild, ToChild, pair, receive, send};
use crate::sys::child::{ChildSpec, ChildStdio, LastWords, OnDeath, Watched, describe_death, server_program, spawn};

/// How long a server may take to say that it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A network for one machine.
#[derive(Debug, Clone)]
pub struct NatSpec {
    /// Name of the machine.
    pub machine: String,
    /// What it may reach; `None` is everything but this computer.
    pub allow: Option<Vec<Allowed>>,
    /// Who finds names for it.
    pub resolvers: Resolvers,
}

/// What is called with what a server tells; on a thread of its own.
pub type OnNews = Box<dyn Fn(NatNews) + Send>;

/// Why a machine has no network.
#[derive(Debug, thiserror::Error)]
pub enum NatError {
    /// The child process could not be started.
    #[error("cannot start the server of the network")]
    Spawn(#[source] io::Error),
    /// The child could not confine itself or serve; the text is its own.
    #[error("the server of the network could not start: {message}")]
    Start {
        /// How it ended.
        message: String,
    },
}

/// A running server of a network. Dropping it ends the server and reaps it.
#[derive(Debug)]
pub struct NatHandle {
    control: Arc<OwnedFd>,
    server: Watched,
}

impl NatHandle {
    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Hands over the stream of the machine's packets.
    ///
    /// # Errors
    /// Where the server is gone.
    pub fn connect(&self, stream: UnixStream) -> io::Result<()> {
        send(&self.control, &ToChild::Connect, Some(stream.as_fd()))
    }
}

impl Drop for NatHandle {
    fn drop(&mut self) {
        // The server ends when the stream does.
        let Self { control, server } = self;
        server.end(|| {
            // One that is gone has ended.
            let _ = shutdown(&**control, Shutdown::Both);
        });
    }
}

/// Starts a confined server for one machine's network. `on_death` is called, on a thread of its own, when the server dies
/// by itself; never after the handle is dropped.
///
/// # Errors
/// [`NatError::Start`] carries the server's own reason.
pub fn spawn_nat(spec: NatSpec, on_news: OnNews, on_death: OnDeath) -> Result<NatHandle, NatError> {
    spawn_nat_from(server_program(), spec, on_news, on_death)
}

/// As [`spawn_nat`], with another program than this one as the server: for tests, whose own program has no `__net`.
pub fn spawn_nat_from(
    program: &Path,
    spec: NatSpec,
    on_news: OnNews,
    on_death: OnDeath,
) -> Result<NatHandle, NatError> {
    let NatSpec { machine, allow, resolvers } = spec;
    let (control, their_control) = pair().map_err(NatError::Spawn)?;
    let (words, their_words) = io::pipe().map_err(NatError::Spawn)?;
    let child = spawn(ChildSpec {
        args: vec!["__net".into(), (&machine).into()],
        env: Some(Vec::new()),
        stderr: ChildStdio::Fd(their_words.into()),
        fds: vec![(their_control, CONTROL_FD)],
        ..ChildSpec::new(program)
    });
    let child = child.map_err(NatError::Spawn)?;
    let words = LastWords::listen(File::from(OwnedFd::from(words))).map_err(NatError::Spawn)?;
    if let Err(error) = greet(&control, allow, resolvers.servers()) {
        // It may also be late: without its stream it ends.
        let _ = shutdown(&control, Shutdown::Both);
        let exit = child.wait().map_err(NatError::Spawn)?;
        let words = words.last();
        let words = if words.is_empty() { error.to_string() } else { words };
        return Err(NatError::Start { message: describe_death(exit, &words) });
    }
    let control = Arc::new(control);
    let ours = Arc::clone(&control);
    let listener = thread::Builder::new().name(format!("net {machine}"));
    listener.spawn(move || listen(&ours, &resolvers, &on_news)).map_err(NatError::Spawn)?;
    let server = Watched::start(child, words, &machine, on_death).map_err(NatError::Spawn)?;
    Ok(NatHandle { control, server })
}

/// Tells a new server what it must know, and waits until it serves.
fn greet(control: &OwnedFd, allow: Option<Vec<Allowed>>, servers: Vec<SocketAddr>) -> io::Result<()> {
    sockopt::set_socket_timeout(control, sockopt::Timeout::Recv, Some(START_LIMIT))?;
    send(control, &ToChild::Start { allow }, None)?;
    send(control, &ToChild::Servers(servers), None)?;
    match receive(control)? {
        Some((FromChild::Ready, _)) => {}
        _ => return Err(io::Error::other("it did not say that it is ready")),
    }
    Ok(sockopt::set_socket_timeout(control, sockopt::Timeout::Recv, None)?)
}

/// Hears a server until its end. What it says is bounded and has no text of its own but names; one that says something
/// else is not heard any more.
fn listen(control: &OwnedFd, resolvers: &Resolvers, on_news: &OnNews) {
    while let Ok(Some((message, _))) = receive(control) {
        match message {
            FromChild::Ready => {}
            FromChild::News(news) => on_news(news),
            FromChild::AskServers => {
                // Where it is gone, so is the next message.
                let _ = send(control, &ToChild::Servers(resolvers.servers()), None);
            }
        }
    }
}
