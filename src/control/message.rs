//! What client and server say to each other. Both are of one version: a change here raises [`VERSION`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::Timed;
use crate::guest::{ExitStatus, Streams, TerminalSize};
use crate::run::{CommandError, MachineUsage, RoundWish, RunCommand, RunView};

/// Version of the messages.
pub(super) const VERSION: u32 = 3;

/// The version of the program that both ends must be of.
pub(super) const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// What both ends say first: the same where both are of one version.
pub(super) fn greeting() -> [u8; 16] {
    let mut greeting = *b"smolvm--........";
    let digest = Sha256::digest(format!("{PROGRAM} {VERSION}").as_bytes());
    greeting[8..].copy_from_slice(&digest[..8]);
    greeting
}

/// The question of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Who holds the machines: one [`Answer::About`].
    About,
    /// What is now: one [`Answer::View`].
    View,
    /// What is now, and again whenever it changes, to the end of the run: a row of [`Answer::View`].
    Watch,
    /// What the machines that are up have used: one [`Answer::Usage`].
    Usage,
    /// All events from now on: a row of [`Answer::Event`].
    Follow,
    /// Something for the run to do: one [`Answer::Command`].
    Command(RunCommand),
    /// Other steps in its machines: one [`Answer::Command`], then a row of [`Answer::Event`]; [`Tell::Signal`] ends them,
    /// and so does the end of the connection.
    Round(Box<RoundWish>),
    /// A command in a machine: [`Answer::Started`] with its stream, then [`Answer::Exited`]; [`Tell`]s may be sent
    /// meanwhile.
    Exec(ExecAsk),
    /// The same, but it is on its own once it runs, with three pipes: one [`Answer::Command`].
    Detached(ExecAsk),
}

/// A command in a machine that is up; what it leaves open is the file's, then the image's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAsk {
    /// Which machine.
    pub machine: String,
    /// Program and arguments: bytes, which need not be text.
    pub command: Vec<OsString>,
    /// Environment above that of the machine.
    pub env: BTreeMap<OsString, OsString>,
    /// Working folder instead of the machine's: an absolute path.
    pub working_dir: Option<OsString>,
    /// User instead of the machine's.
    pub user: Option<String>,
    /// Three pipes or a terminal.
    pub streams: Streams,
}

/// What a client says about the command that it has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// Its terminal has another size.
    Resize(TerminalSize),
    /// A signal for its process group.
    Signal(i32),
    /// It and all that it started are to end: TERM, and KILL when the grace is over.
    Terminate(Duration),
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    About(About),
    View(RunView),
    Usage(Vec<MachineUsage>),
    Event(Timed),
    Command(Result<(), CommandError>),
    /// The command of this number runs; a descriptor comes with it, which is its stream.
    Started(u64),
    /// It ended so; `None` where its machine ended first.
    Exited(Option<(ExitStatus, bool)>),
    Refused(Refusal),
}

/// Who holds the machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its process.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Since when.
    pub since: SystemTime,
    /// Whether a terminal waits for it.
    pub role: Role,
}

/// How machines are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// By an `up` that somebody waits for.
    Foreground,
    /// By a process of its own.
    Supervisor,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// 127 and 126 as a shell's for a command, else 125.
    pub exit_code: i32,
}
