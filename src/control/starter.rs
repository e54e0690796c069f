//! What `up -d` and the process that it starts to hold the machines say to each other, until the machines are up.
//!
//! They are connected before there is a socket: the starter gives the other end of a pair to the process as its standard
//! input. An end of the connection before the last word means that the other one is gone.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use super::channel::{Receiver, Sender, channel};
use super::error::ControlError;
use crate::event::Timed;
use crate::plan::Plan;

/// What the starter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromStarter {
    /// The plan to carry out: once, first.
    Begin(Box<Plan>),
    /// A signal that it got, by its number.
    Signal(i32),
}

/// What the process says that holds the machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToStarter {
    /// Somebody else holds the project; nothing was done. The last word.
    Taken {
        /// Who, in words.
        holder: String,
    },
    /// The run could not begin. The last word.
    Failed {
        /// Why, in one line.
        cause: String,
        /// What to do.
        help: Vec<String>,
        /// Exit code of such a failure.
        exit_code: u8,
    },
    /// Something happened.
    Event(Timed),
    /// The end of the run was told: the last word.
    Over {
        /// Exit code of the run.
        exit_code: u8,
    },
    /// The steps are over, their end was told, and the machines stay: the last word.
    Stays {
        /// Exit code of what ran.
        exit_code: u8,
        /// Names of the machines that are up.
        machines: Vec<String>,
    },
}

/// The half that sends.
#[derive(Debug)]
pub struct LinkSender(Sender);

/// The half that receives.
#[derive(Debug)]
pub struct LinkReceiver(Receiver);

/// Two connected ends: ours, and the one to give away.
///
/// # Errors
/// Where the system has no sockets left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = StdStream::pair()?;
    Ok((one.into(), other.into()))
}

/// The halves of an end. Must be called within a tokio runtime.
///
/// # Errors
/// Where it is no socket.
pub fn link(end: OwnedFd) -> io::Result<(LinkSender, LinkReceiver)> {
    let stream = StdStream::from(end);
    stream.set_nonblocking(true)?;
    let (sender, receiver) = channel(UnixStream::from_std(stream)?);
    Ok((LinkSender(sender), LinkReceiver(receiver)))
}

impl LinkSender {
    /// Sends a message.
    ///
    /// # Errors
    /// Where the other end is gone.
    pub async fn send<T: Serialize>(&self, message: &T) -> Result<(), ControlError> {
        self.0.send(message, None).await
    }
}

impl LinkReceiver {
    /// The next message of the starter.
    ///
    /// # Errors
    /// Where it is gone, or said what it may not.
    pub async fn from_starter(&mut self) -> Result<FromStarter, ControlError> {
        self.0.next().await
    }

    /// The next message of the process that holds the machines.
    ///
    /// # Errors
    /// Where it is gone, or said what it may not.
    pub async fn to_starter(&mut self) -> Result<ToStarter, ControlError> {
        self.0.next().await
    }
}
