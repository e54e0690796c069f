//! What goes into the dispatcher and what comes out: plain data, so that a run can be played back.
//!
//! Machines are named by their place in the plan. Inputs name a step by its number among all of the run, actions by its
//! place in the round.

use std::sync::Arc;
use std::time::Duration;

use super::handle::{CommandError, RunCommand};
use super::options::Summary;
use super::provide::GivenFiles;
use super::provide::Pulled;
use super::round::RoundWish;
use super::service::{ServiceInput, ServiceTimer};
use super::signals::Signal;
use super::state::RunFolder;
use crate::engine::VmExit;
use crate::event::{Event, Stream};
use crate::guest::ExitStatus;
use crate::plan::Plan;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunInput {
    /// A signal that ends the run.
    Signal(Signal),
    /// Time is up for something.
    Timer(Timer),
    /// Somebody outside asks for something; the number says to what the answer belongs.
    Command(u64, RunCommand),
    /// Something about a machine.
    Machine(usize, MachineInput),
    /// Something about a step.
    Step(usize, StepInput),
    /// Something about the service of a machine.
    Service(usize, ServiceInput),
    /// Somebody outside wants a round.
    Round(u64, Box<RoundWish>),
    /// A round has its folder and its ports, which are in the plan, or cannot have them.
    RoundBegun(u64, Result<(Box<Plan>, Option<RunFolder>), String>),
}

/// What happened to a machine, or what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MachineInput {
    /// The schedule wants it up.
    Boot,
    /// The schedule wants it down in order.
    Stop,
    /// The schedule wants it gone at once, without calling it a failure.
    Abandon,
    /// It must go at once, for this reason.
    Fail(String),
    /// The provider says what takes long.
    Progress(String),
    /// The provider, or a server of the machine, has something to say that stops nothing.
    Remark(String),
    /// The provider downloads something.
    Pulled(Pulled),
    /// The provider is done.
    Prepared(Result<(), PrepareFailure>),
    /// The engine was started.
    Started(Result<(), String>),
    /// The serial console.
    Console(Vec<u8>),
    /// The VM ended.
    Exited(VmExit),
    /// The agent answered, or did not.
    Agent(Result<(), String>),
    /// Mounts are made and verified, or not; the text names phase and mount.
    SetUp(Result<(), String>),
    /// Output of a command that nobody waits for.
    Written(Stream, Vec<u8>),
    /// Output of what steps left in the background, and the kernel's log.
    Log(Vec<u8>),
    /// No heartbeat for this many seconds.
    Silent(u64),
    /// The agent's connection is gone.
    Closed(String),
    /// A file server died by itself.
    ShareDied {
        /// Name for people.
        share: String,
        /// How.
        reason: String,
    },
    /// The agent did not take the request to power off.
    ShutdownFailed(String),
    /// Time is up in a state.
    Overdue(MachineTimer),
}

/// Why a provider failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrepareFailure {
    /// In words.
    pub(super) message: String,
    /// Whether this host cannot run machines.
    pub(super) is_host_unfit: bool,
}

/// What happened to a step, or what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepInput {
    /// The schedule starts it.
    Begin,
    /// The schedule ends it.
    Cancel(CancelReason),
    /// Its machine is gone or as good as gone.
    MachineLost(String),
    /// The agent started it, or could not.
    Started(Result<(), StartFailure>),
    /// It wrote something.
    Output(Stream, Vec<u8>),
    /// A source of its machine is not what is mounted any more. Comes before the end of the process.
    SourceLost(String),
    /// Its process ended.
    Exited(ExitStatus, bool),
    /// Which of its outputs are missing.
    Outputs(Result<Vec<String>, String>),
    /// What it made was given to its owner, or could not be.
    Given(Result<GivenFiles, String>),
    /// Its own time is up.
    TimeUp,
    /// It has rested, and is tried again.
    Rested,
    /// It should have ended by now.
    Overdue(EndStage),
}

/// Why a step is ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CancelReason {
    /// An interrupt: it gets this signal first.
    Interrupt(Signal),
    /// Another step failed.
    Failure(String),
    /// A service that it needs, or its machine, is lost for this reason: a failure of its own.
    Lost(String),
    /// What `finally` may take after an interrupt is used up.
    FinallyTimeUp,
    /// A second interrupt: nothing is waited for.
    Kill,
    /// A second interrupt of a round, whose machines stay: it is killed in its machine.
    Hurry,
}

/// How far the ending of a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndStage {
    /// It got SIGINT.
    Interrupted,
    /// The agent was told to end all of it.
    Terminated,
    /// The agent owes an answer, about its start or its outputs.
    Unanswered,
    /// It was to be started, and the agent has not said that it was.
    Unstarted,
}

/// Why a command did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    /// 126, 127 or 125.
    pub exit_code: i32,
    /// In words.
    pub cause: String,
}

/// One attempt of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Number of the step among all of the run.
    pub(super) step: usize,
    /// From 1.
    pub(super) number: u32,
}

/// Deadlines, each of which is set at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// `timeout` of a step.
    StepTime(Attempt),
    /// A step that is being ended.
    StepEnd(Attempt, EndStage),
    /// `delay` of a step's `retry` after this attempt.
    StepRest(Attempt),
    /// A state of a machine, in this life of it, that must not last.
    Machine(usize, u32, MachineTimer),
    /// A state of a machine's service, in this life of the machine.
    Service(usize, u32, ServiceTimer),
    /// All of `finally`, after an interrupt, in the round of this number.
    Finally(u64),
}

/// States of a machine that must not last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MachineTimer {
    /// The agent is gone, the end of the VM should follow.
    Lost,
    /// It was asked to power off.
    Stop,
    /// It was killed.
    End,
}

/// What must be done with the service of a machine. Numbers are those of starts and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceAction {
    /// Set the owners' view and start the command.
    Exec(u32),
    /// Send it the signal that asks it to end: the file's, the image's, or SIGTERM.
    AskToEnd(u32),
    /// Send it this signal.
    Signal(u32, i32),
    /// End it, and all that it started, at once.
    Kill(u32),
    /// Start a test.
    Test(u32),
    /// End a test at once.
    KillTest(u32),
}

/// What the workers must do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Tell the reporters.
    Emit(Event),
    /// Ask the provider.
    Prepare(usize),
    /// The provider need not go on.
    CancelPrepare(usize),
    /// Start the engine.
    Start(usize),
    /// Connect to the agent.
    OpenSession(usize),
    /// Make mounts.
    SetUp(usize),
    /// Set the owners' view and start the step.
    Exec(usize),
    /// Send a signal to the step's process group.
    SignalStep(usize, i32),
    /// End all processes of the step.
    Terminate(usize, Duration),
    /// See whether the step's outputs are there.
    CheckOutputs(usize),
    /// Give what the step made to its owner.
    GiveFiles(usize),
    /// Do something with the service of a machine.
    Service(usize, ServiceAction),
    /// Power the machine off in order.
    Shutdown(usize, Duration),
    /// Kill the VM.
    Kill(usize),
    /// Let go of all that the machine has: session, VM, file servers.
    Release(usize),
    /// Come back with this input.
    Arm(Timer, Duration),
    /// What was asked for has come, or cannot.
    Answer(u64, Result<(), CommandError>),
    /// Get a folder and ports for a round.
    BeginRound(u64, Box<Plan>),
    /// What is told from now on belongs to a new round, whose logs go here.
    Record(Option<RunFolder>),
    /// The plan is this one now; with what is fixed for each of its machines.
    NextRound {
        /// The plan.
        plan: Arc<Plan>,
        /// Number of its first step.
        step_base: usize,
        /// Which machines are others than before.
        anew: Vec<bool>,
        /// Which machines are no more.
        removed: Vec<bool>,
    },
    /// The run is over.
    Finish(Summary),
}
