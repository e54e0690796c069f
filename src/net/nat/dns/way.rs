//! One question on its way to a server and back: a datagram first, and a stream where the answer does not fit into one.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::super::sockets;
use super::message::Query;
use super::reply::{Reply, read_reply};

/// Longest message (RFC 1035, 4.2.2).
const MESSAGE_MAX: usize = 65_535;

/// A question that was sent to one server.
#[derive(Debug)]
pub(super) struct Way {
    id: u16,
    socket: OwnedFd,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    output: Vec<u8>,
    input: Vec<u8>,
}

/// What came of a look at it.
#[derive(Debug)]
pub(super) enum Look {
    Waits,
    Answered(Reply),
    /// The answer is too long for a datagram.
    Cut,
    /// This server does not answer.
    Failed,
}

impl Way {
    /// Sends a datagram.
    pub(super) fn by_datagram(query: &Query, id: u16, server: SocketAddr) -> rustix::io::Result<Self> {
        let socket = sockets::datagrams(server)?;
        send(&socket, &query.forward(id), SendFlags::NOSIGNAL)?;
        Ok(Self { id, socket, stream: None })
    }

    /// Opens a stream.
    pub(super) fn by_stream(query: &Query, id: u16, server: SocketAddr) -> rustix::io::Result<Self> {
        let message = query.forward(id);
        let mut output = u16::try_from(message.len()).map_err(|_| Errno::MSGSIZE)?.to_be_bytes().to_vec();
        output.extend(message);
        let stream = Stream { output, input: Vec::new() };
        Ok(Self { id, socket: sockets::stream(server)?, stream: Some(stream) })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Does what can be done without waiting.
    pub(super) fn look(&mut self, query: &Query) -> Look {
        let looked = match &mut self.stream {
            None => look_at_datagrams(&self.socket, query, self.id),
            Some(stream) => look_at_stream(&self.socket, stream, query, self.id),
        };
        match looked {
            Ok(look) => look,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOTCONN) => Look::Waits,
            Err(_) => Look::Failed,
        }
    }
}

fn look_at_datagrams(socket: &OwnedFd, query: &Query, id: u16) -> rustix::io::Result<Look> {
    let mut buffer = [0; 4096];
    loop {
        let (count, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        // What is no answer to this question is somebody else's attempt.
        match read_reply(query, id, &buffer[..count]) {
            Some(reply) if reply.is_cut => return Ok(Look::Cut),
            Some(reply) => return Ok(Look::Answered(reply)),
            None => {}
        }
    }
}

fn look_at_stream(socket: &OwnedFd, stream: &mut Stream, query: &Query, id: u16) -> rustix::io::Result<Look> {
    while !stream.output.is_empty() {
        let count = send(socket, &stream.output, SendFlags::NOSIGNAL)?;
        stream.output.drain(..count);
    }
    let mut buffer = [0; 4096];
    loop {
        if let Some((length, rest)) = stream.input.split_first_chunk::<2>()
            && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
        {
            return Ok(read_reply(query, id, message).map_or(Look::Failed, Look::Answered));
        }
        let (count, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        if count == 0 || stream.input.len() > MESSAGE_MAX {
            return Ok(Look::Failed);
        }
        stream.input.extend(&buffer[..count]);
    }
}
