//! The socket on which a run is looked at and told by other processes of its user.
//!
//! ```text
//! client ──greeting, Ask──► server ──► RunHandle          one connection a question
//!        ◄──Answer…────────        ◄──
//!        ◄──descriptor────   streams of a command: from here on its bytes pass by the server
//! ```
//!
//! The socket lies in a folder that only its user can enter, and who connects is asked of the kernel: its user and root
//! are served, nobody else. Both ends are of one version; another one is told as such. Deliberately not here: what the
//! answers mean (`run`), how they are shown (`cli`).

mod channel;
mod client;
mod error;
mod message;
mod place;
mod server;
mod starter;
#[cfg(test)]
mod tests;

pub use client::{Client, Found, Remote, RemoteEnd, Rows, Teller};
pub use error::ControlError;
pub use message::{About, Ask, ExecAsk, Refusal, Role, Tell};
pub use place::{Bound, Note};
pub use server::Server;
pub use starter::{FromStarter, LinkReceiver, LinkSender, ToStarter, link, pair};
