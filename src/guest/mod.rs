//! Host end of the agent protocol: connect, greet, ask, and receive what the guest says.
//!
//! ```text
//! Session ──requests (bounded)──► writer ─► control connection ─► agent
//!    ▲ replies ◄── reader ◄──────────────── control connection ◄─ agent
//! Receiver<SessionEvent> (bounded) ◄─ reader ◄─ output connection ◄─ agent      silence ◄─ watchdog of the heartbeats
//! CommandStream ◄──────────────────────────────► stream of one command ◄──► agent
//! ```
//!
//! The guest is hostile: every frame has a limit, every channel a bound, and a receiver that is slow holds the guest
//! back instead of filling memory. Deliberately not here: who makes the connections ([`Dial`]), and what to do about
//! silence or an end, which `run` decides.

mod binary;
mod error;
mod frames;
mod link;
mod session;
#[cfg(test)]
mod session_tests;
mod silence;
mod stream;
mod tasks;

pub use binary::AGENT;
pub use error::{ExecError, SessionError, SetupError, UserError};
pub use link::{Claim, Dial, Traffic};
pub use session::{Linked, Session, SessionEvent, SessionLimits};
pub use smolvm_agent::{
    AGENT_PROGRAM, Destination, FOLLOWED, Head, IMPORT, PACK, Part, Skipped, UNPACK, UNPACK_CONTENTS, WITH_OWNERS,
    pack, unpack,
};
pub use smolvm_agent::{
    Bytes, Command, DiskBeginning, Exec, ExitStatus, GuestStats, GuestUser, Setup, SetupLink, SetupMount,
    SetupMountKind, SetupNetwork, SetupPhase, SetupRoot, Stream, Streams, Terminal, TerminalSize,
};
pub use smolvm_agent::{CHECKER, CHECKER_LOADER, CHECKER_SERIAL, pack_files};
pub use stream::{CommandEnd, CommandInput, CommandOutput, CommandStream, Output, hand_over, take_over};
