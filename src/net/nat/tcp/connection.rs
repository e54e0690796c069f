//! One connection: both ends, and the bytes between them.
//!
//! ```text
//! Connecting ─host connected─► Open ─both ended, or one broke─► over
//!      └─host refused, machine gave up─► over
//! ```

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use smoltcp::socket::tcp::State;

use super::super::frame::Outbox;
use super::super::packet::Ends;
use super::super::sockets::break_off;
use super::flow::Flow;
use super::names::Names;

/// How long a machine may leave a beginning or an end unanswered, which its kernel acknowledges at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(180);

/// What is at the other end.
#[derive(Debug)]
pub(super) enum Peer {
    /// A socket of the host, connected.
    Host(HostEnd),
    /// We ourselves: names are asked for.
    Names(Names),
}

/// The host's end.
#[derive(Debug)]
pub(super) struct HostEnd {
    /// `None` once it was closed.
    socket: Option<OwnedFd>,
    is_readable: bool,
    is_writable: bool,
    /// The world has said all.
    has_ended: bool,
    /// The machine has said all, though not all of it may have been passed on.
    is_machine_done: bool,
    /// The world was told that the machine has said all.
    is_told_of_end: bool,
    /// The world broke it.
    is_broken: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: Ends,
    pub(super) stage: Stage,
    /// Of each buffer.
    pub(super) buffer: usize,
    /// When it is looked at again though nothing comes.
    pub(super) scheduled: Option<Instant>,
    /// Whether it waits for room on the way to the machine.
    pub(super) is_waiting: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The host connects; the packet with which the machine asked for it is kept.
    Connecting { socket: OwnedFd, opening: Vec<u8> },
    /// Bytes flow.
    Open(Box<Open>),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    flow: Flow,
    pub(super) peer: Peer,
    /// Since when an answer to a beginning or an end is owed by the machine, which has said nothing since.
    owed_since: Option<Instant>,
}

impl HostEnd {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket: Some(socket),
            is_readable: true,
            is_writable: true,
            has_ended: false,
            is_machine_done: false,
            is_told_of_end: false,
            is_broken: false,
        }
    }

    pub(super) fn ready(&mut self, is_readable: bool, is_writable: bool) {
        self.is_readable |= is_readable;
        self.is_writable |= is_writable;
    }
}

impl Open {
    pub(super) fn new(flow: Flow, peer: Peer) -> Self {
        Self { flow, peer, owed_since: None }
    }

    /// Takes a packet of the machine.
    pub(super) fn take(&mut self, packet: &[u8], now: Instant, out: &mut Outbox) {
        self.flow.take(packet, now, out);
        self.owed_since = None;
    }

    /// When it is to be looked at though nothing comes.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let limit = self.owed_since.map(|since| since + ANSWER_LIMIT);
        self.flow.due(now).into_iter().chain(limit).min()
    }

    /// Moves what can be moved without waiting, and says what is due to the machine.
    pub(super) fn pump(&mut self, now: Instant, out: &mut Outbox) {
        match &mut self.peer {
            Peer::Host(host) => {
                if !host.is_broken && move_bytes(&mut self.flow, host).is_err() {
                    host.is_broken = true;
                    self.flow.socket().abort();
                }
            }
            Peer::Names(names) => move_names(&mut self.flow, names),
        }
        self.watch_answers(now);
        self.flow.emit(now, out);
    }

    /// A machine that does not answer, though it must, has no connection any more.
    fn watch_answers(&mut self, now: Instant) {
        let socket = self.flow.socket();
        let is_owed = matches!(socket.state(), State::SynReceived | State::FinWait1 | State::Closing | State::LastAck);
        self.owed_since = is_owed.then(|| self.owed_since.unwrap_or(now));
        if self.owed_since.is_some_and(|since| now >= since + ANSWER_LIMIT) {
            socket.abort();
        }
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_over(&mut self) -> bool {
        let socket = self.flow.socket();
        let is_over = match socket.state() {
            // The wire loses nothing: nobody repeats what was acknowledged. A connection that was given up before it
            // was made is as at its beginning.
            State::TimeWait | State::Listen => true,
            // The news of a break may still wait for room.
            State::Closed => socket.remote_endpoint().is_none(),
            _ => false,
        };
        is_over && !self.owes_the_world()
    }

    /// Whether bytes of the machine, which has ended in order, are still to be passed on.
    fn owes_the_world(&self) -> bool {
        match &self.peer {
            Peer::Host(host) => host.is_machine_done && !host.is_told_of_end && !host.is_broken,
            Peer::Names(_) => false,
        }
    }

    /// Lets go of the host's end: of what has not come to its end on both sides, the world hears as a break.
    pub(super) fn close(self) {
        if let Peer::Host(HostEnd { socket: Some(socket), has_ended, is_told_of_end, .. }) = self.peer
            && !(has_ended && is_told_of_end)
        {
            break_off(socket);
        }
    }
}

/// An end that broke is an error.
fn move_bytes(flow: &mut Flow, host: &mut HostEnd) -> rustix::io::Result<()> {
    let Some(fd) = &host.socket else { return Ok(()) };
    while host.is_readable && !host.has_ended && flow.socket().can_send() {
        let read = flow.socket().send(|room| match recv(fd, room, RecvFlags::empty()) {
            Ok((count, _)) => (count, Ok(count)),
            Err(error) => (0, Err(error)),
        });
        match read {
            Ok(Ok(0)) => {
                host.has_ended = true;
                flow.socket().close();
            }
            Ok(Err(Errno::AGAIN)) => host.is_readable = false,
            Ok(Ok(_) | Err(Errno::INTR)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    while host.is_writable && flow.socket().can_recv() {
        let written = flow.socket().recv(|bytes| match send(fd, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => (count, Ok(())),
            Err(error) => (0, Err(error)),
        });
        match written {
            Ok(Err(Errno::AGAIN)) => host.is_writable = false,
            Ok(Ok(()) | Err(Errno::INTR)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    host.is_machine_done |= has_ended(flow.socket().state());
    if !host.is_told_of_end && host.is_machine_done && flow.socket().recv_queue() == 0 {
        host.is_told_of_end = true;
        shutdown(fd, Shutdown::Write)?;
    }
    Ok(())
}

fn move_names(flow: &mut Flow, names: &mut Names) {
    while names.has_room() && flow.socket().can_recv() {
        let taken = flow.socket().recv(|bytes| {
            let count = names.take(bytes);
            (count, count)
        });
        if taken.is_err() || taken == Ok(0) {
            break;
        }
    }
    let output = names.output();
    if let Ok(count) = flow.socket().send_slice(output) {
        output.drain(..count);
    }
    let socket = flow.socket();
    if has_ended(socket.state()) && socket.recv_queue() == 0 && names.is_done() {
        socket.close();
    }
}

/// Whether the machine has said all in this state.
fn has_ended(state: State) -> bool {
    matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
}
