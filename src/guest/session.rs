//! A session with one agent: requests with their replies, and the row of events.
//!
//! All methods take `&self` and may be canceled at any point. Deliberately not here: bytes on the wire (`frames`),
//! connecting (`link`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smolvm_agent::{
    CONTROL_PORT, Exec, ExitStatus, GuestStats, GuestUser, NETWORK_PORT, Numbered, OUTPUT_PORT, REQUEST_MAX, Reply,
    Request, STREAM_PORT, Setup, SetupMount, Stream, TerminalSize, encode,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::error::{ExecError, SessionError, SetupError, UserError};
use super::link::{Dial, connect};
use super::silence;
use super::stream::{CommandStream, Ended, opening};
use super::tasks::{asker, read_answers, read_reports, supervise, write_requests};

/// Events that wait for their receiver before the guest is held back; each is at most one frame.
const EVENTS_WAITING: usize = 16;

/// Requests that wait for the guest to read them.
const REQUESTS_WAITING: usize = 16;

/// Programs that wait at links before more are forgotten; the agent has no more of them at a time.
const LINKS_WAITING: usize = 1024;

/// Deadlines of a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Until the agent answers on both connections.
    pub connect: Duration,
    /// Without a sign of life until [`SessionEvent::Silent`].
    pub heartbeat: Duration,
}

/// What the guest says without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// A command wrote something.
    Output {
        /// Which command.
        exec: u64,
        /// Where it wrote.
        stream: Stream,
        /// What it wrote.
        bytes: Vec<u8>,
    },
    /// The process of a command ended; all that it wrote came before.
    Exited {
        /// Which command.
        exec: u64,
        /// How it ended.
        status: ExitStatus,
        /// Whether the guest's kernel killed a process of the command for want of memory.
        is_out_of_memory: bool,
    },
    /// Output of background processes, and warnings of the guest's kernel.
    Log {
        /// What was written.
        bytes: Vec<u8>,
    },
    /// No heartbeat came for this long; once a silence.
    Silent {
        /// Length of the silence so far.
        seconds: u64,
    },
    /// The session is over; nothing follows.
    Closed {
        /// Why, in words.
        reason: String,
    },
}

/// A live session. Cheap to clone; the connections close when the last clone is dropped, and the guest powers off.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Arc<dyn Dial>,
    connect_limit: Duration,
    requests: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
    linked: Mutex<Option<mpsc::Receiver<Linked>>>,
}

/// A program of the guest has connected to a link, and waits for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    /// Place of the link in the setup, as the guest says it.
    pub link: u32,
    /// Under which it waits.
    pub ticket: u64,
}

/// What the methods and the readers share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    next: u32,
    pub(super) waiting: HashMap<u32, oneshot::Sender<Reply>>,
    /// Commands whose output and end are events.
    pub(super) execs: HashSet<u64>,
    /// Who waits for the ends of the others.
    pub(super) ends: HashMap<u64, oneshot::Sender<Ended>>,
    closed: Option<String>,
}

impl State {
    pub(super) fn take_id(&mut self) -> u32 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        id
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        state.waiting.clear();
        state.ends.clear();
    }

    fn closed(&self) -> SessionError {
        let reason = self.lock().closed.clone().unwrap_or_else(|| "the session ended".to_owned());
        SessionError::Closed { reason }
    }
}

/// Takes a request's place in the table away when its caller gives up.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Session {
    /// Connects to the agent, retrying until it answers. Must be called within a tokio runtime.
    pub async fn open(
        dial: Arc<dyn Dial>,
        limits: SessionLimits,
    ) -> Result<(Self, mpsc::Receiver<SessionEvent>), SessionError> {
        // At the same time: each way to an emulated guest and back counts in the time of a boot.
        let (control, output) = tokio::try_join!(
            connect(&*dial, CONTROL_PORT, &[], limits.connect),
            connect(&*dial, OUTPUT_PORT, &[], limits.connect)
        )?;
        let (control_read, control_write) = control.into_split();
        let (output_read, output_write) = output.into_split();
        let shared = Arc::new(Shared::default());
        let (requests, frames) = mpsc::channel(REQUESTS_WAITING);
        let (events, receiver) = mpsc::channel(EVENTS_WAITING);
        let (heard, hearing) = watch::channel(());

        let (links, linked) = mpsc::channel(LINKS_WAITING);
        let control = tokio::spawn(read_answers(control_read, Arc::clone(&shared), heard, links));
        let output = tokio::spawn(read_reports(output_read, output_write, Arc::clone(&shared), events.clone()));
        let mut tasks = vec![control.abort_handle(), output.abort_handle()];
        tasks.push(tokio::spawn(write_requests(control_write, frames)).abort_handle());
        let ask = asker(Arc::clone(&shared), requests.clone());
        let silence = silence::watch(hearing, limits.heartbeat, ask, events.clone());
        tasks.push(tokio::spawn(silence).abort_handle());
        let ending = supervise(control, output, Arc::clone(&shared), events);
        tasks.push(tokio::spawn(ending).abort_handle());
        let inner =
            Inner { dial, connect_limit: limits.connect, requests, shared, tasks, linked: Mutex::new(Some(linked)) };
        Ok((Self { inner: Arc::new(inner) }, receiver))
    }

    /// Programs that connect to links, from the start of the session; for the first who asks.
    pub fn linked(&self) -> Option<mpsc::Receiver<Linked>> {
        self.inner.linked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes the machine ready, but for its mounts: system and root.
    pub async fn setup(&self, setup: Setup) -> Result<(), SetupError> {
        self.ask_setup(Request::Setup(setup)).await
    }

    /// Makes the mounts, parents before what is below them, and has each verified.
    pub async fn mount(&self, mounts: Vec<SetupMount>) -> Result<(), SetupError> {
        self.ask_setup(Request::Mount { mounts }).await
    }

    async fn ask_setup(&self, request: Request) -> Result<(), SetupError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer.into()),
        }
    }

    /// Looks a user up in the image's own files.
    pub async fn resolve_user(&self, user: &str) -> Result<GuestUser, UserError> {
        match self.ask(Request::ResolveUser { user: user.to_owned() }).await? {
            Reply::User(user) => Ok(user),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer.into()),
        }
    }

    /// Makes the guest forget what it knows of owners and names in the shares.
    pub async fn refresh_shares(&self) -> Result<(), SessionError> {
        self.ask_done(Request::RefreshShares).await
    }

    /// Starts a command. Its output may come before this returns.
    pub async fn exec(&self, exec: Exec) -> Result<(), ExecError> {
        let id = exec.id;
        self.inner.shared.lock().execs.insert(id);
        let answer = self.ask(Request::Exec(exec)).await;
        if !matches!(answer, Ok(Reply::Done)) {
            self.inner.shared.lock().execs.remove(&id);
        }
        match answer? {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer.into()),
        }
    }

    /// Starts a command with a stream of its own, in the form that its `streams` say.
    pub async fn exec_streamed(&self, exec: Exec) -> Result<CommandStream, ExecError> {
        let id = exec.id;
        let stream = connect(&*self.inner.dial, STREAM_PORT, &opening(id)?, self.inner.connect_limit).await?;
        let (ended, end) = oneshot::channel();
        self.inner.shared.lock().ends.insert(id, ended);
        let answer = self.ask(Request::Exec(exec)).await;
        if !matches!(answer, Ok(Reply::Done)) {
            self.inner.shared.lock().ends.remove(&id);
        }
        match answer? {
            Reply::Done => Ok(CommandStream::new(stream, id, end)),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer.into()),
        }
    }

    /// Connects to the packets of a machine that was set up with a network.
    pub async fn open_network(&self) -> Result<UnixStream, SessionError> {
        let stream = connect(&*self.inner.dial, NETWORK_PORT, &[], self.inner.connect_limit).await?;
        stream.into_std().map_err(|source| SessionError::Dial { source })
    }

    /// Changes the size of a command's terminal; nothing happens where it has none, or has ended.
    pub async fn resize(&self, exec: u64, size: TerminalSize) -> Result<(), SessionError> {
        self.ask_done(Request::Resize { exec, size }).await
    }

    /// Sends a signal to the process group of a command; nothing happens where it has ended.
    pub async fn signal(&self, exec: u64, signal: i32) -> Result<(), SessionError> {
        self.ask_done(Request::Signal { exec, signal }).await
    }

    /// Sends a signal to the process of a command alone; nothing happens where it has ended.
    pub async fn signal_process(&self, exec: u64, signal: i32) -> Result<(), SessionError> {
        self.ask_done(Request::SignalProcess { exec, signal }).await
    }

    /// Ends a command and all that it started; [`SessionEvent::Exited`] follows.
    pub async fn terminate(&self, exec: u64, grace: Duration) -> Result<(), SessionError> {
        self.ask_done(Request::Terminate { exec, grace_ms: milliseconds(grace) }).await
    }

    /// Ends all that commands left behind, and returns when nothing is left.
    pub async fn end_background(&self, grace: Duration) -> Result<(), SessionError> {
        self.ask_done(Request::EndBackground { grace_ms: milliseconds(grace) }).await
    }

    /// Which of these absolute paths or globs match nothing in the guest.
    pub async fn missing_outputs(&self, patterns: &[String]) -> Result<Vec<String>, SessionError> {
        if patterns.is_empty() {
            return Ok(Vec::new());
        }
        match self.ask(Request::MissingOutputs { patterns: patterns.to_vec() }).await? {
            Reply::Missing(places) if places.len() <= patterns.len() => places
                .into_iter()
                .map(|place| usize::try_from(place).ok().and_then(|place| patterns.get(place)).cloned())
                .collect::<Option<_>>()
                .ok_or(SessionError::WrongAnswer),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer),
        }
    }

    /// What the machine has used so far, as the guest says it.
    pub async fn stats(&self) -> Result<GuestStats, SessionError> {
        match self.ask(Request::Stats).await? {
            Reply::Stats(stats) => Ok(stats),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer),
        }
    }

    /// Ends everything in the guest and powers it off; the end of the VM follows. A connection that ends instead of
    /// an answer is as good.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), SessionError> {
        match self.ask_done(Request::Shutdown { grace_ms: milliseconds(grace) }).await {
            Err(SessionError::Closed { .. }) => Ok(()),
            result => result,
        }
    }

    async fn ask_done(&self, request: Request) -> Result<(), SessionError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            Reply::Failed(failure) => Err(failure.into()),
            _ => Err(SessionError::WrongAnswer),
        }
    }

    async fn ask(&self, request: Request) -> Result<Reply, SessionError> {
        let shared = &*self.inner.shared;
        let (sender, reply) = oneshot::channel();
        let waiting = {
            let mut state = shared.lock();
            if state.closed.is_some() {
                drop(state);
                return Err(shared.closed());
            }
            let id = state.take_id();
            state.waiting.insert(id, sender);
            Waiting { shared, id }
        };
        let frame = encode(&Numbered { id: waiting.id, request }, REQUEST_MAX)
            .map_err(|source| SessionError::TooLong { source })?;
        self.inner.requests.send(frame).await.map_err(|_| shared.closed())?;
        reply.await.map_err(|_| shared.closed())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
