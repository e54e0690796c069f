//! Asks the process that holds a project's machines.
//!
//! Each question is a connection of its own. Deliberately not here: what a verb makes of the answers (`cli`).

use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;

use super::channel::{Receiver, Sender, channel};
use super::error::ControlError;
use super::message::{About, Answer, Ask, ExecAsk, PROGRAM, Tell, greeting};
use super::place::{Note, check_private, uid_of};
use crate::event::Timed;
use crate::guest::{CommandInput, CommandOutput, ExitStatus, take_over};
use crate::run::{CommandError, MachineUsage, ProjectState, RoundWish, RunCommand, RunView, StateError};
use crate::sys::identity::Actor;

/// How long a process may take to greet: it does nothing else for that, so one that does not is stopped.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// What was found where the machines of a project may be held.
#[derive(Debug)]
pub enum Found {
    /// Nobody holds any.
    Nobody,
    /// This process does.
    Held(Client),
    /// A process did, and was killed: what it left is to be cleared.
    Left(Note),
}

/// Who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    note: Arc<Note>,
    owner: u32,
}

/// A row of answers.
#[derive(Debug)]
pub struct Rows {
    receiver: Receiver,
    // Its end tells the server that nobody listens.
    _sender: Sender,
}

/// A command that runs in a machine of another process. Dropped, it loses its streams, and is not ended by that.
#[derive(Debug)]
pub struct Remote {
    /// Where its input goes; dropped, it is at its end.
    pub input: CommandInput,
    /// Where its output comes from.
    pub output: CommandOutput,
    /// How it will end.
    pub end: RemoteEnd,
    /// Tells it of signals and of the size of its terminal.
    pub teller: Teller,
}

/// Tells a command of signals and sizes, or a round of signals; used by one task.
#[derive(Debug)]
pub struct Teller(Sender);

/// The end of a command that is to come.
#[derive(Debug)]
pub struct RemoteEnd(Receiver);

impl Client {
    /// Looks for the process that holds the machines of a project.
    ///
    /// # Errors
    /// Where the socket is not only ours, or cannot be reached.
    pub fn find(state: &ProjectState) -> Result<Found, ControlError> {
        let Some(note) = Note::read(state) else { return Ok(Found::Nobody) };
        let client = Self { owner: uid_of(state.actor()), note: Arc::new(note) };
        match client.connect() {
            Ok(_) => Ok(Found::Held(client)),
            Err(ControlError::Place { source, .. })
                if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) =>
            {
                Ok(Found::Left((*client.note).clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// All projects of the user whose machines are held, with their state, sorted by name and folder.
    ///
    /// # Errors
    /// Where the folder of the states cannot be read. One that cannot be asked is left out.
    pub fn all(state_home: &Path, actor: &Actor) -> Result<Vec<(ProjectState, Self)>, StateError> {
        let states = ProjectState::all(state_home, actor)?;
        let mut held: Vec<(ProjectState, Self)> = states
            .into_iter()
            .filter_map(|state| match Self::find(&state) {
                Ok(Found::Held(client)) => Some((state, client)),
                _ => None,
            })
            .collect();
        held.sort_by(|(_, one), (_, other)| one.project().cmp(&other.project()));
        Ok(held)
    }

    /// Name and folder of the project.
    pub fn project(&self) -> (&str, &Path) {
        (&self.note.project, &self.note.folder)
    }

    /// The process at the other end.
    pub fn pid(&self) -> u32 {
        self.note.pid
    }

    fn connect(&self) -> Result<StdStream, ControlError> {
        let path = &self.note.socket;
        let failed = |source| ControlError::Place { what: "connect to", path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| folder.exists()) {
            let foreign =
                |error: std::io::Error| ControlError::Foreign { path: folder.to_owned(), why: error.to_string() };
            check_private(folder, self.owner).map_err(foreign)?;
        }
        StdStream::connect(path).map_err(failed)
    }

    async fn open(&self, ask: &Ask) -> Result<(Sender, Receiver), ControlError> {
        let stream = self.connect()?;
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let peer = stream.peer_cred()?.uid();
        if peer != 0 && peer != self.owner {
            let why = format!("a process of user {peer} listens there");
            return Err(ControlError::Foreign { path: self.note.socket.clone(), why });
        }
        let (sender, mut receiver) = channel(stream);
        sender.send_bytes(&greeting(), None).await?;
        sender.send(ask, None).await?;
        let Ok(greeted) = tokio::time::timeout(GREETING_LIMIT, receiver.bytes()).await else {
            return Err(ControlError::Silent { pid: self.note.pid });
        };
        if greeted? != greeting() {
            let Note { version: theirs, pid, .. } = (*self.note).clone();
            return Err(ControlError::OtherVersion { theirs, ours: PROGRAM, pid });
        }
        Ok((sender, receiver))
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Answer, ControlError> {
        let (_sender, mut receiver) = self.open(ask).await?;
        match receiver.next().await? {
            Answer::Refused(refusal) => Err(ControlError::Refused(refusal)),
            answer => Ok(answer),
        }
    }

    /// Who holds the machines.
    ///
    /// # Errors
    /// Where it cannot be asked, as with all that follow.
    pub async fn about(&self) -> Result<About, ControlError> {
        match self.ask_once(&Ask::About).await? {
            Answer::About(about) => Ok(about),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// What is now.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub async fn view(&self) -> Result<RunView, ControlError> {
        match self.ask_once(&Ask::View).await? {
            Answer::View(view) => Ok(view),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// What the machines that are up have used.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub async fn usage(&self) -> Result<Vec<MachineUsage>, ControlError> {
        match self.ask_once(&Ask::Usage).await? {
            Answer::Usage(usage) => Ok(usage),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// Has the run do something; returns when it has come, or cannot.
    ///
    /// # Errors
    /// Where it cannot be asked; the answer itself is the inner result.
    pub async fn command(&self, command: RunCommand) -> Result<Result<(), CommandError>, ControlError> {
        match self.ask_once(&Ask::Command(command)).await? {
            Answer::Command(answer) => Ok(answer),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// Has the run do other steps in its machines: their events, and who tells it of signals. Dropping both ends the steps.
    ///
    /// # Errors
    /// Where it cannot be asked; whether the steps began is the inner result.
    pub async fn round(&self, wish: RoundWish) -> Result<Result<(Rows, Teller), CommandError>, ControlError> {
        let (sender, mut receiver) = self.open(&Ask::Round(Box::new(wish))).await?;
        match receiver.next().await? {
            Answer::Command(Ok(())) => Ok(Ok((Rows { receiver, _sender: sender.clone() }, Teller(sender)))),
            Answer::Command(Err(error)) => Ok(Err(error)),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// What is now, and again whenever it changes: see [`Rows::view`].
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub async fn watch(&self) -> Result<Rows, ControlError> {
        let (sender, receiver) = self.open(&Ask::Watch).await?;
        Ok(Rows { receiver, _sender: sender })
    }

    /// All events from now on: see [`Rows::event`].
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub async fn follow(&self) -> Result<Rows, ControlError> {
        let (sender, receiver) = self.open(&Ask::Follow).await?;
        Ok(Rows { receiver, _sender: sender })
    }

    /// Starts a command in a machine that is on its own once it runs; what it writes is the machine's output.
    ///
    /// # Errors
    /// [`ControlError::Refused`], with its exit code, where it did not start.
    pub async fn exec_detached(&self, ask: ExecAsk) -> Result<(), ControlError> {
        match self.ask_once(&Ask::Detached(ask)).await? {
            Answer::Command(Ok(())) => Ok(()),
            _ => Err(ControlError::WrongAnswer),
        }
    }

    /// Starts a command in a machine.
    ///
    /// # Errors
    /// [`ControlError::Refused`], with its exit code, where it did not start.
    pub async fn exec(&self, ask: ExecAsk) -> Result<Remote, ControlError> {
        let (sender, mut receiver) = self.open(&Ask::Exec(ask)).await?;
        let exec = match receiver.next().await? {
            Answer::Started(exec) => exec,
            Answer::Refused(refusal) => return Err(ControlError::Refused(refusal)),
            _ => return Err(ControlError::WrongAnswer),
        };
        let stream = receiver.descriptor().ok_or(ControlError::WrongAnswer)?;
        let (input, output) = take_over(stream, exec)?;
        Ok(Remote { input, output, end: RemoteEnd(receiver), teller: Teller(sender) })
    }
}

impl Rows {
    /// The next view of [`Client::watch`]; `None` when the run is over or its process is gone.
    pub async fn view(&mut self) -> Option<RunView> {
        match self.receiver.next().await {
            Ok(Answer::View(view)) => Some(view),
            _ => None,
        }
    }

    /// The next event of [`Client::follow`]; `None` when the run is over, its process is gone, or the events came faster
    /// than they were taken.
    pub async fn event(&mut self) -> Option<Timed> {
        match self.receiver.next().await {
            Ok(Answer::Event(event)) => Some(event),
            _ => None,
        }
    }
}

impl Teller {
    /// Says it; a process that is gone is told by the end of the command.
    pub async fn tell(&self, tell: Tell) {
        let _ = self.0.send(&tell, None).await;
    }
}

impl RemoteEnd {
    /// How the command ended, and whether the guest's kernel killed a process of it for want of memory; `Ok(None)`
    /// where its machine ended first.
    ///
    /// # Errors
    /// Where the process that holds the machine went away.
    pub async fn wait(&mut self) -> Result<Option<(ExitStatus, bool)>, ControlError> {
        match self.0.next().await? {
            Answer::Exited(ended) => Ok(ended),
            _ => Err(ControlError::WrongAnswer),
        }
    }
}
