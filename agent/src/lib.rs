//! The protocol that the host speaks with the agent: greeting, frames and messages.
//!
//! ```text
//! port 1024, control   host ─► greeting, Request…          agent ─► greeting, Answer… (replies and heartbeats)
//! port 1025, output    host ─► greeting                    agent ─► greeting, Report… (output, ends of commands, log)
//! port 1026, stream    host ─► greeting, Attach, bytes…    agent ─► greeting, Report… (output of one command)
//! port 1027, forward   host ─► opening, bytes…            agent ─► bytes… (of a program of the guest)
//! port 1028, network   host ─► greeting, packets…      agent ─► greeting, packets… (of a machine with a network)
//! ```
//!
//! After the greeting (8 bytes, the same in every version) each direction is a row of frames: a length of four
//! bytes, little endian, and that many bytes of one message in postcard's form. Every length has a limit, and the
//! side that reads checks it before it allocates. Output has a connection of its own, so that a command that
//! floods it holds up neither replies nor heartbeats; the end of a command travels behind its output.
//!
//! A command with input or a terminal has a stream of its own, which the host opens before it asks for the command: what
//! follows the [`Attach`] is the command's input as it is, not in frames, and its end is the end of that direction. The
//! stream's own flow control is the command's: a command that does not read holds up its own input, a reader that is slow
//! its own output, and nothing else. A command that closes its input has that direction refused. A host that closes
//! the whole stream closes the command's outputs, and hangs its terminal up. The end of a command is always told on the
//! output connection, after the end of its stream.
//!
//! Packets of a network are IP packets, each behind its length of two bytes, little endian, both ways.
//!
//! Files travel as a [`pack`]ed row on the stream of a command, between the host and the agent's own program.
//!
//! Deliberately not here: input and output but for files that are packed, threads, the work of PID 1 (`main.rs`).

#![forbid(unsafe_code)]

mod bytes;
mod forward;
mod frame;
mod greeting;
mod message;
mod packing;
mod parcel;
mod part;
mod pattern;
mod skipped;
mod wire_network;
mod wire_setup;
mod wire_stats;

pub use bytes::Bytes;
pub use forward::{FORWARD_BYTES, Forward};
pub use frame::{ANSWER_MAX, FrameError, REQUEST_MAX, decode, encode, frame_length};
pub use greeting::{GREETING_BYTES, GreetingError, PROTOCOL_VERSION, check_greeting, greeting};
pub use message::{
    Answer, Attach, Command, Exec, ExitStatus, Failure, FailureKind, GuestUser, Numbered, Reply, Report, Request,
    SetupPhase, Stream, Streams, Terminal, TerminalSize,
};
pub use packing::{pack, pack_files};
pub use parcel::{Destination, unpack};
pub use part::{Head, Part};
pub use pattern::{has_wildcard, matches_name};
pub use skipped::Skipped;
pub use wire_network::SetupNetwork;
pub use wire_setup::{DiskBeginning, Setup, SetupLink, SetupMount, SetupMountKind, SetupRoot};
pub use wire_stats::GuestStats;

/// The agent's program, as root of the guest finds it in any image.
pub const AGENT_PROGRAM: &str = "/proc/1/exe";

/// First word for the agent's program: packs the path that follows to standard output.
pub const PACK: &str = "pack";

/// First word for the agent's program: unpacks standard input at the path that follows.
pub const UNPACK: &str = "unpack";

/// Behind the path of [`PACK`]: where the path itself is a link, what it leads to is packed.
pub const FOLLOWED: &str = "followed";

/// Behind the path of [`UNPACK`]: entries belong to whom they belonged to, instead of who unpacks.
pub const WITH_OWNERS: &str = "with-owners";

/// As [`UNPACK`], for the entries of a folder.
pub const UNPACK_CONTENTS: &str = "unpack-contents";

/// First word for the agent's program: unpacks the tar archive on standard input into the volume at the path that follows, all
/// of it or nothing; then come the volume's name and its size in MiB, to be told.
pub const IMPORT: &str = "import";

/// Serial number of a disk that holds a parcel: a folder with the program that checks file systems and what it needs.
pub const CHECKER_SERIAL: &str = "checker";

/// Name of that program.
pub const CHECKER: &str = "e2fsck";

/// Name of what loads it, where it is not static.
pub const CHECKER_LOADER: &str = "loader";

/// Vsock port of the control connection.
pub const CONTROL_PORT: u32 = 1024;

/// Vsock port of the output connection.
pub const OUTPUT_PORT: u32 = 1025;

/// Vsock port of streams, one connection a command.
pub const STREAM_PORT: u32 = 1026;

/// Vsock port of connections that are joined with programs of the guest.
pub const FORWARD_PORT: u32 = 1027;

/// Vsock port of a machine's packets, one connection.
pub const NETWORK_PORT: u32 = 1028;

/// Seconds between two heartbeats of the agent.
pub const HEARTBEAT_SECONDS: u64 = 1;
