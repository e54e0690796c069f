//! What `smolvm` and the process that serves a machine's network say to each other: one message a packet, as JSON.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::news::NatNews;
use super::policy::Allowed;

/// The stream between the two, and its number in the child.
pub(super) const CONTROL_FD: i32 = 3;

/// Longest message.
const MESSAGE_MAX: usize = 128 << 10;

/// From the parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToChild {
    /// What the machine may reach: first of all, and once.
    Start {
        /// `None` is everything.
        allow: Option<Vec<Allowed>>,
    },
    /// The host's servers of names.
    Servers(Vec<SocketAddr>),
    /// A stream of the machine's packets comes along.
    Connect,
}

/// From the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FromChild {
    /// It is confined, and serves.
    Ready,
    /// Names are asked for: which servers has the host now?
    AskServers,
    /// Something is to be told.
    News(NatNews),
}

/// The two ends.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message, and a descriptor with it.
pub(super) fn send(socket: impl AsFd, message: &impl Serialize, with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let with = with.as_slice();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the next message; `None` at the end.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let count = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    if count == 0 {
        return Ok(None);
    }
    let mut with = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            with = descriptors.last();
        }
    }
    Ok(Some((serde_json::from_slice(&bytes[..count])?, with)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_with_their_descriptor_and_then_the_end() {
        let (ours, theirs) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let start = ToChild::Start { allow: Some(vec![Allowed::Name("a.example".to_owned())]) };
        send(&ours, &start, None).unwrap();
        send(&ours, &ToChild::Connect, Some(reader.as_fd())).unwrap();
        drop((ours, reader));
        let (first, none) = receive::<ToChild>(&theirs).unwrap().unwrap();
        assert!(first == start && none.is_none());
        let (second, descriptor) = receive::<ToChild>(&theirs).unwrap().unwrap();
        assert_eq!(second, ToChild::Connect);
        io::Write::write_all(&mut &writer, b"x").unwrap();
        assert_eq!(rustix::io::read(descriptor.unwrap(), &mut [0; 2]), Ok(1));
        assert!(receive::<ToChild>(&theirs).unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (ours, theirs) = pair().unwrap();
        rustix::io::write(&ours, b"{").unwrap();
        assert!(receive::<FromChild>(&theirs).is_err());
    }
}
