//! A run as it is looked at and told from outside: by the `up` that runs it, the supervisor that holds it, a program
//! that uses the library.
//!
//! ```text
//! RunHandle ──ask──► RunDoor (in the run's loop) ──RunInput──► Dispatcher
//!     ▲ view ◄───────────── watch ◄──────────── events
//!     └ guest: a machine that is up, past the loop
//! ```
//!
//! The handle keeps nothing alive: when the run is over, everything answers that it is. Deliberately not here: what a
//! command does (`held`), commands inside a machine (`outside`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::outside::{Guest, GuestError};
use super::round::RoundWish;
use super::view::RunView;
use super::worker::Workers;
use crate::event::Timed;

/// Commands that wait for the loop.
const COMMANDS_WAITING: usize = 16;

/// Events that wait for one who follows them; who is slower loses the row.
const EVENTS_WAITING: usize = 1024;

/// What is asked of a run. No names mean all machines of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunCommand {
    /// Machines that are down boot, and stay up. It has come when they are ready and their commands were started.
    Start {
        /// Which.
        machines: Vec<String>,
        /// Whether it has come only when their services are healthy.
        is_healthy: bool,
    },
    /// Machines power off in order, and stay down. It has come when they are gone.
    Stop {
        /// Which.
        machines: Vec<String>,
        /// For their commands to end, instead of what the file says.
        grace: Option<Duration>,
    },
    /// Machines power off in order and boot again.
    Restart {
        /// Which.
        machines: Vec<String>,
        /// For their commands to end, instead of what the file says.
        grace: Option<Duration>,
    },
    /// A signal to the commands of services; SIGKILL ends the machines at once, without their help.
    Kill {
        /// Which.
        machines: Vec<String>,
        /// Number of the signal.
        signal: i32,
    },
    /// The steps of a round end as by this signal, the second time at once; no machine does. Without effect on another.
    Cancel {
        /// The number of the round.
        round: u64,
        /// Number of the signal.
        signal: i32,
    },
    /// Somebody has looked at the step that failed: the run goes on where it waits for that.
    Resume,
    /// All machines power off in order, and the run ends.
    Down,
}

/// Why what was asked of a run did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommandError {
    /// No machine of the run has this name.
    #[error("there is no machine `{name}` in this run")]
    Unknown {
        /// The name.
        name: String,
        /// The nearest name that there is.
        near: Option<String>,
    },
    /// A machine failed on its way.
    #[error("machine `{machine}` failed: {cause}")]
    Failed {
        /// Which.
        machine: String,
        /// Why.
        cause: String,
    },
    /// Something else is happening with the machine, or with the run, that keeps it from coming.
    #[error("{0}")]
    Refused(String),
    /// Steps are not over yet, or machines still come up; it can be asked for again.
    #[error("the machines are busy: {0}")]
    Busy(String),
    /// The run is over, or ended before.
    #[error("the run is over")]
    Over,
}

/// Where an answer is waited for.
pub(super) type ToAnswer = oneshot::Sender<Result<(), CommandError>>;

/// What is asked, and who waits for its answer.
pub(super) enum Asked {
    Command(RunCommand, ToAnswer),
    /// A round of this number, and who looks on.
    Round(u64, Box<RoundWish>, mpsc::Sender<Timed>, ToAnswer),
}

/// The numbers of rounds begin here; those of commands do not come so far.
const FIRST_ROUND: u64 = 1 << 63;

/// Events that wait for who has asked for a round; the guests are held back where there are more.
const ROUND_WAITING: usize = 64;

/// A round that goes on.
#[derive(Debug)]
pub struct GoingRound {
    /// Its number, for [`RunCommand::Cancel`].
    pub number: u64,
    /// Its events, from [`Event::RunStarted`](crate::event::Event::RunStarted) to its end. They are to be taken: the guests
    /// are held back meanwhile.
    pub events: mpsc::Receiver<Timed>,
}

/// A run, from outside. Cheap to clone.
#[derive(Clone)]
pub struct RunHandle {
    shared: Arc<Shared>,
    seen: watch::Receiver<Arc<RunView>>,
}

/// The other end, for [`RunDeps::door`](super::RunDeps::door). The first run that gets it takes it.
#[derive(Clone)]
pub struct RunDoor {
    inside: Arc<Mutex<Option<Inside>>>,
}

/// What handles and door have in common.
struct Shared {
    commands: mpsc::Sender<Asked>,
    workers: OnceLock<Weak<Workers>>,
    followers: Mutex<Vec<mpsc::Sender<Timed>>>,
}

/// What the run takes from its door.
pub(super) struct Inside {
    shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Asked>,
    view: watch::Sender<Arc<RunView>>,
}

impl fmt::Debug for RunHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunHandle").finish_non_exhaustive()
    }
}

impl fmt::Debug for RunDoor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunDoor").finish_non_exhaustive()
    }
}

/// A handle, and the door that makes it the handle of a run.
pub fn door() -> (RunHandle, RunDoor) {
    let (to_run, commands) = mpsc::channel(COMMANDS_WAITING);
    let (view, seen) = watch::channel(Arc::new(RunView::nothing()));
    let shared = Arc::new(Shared { commands: to_run, workers: OnceLock::new(), followers: Mutex::default() });
    let inside = Inside { shared: Arc::clone(&shared), commands, view };
    (RunHandle { shared, seen }, RunDoor { inside: Arc::new(Mutex::new(Some(inside))) })
}

impl RunHandle {
    /// Asks something of the run, and returns when it has come or cannot. Canceled, it goes on all the same.
    ///
    /// # Errors
    /// Where it did not come; [`CommandError::Over`] where the run has ended.
    pub async fn ask(&self, command: RunCommand) -> Result<(), CommandError> {
        let (sender, answer) = oneshot::channel();
        // The end of the run is what was asked for.
        let over = match command {
            RunCommand::Down => Ok(()),
            _ => Err(CommandError::Over),
        };
        self.shared.commands.send(Asked::Command(command, sender)).await.map_err(|_| CommandError::Over)?;
        answer.await.unwrap_or(over)
    }

    /// Has other steps run in the machines that the run holds, and has these be what the plan says.
    ///
    /// # Errors
    /// [`CommandError::Busy`] while other steps run; where the run does not hold its machines, or has no ports for them.
    pub async fn round(&self, wish: RoundWish) -> Result<GoingRound, CommandError> {
        static NEXT: AtomicU64 = AtomicU64::new(FIRST_ROUND);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let (listener, events) = mpsc::channel(ROUND_WAITING);
        let asked = Asked::Round(number, Box::new(wish), listener, sender);
        self.shared.commands.send(asked).await.map_err(|_| CommandError::Over)?;
        answer.await.unwrap_or(Err(CommandError::Over))?;
        Ok(GoingRound { number, events })
    }

    /// What is now; when the run is over, what was at its end.
    pub fn view(&self) -> Arc<RunView> {
        Arc::clone(&self.seen.borrow())
    }

    /// What is now; [`RunHandle::changed`] then waits for another.
    pub fn latest(&mut self) -> Arc<RunView> {
        Arc::clone(&self.seen.borrow_and_update())
    }

    /// Waits for another view than the last one that this handle waited for; false when the run is over.
    pub async fn changed(&mut self) -> bool {
        self.seen.changed().await.is_ok()
    }

    /// Waits for the end of the run.
    pub async fn over(&mut self) {
        while self.changed().await {}
    }

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.shared.commands.is_closed()
    }

    /// A machine that is up.
    ///
    /// # Errors
    /// Where there is none of this name, or it is not up; each says what is.
    pub fn guest(&self, machine: &str) -> Result<Guest, GuestError> {
        let workers = self.shared.workers.get().and_then(Weak::upgrade).ok_or(GuestError::Over)?;
        Guest::find(workers, self.clone(), machine)
    }

    /// All events from now on. Who does not take them in time loses the rest: the row ends.
    pub fn follow(&self) -> mpsc::Receiver<Timed> {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
        if !self.is_over() {
            self.shared.followers().push(sender);
        }
        receiver
    }
}

impl Shared {
    fn followers(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Timed>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunDoor {
    /// Opens it for a run. A door that another run has taken lets nobody in.
    pub(super) fn open(&self, workers: &Arc<Workers>) -> Option<Inside> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // It was never set: the door is taken once.
        let _ = inside.shared.workers.set(Arc::downgrade(workers));
        Some(inside)
    }
}

impl Inside {
    /// Shows what is now.
    pub(super) fn show(&self, view: Arc<RunView>) {
        self.view.send_replace(view);
    }

    /// Gives an event to those who follow.
    pub(super) fn tell(&self, event: &Timed) {
        self.shared.followers().retain(|follower| follower.try_send(event.clone()).is_ok());
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.commands.close();
        self.shared.followers().clear();
    }
}
