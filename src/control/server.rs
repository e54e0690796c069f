//! Answers on the socket of a run, from its handle.
//!
//! A connection is a task, and what one client does holds up no other. They are ended when the server is dropped.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::channel::{Receiver, Sender, channel};
use super::error::ControlError;
use super::message::{About, Answer, Ask, ExecAsk, Refusal, Tell, greeting};
use super::place::Bound;
use crate::event::MachinePhase;
use crate::guest::{CommandEnd, SessionError, hand_over};
use crate::run::{
    ExecControl, ExecRequest, GoingRound, Guest, GuestError, RoundWish, RunCommand, RunHandle, StartFailure,
};

/// Connections that are served at the same time.
const CONNECTIONS_MAX: usize = 256;

/// For a client to say what it wants.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// Pause where no connection can be accepted (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server of a run. Dropped, it ends, and its socket is removed.
#[derive(Debug)]
pub struct Server {
    task: AbortHandle,
    // After the task: a socket that is gone has nobody to answer.
    _bound: Bound,
}

/// What a connection needs.
#[derive(Debug, Clone)]
struct Served {
    handle: RunHandle,
    about: About,
}

impl Server {
    /// Begins to answer. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the runtime cannot take the socket.
    pub fn start(mut bound: Bound, handle: RunHandle, about: About) -> Result<Self, ControlError> {
        let listener = bound.take_listener().ok_or(ControlError::WrongAnswer)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let owner = bound.owner();
        let task = tokio::spawn(accept(listener, owner, Served { handle, about })).abort_handle();
        Ok(Self { task, _bound: bound })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, owner: u32, served: Served) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !is_welcome(&stream, owner) {
            continue;
        }
        let served = served.clone();
        connections.spawn(async move {
            // Who goes away before the answer has no need of it.
            let _ = serve(stream, served).await;
            drop(place);
        });
    }
}

/// Whether the other end is the owner or root. The folder of the socket says it too; this is asked of the kernel.
fn is_welcome(stream: &UnixStream, owner: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

async fn serve(stream: UnixStream, served: Served) -> Result<(), ControlError> {
    let (sender, mut receiver) = channel(stream);
    sender.send_bytes(&greeting(), None).await?;
    let question = async {
        if receiver.bytes().await? != greeting() {
            return Err(ControlError::WrongAnswer);
        }
        receiver.next::<Ask>().await
    };
    let ask = tokio::time::timeout(QUESTION_LIMIT, question).await.map_err(io::Error::from)??;
    let answering = answer(ask, &sender, &mut receiver, served);
    answering.await
}

async fn answer(ask: Ask, sender: &Sender, receiver: &mut Receiver, served: Served) -> Result<(), ControlError> {
    let Served { mut handle, about } = served;
    match ask {
        Ask::About => sender.send(&Answer::About(about), None).await,
        Ask::View => sender.send(&Answer::View((*handle.view()).clone()), None).await,
        Ask::Usage => {
            let asking = async { sender.send(&Answer::Usage(handle.usage().await), None).await };
            unless_left(receiver, asking).await
        }
        Ask::Watch => {
            let watching = async {
                loop {
                    let view = (*handle.latest()).clone();
                    sender.send(&Answer::View(view), None).await?;
                    if !handle.changed().await {
                        return Ok(());
                    }
                }
            };
            unless_left(receiver, watching).await
        }
        Ask::Follow => {
            let mut events = handle.follow();
            let following = async {
                while let Some(event) = events.recv().await {
                    sender.send(&Answer::Event(event), None).await?;
                }
                Ok(())
            };
            unless_left(receiver, following).await
        }
        Ask::Command(command) => {
            let asking = handle.ask(command);
            // Who goes away has asked all the same.
            sender.send(&Answer::Command(asking.await), None).await
        }
        Ask::Detached(ask) => {
            let answer = match start_detached(ask, &handle).await {
                Ok(()) => Answer::Command(Ok(())),
                Err(refusal) => Answer::Refused(refusal),
            };
            sender.send(&answer, None).await
        }
        Ask::Round(wish) => round(*wish, sender, receiver, &handle).await,
        Ask::Exec(ask) => exec(ask, sender, receiver, &handle).await,
    }
}

/// Works until the client goes away; one that says something instead breaks the protocol.
async fn unless_left(
    receiver: &mut Receiver,
    work: impl Future<Output = Result<(), ControlError>>,
) -> Result<(), ControlError> {
    tokio::select! {
        result = work => result,
        result = receiver.next::<Tell>() => result.and(Err(ControlError::WrongAnswer)),
    }
}

/// The signal of one who has gone away.
const SIGHUP: i32 = 1;

/// Begins a round and tells its events; its end is the end of the row. Who goes away ends its steps.
async fn round(
    wish: RoundWish,
    sender: &Sender,
    receiver: &mut Receiver,
    handle: &RunHandle,
) -> Result<(), ControlError> {
    let GoingRound { number, mut events } = match handle.round(wish).await {
        Ok(going) => going,
        Err(error) => return sender.send(&Answer::Command(Err(error)), None).await,
    };
    let telling = async {
        sender.send(&Answer::Command(Ok(())), None).await?;
        while let Some(event) = events.recv().await {
            sender.send(&Answer::Event(event), None).await?;
        }
        Ok(())
    };
    let heeding = async {
        loop {
            match receiver.next::<Tell>().await {
                Ok(Tell::Signal(signal)) => cancel(handle, number, signal).await,
                Ok(_) => return ControlError::WrongAnswer,
                Err(gone) => return gone,
            }
        }
    };
    let ended = tokio::select! {
        result = telling => result,
        gone = heeding => Err(gone),
    };
    if ended.is_err() {
        cancel(handle, number, SIGHUP).await;
    }
    ended
}

async fn cancel(handle: &RunHandle, round: u64, signal: i32) {
    // A run that is over has no steps.
    let _ = handle.ask(RunCommand::Cancel { round, signal }).await;
}

async fn exec(ask: ExecAsk, sender: &Sender, receiver: &mut Receiver, handle: &RunHandle) -> Result<(), ControlError> {
    let started = match start(ask, handle).await {
        Ok(started) => started,
        Err(refusal) => return sender.send(&Answer::Refused(refusal), None).await,
    };
    let Started { stream, control, end } = started;
    sender.send(&Answer::Started(control.number()), Some(stream.as_fd())).await?;
    // From here on it is the client's alone.
    drop(stream);
    let heeding = async {
        loop {
            let told = receiver.next::<Tell>().await?;
            // A command that has ended cannot be told anything, which its end says.
            let _: Result<(), SessionError> = match told {
                Tell::Resize(size) => control.resize(size).await,
                Tell::Signal(signal) => control.signal(signal).await,
                Tell::Terminate(grace) => control.terminate(grace).await,
            };
        }
    };
    tokio::select! {
        ended = end.wait() => sender.send(&Answer::Exited(ended), None).await,
        gone = heeding => gone,
    }
}

struct Started {
    stream: std::os::fd::OwnedFd,
    control: ExecControl,
    end: CommandEnd,
}

/// The machine and the command that a client means.
fn asked(ask: ExecAsk, handle: &RunHandle) -> Result<(Guest, ExecRequest), Refusal> {
    let guest = handle.guest(&ask.machine)?;
    if let Some(folder) = ask.working_dir.as_ref().filter(|folder| !Path::new(folder).is_absolute()) {
        let message = format!("`{}` cannot be a working folder: it is no absolute path", folder.display());
        return Err(Refusal { message, help: None, exit_code: 126 });
    }
    let ExecAsk { command, env, working_dir, user, streams, .. } = ask;
    Ok((guest, ExecRequest { command, env, working_dir, user, streams }))
}

async fn start_detached(ask: ExecAsk, handle: &RunHandle) -> Result<(), Refusal> {
    let (guest, request) = asked(ask, handle)?;
    Ok(guest.exec_detached(request).await?)
}

async fn start(ask: ExecAsk, handle: &RunHandle) -> Result<Started, Refusal> {
    let (guest, request) = asked(ask, handle)?;
    let exec = Guest::exec(&guest, request).await?;
    let stream = hand_over(exec.input, exec.output).map_err(|error| Refusal {
        message: format!("the streams of the command cannot be handed over: {error}"),
        help: None,
        exit_code: 125,
    })?;
    Ok(Started { stream, control: exec.control, end: exec.end })
}

impl From<GuestError> for Refusal {
    fn from(error: GuestError) -> Self {
        let help = match &error {
            GuestError::Unknown { near, .. } => near.as_ref().map(|near| format!("did you mean `{near}`?")),
            GuestError::NotUp { name, phase: None | Some(MachinePhase::Stopped | MachinePhase::Failed) } => {
                Some(format!("`smolvm start {name}` boots it, `smolvm ps` shows all"))
            }
            GuestError::NotUp { .. } => Some("`smolvm ps` shows how it stands".to_owned()),
            GuestError::Over => None,
        };
        Self { message: error.to_string(), help, exit_code: 125 }
    }
}

impl From<StartFailure> for Refusal {
    fn from(StartFailure { exit_code, cause }: StartFailure) -> Self {
        Self { message: cause, help: None, exit_code }
    }
}
