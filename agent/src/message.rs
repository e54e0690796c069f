//! What host and agent say to each other. Host and agent are built together: a change here raises
//! [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION), and nothing is kept compatible.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::wire_setup::{Setup, SetupMount};
use crate::wire_stats::GuestStats;

/// What the host asks for on the control connection. Each is answered by one [`Answer::Reply`] of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Makes a machine with its root of the booted kernel: once, before anything else.
    Setup(Setup),
    /// Makes the mounts and verifies each: once, after the setup and before any command.
    Mount {
        /// Parents before what is below them.
        mounts: Vec<SetupMount>,
    },
    /// Looks a user up in the image's own files: `name`, `uid`, `uid:gid`, `name:group`.
    ResolveUser {
        /// As written by the user.
        user: String,
    },
    /// Forgets cached attributes of the shares, and reads those of their roots again.
    RefreshShares,
    /// Starts a command; its output and end are [`Report`]s.
    Exec(Exec),
    /// Sends a signal to the process group of a command.
    Signal {
        /// Which command.
        exec: u64,
        /// Number of the signal.
        signal: i32,
    },
    /// Sends a signal to the process of a command alone, not to what it has started.
    SignalProcess {
        /// Which command.
        exec: u64,
        /// Number of the signal.
        signal: i32,
    },
    /// Changes the size of a command's terminal; nothing happens where it has none, or has ended.
    Resize {
        /// Which command.
        exec: u64,
        /// The new size.
        size: TerminalSize,
    },
    /// Ends a command and all that it started: TERM, and KILL when the grace is over. Answered at once.
    Terminate {
        /// Which command.
        exec: u64,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Ends everything that commands left behind; answered when nothing is left.
    EndBackground {
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Which of these absolute paths or globs match nothing.
    MissingOutputs {
        /// Patterns.
        patterns: Vec<String>,
    },
    /// What the machine has used so far; refused while another such question is open.
    Stats,
    /// Ends everything and powers off; answered at once.
    Shutdown {
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Asks for a sign of life; answered at once, in any state.
    Ping,
}

/// A request and its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Number, unique in the session.
    pub id: u32,
    /// The request.
    pub request: Request,
}

/// What the agent says on the control connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The agent lives.
    Heartbeat,
    /// A program has connected to a link, and waits for the host under a number.
    Linked {
        /// Place of the link in the setup.
        link: u32,
        /// The number, for [`Forward::Link`](crate::Forward::Link).
        ticket: u64,
    },
    /// The answer to a request.
    Reply {
        /// Number of the request.
        id: u32,
        /// Its answer.
        reply: Reply,
    },
}

/// How a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done, or under way where the request says so.
    Done,
    /// The user that was asked for.
    User(GuestUser),
    /// Places, in the request, of the patterns that match nothing.
    Missing(Vec<u32>),
    /// What was used so far.
    Stats(GuestStats),
    /// It could not be done.
    Failed(Failure),
}

/// What the agent says on the output connection; of a command with a stream its output goes there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A command wrote something.
    Output {
        /// Which command.
        exec: u64,
        /// Where it wrote.
        stream: Stream,
        /// What it wrote.
        bytes: Bytes,
    },
    /// The process of a command ended; all that was written before came before, or is on its stream, which has ended.
    Exited {
        /// Which command.
        exec: u64,
        /// How it ended.
        status: ExitStatus,
        /// Whether the kernel killed a process of the command for want of memory.
        is_out_of_memory: bool,
    },
    /// Output of what commands left in the background, and warnings of the kernel.
    Log {
        /// What was written.
        bytes: Bytes,
    },
}

/// Which output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a process in the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It ended by itself with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl ExitStatus {
    /// The code that a shell gives it: its own, or 128 and the number of the signal.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// A user as the image knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestUser {
    /// Name, where the image has one for the id.
    pub name: Option<String>,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home folder, `/` where the image knows none.
    pub home: String,
}

/// A command to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Number chosen by the host, unique in the session.
    pub id: u64,
    /// What runs.
    pub command: Command,
    /// Environment, above `PATH`, `HOME`, `USER`, `LOGNAME` and `HOSTNAME`; later entries win.
    pub env: Vec<(OsString, OsString)>,
    /// Working folder, `/` by default.
    pub working_dir: Option<OsString>,
    /// Whether a working folder that is missing is made, where it would lie in the machine's own writable layer.
    pub is_working_dir_made: bool,
    /// User, in a form of [`Request::ResolveUser`].
    pub user: String,
    /// Where its input comes from and its output goes to, where the host has opened a stream for it. Without one its
    /// input is empty, and its output goes on the output connection.
    pub streams: Option<Streams>,
}

/// How a command uses the stream that the host has opened for it, whose [`Attach`] has the command's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Streams {
    /// Three pipes.
    Pipes,
    /// A terminal, which is input and both outputs.
    Terminal(Terminal),
}

/// A terminal for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// What kind, for `TERM`; the command's own environment is above it.
    pub kind: String,
    /// Its size.
    pub size: TerminalSize,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// The first frame of a stream, behind the host's greeting: to which command it belongs. The agent greets when it keeps
/// the stream for the [`Request::Exec`] of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Number of the command that will be started.
    pub exec: u64,
}

/// What a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A script: written to a file whose path is the shell's last argument.
    Script {
        /// File name of the script.
        name: String,
        /// Its text.
        text: String,
        /// The shell and its arguments.
        shell: Vec<String>,
    },
    /// A program and its arguments: bytes, which need not be text.
    List(Vec<OsString>),
}

/// Why the agent could not do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// In words: a fragment in lower case, names in backticks.
    pub message: String,
}

/// Kinds of failures that the host tells apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Setup did not get through.
    Setup {
        /// Where it stopped.
        phase: SetupPhase,
        /// Target of the mount that failed.
        target: Option<String>,
    },
    /// The image does not know the user or the group.
    User,
    /// The program is not there.
    NotFound,
    /// The program is there and cannot be run.
    CannotRun,
    /// The working folder is not there, or the user may not enter it.
    WorkingDir,
    /// Anything else.
    Other,
}

/// Phases of a setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupPhase {
    /// Clock, entropy, host name, loopback.
    System,
    /// Root file system: lower share, writable layer, and what the kernel offers below it.
    Root,
    /// A mount was made.
    Mount,
    /// A mount was checked.
    Verify,
}
