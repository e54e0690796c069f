//! What goes into a service and what comes out, as plain data.

use std::time::Duration;

use super::super::input::StartFailure;
use crate::event::{ServicePhase, Stream};
use crate::guest::ExitStatus;
use crate::plan::{HealthPlan, Restart};

/// What happened to a service, or what is asked of it. Numbers are those of starts and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) enum ServiceInput {
    /// Its machine is up.
    MachineReady,
    /// Its machine holds nothing any more.
    MachineGone,
    /// It is to end, in so much time, or in what the file says.
    Stop(Option<Duration>),
    /// The agent started it, or could not.
    Started(u32, Result<(), StartFailure>),
    /// It wrote something.
    Output(u32, Stream, Vec<u8>),
    /// Its process ended, perhaps for want of memory.
    Exited(u32, ExitStatus, bool),
    /// A test could not be started.
    TestFailed(u32, StartFailure),
    /// A test wrote something.
    TestOutput(u32, Vec<u8>),
    /// A test ended.
    TestExited(u32, ExitStatus),
    /// Time is up.
    Overdue(ServiceTimer),
}

/// Deadlines, with the start or the test that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum ServiceTimer {
    /// The agent was to start the command.
    Start(u32),
    /// It has rested.
    Rest(u32),
    /// It was to end politely.
    Grace(u32),
    /// It was to end at all.
    Kill(u32),
    /// The next test is due.
    Test(u32),
    /// A test was to end.
    TestTime(u32),
    /// A test that was killed was to end.
    TestKill(u32),
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) enum ServiceEffect {
    /// Start the command.
    Exec(u32),
    /// Send it the signal that asks it to end.
    Signal(u32),
    /// End it, and all that it started, at once.
    Kill(u32),
    /// Start a test.
    Test(u32),
    /// End a test at once.
    KillTest(u32),
    Arm(ServiceTimer, Duration),
    /// Tell what it has reached.
    Tell(News),
    /// The agent does not do what it is told.
    KillMachine(String),
    /// It does not end.
    Warn(String),
}

/// What is told of a service, beside its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct News {
    pub(in crate::run) phase: ServicePhase,
    /// Since its start, or since its machine was ready.
    pub(in crate::run) since: Duration,
    pub(in crate::run) attempt: Option<u32>,
    pub(in crate::run) of: Option<u32>,
    pub(in crate::run) exit_code: Option<i32>,
    pub(in crate::run) delay: Option<Duration>,
    /// What tests it, in a word.
    pub(in crate::run) test: Option<String>,
    pub(in crate::run) cause: Option<String>,
}

/// How the command ended last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct End {
    /// 128+n for signal n.
    pub(in crate::run) exit_code: i32,
    pub(in crate::run) cause: Option<String>,
}

/// What is fixed for a service.
#[derive(Debug, Clone)]
pub(in crate::run) struct ServiceFacts {
    pub(in crate::run) restart: Restart,
    pub(in crate::run) health: Option<HealthPlan>,
    pub(in crate::run) grace: Duration,
    /// Memory of its machine as the file says it.
    pub(in crate::run) memory: String,
}
