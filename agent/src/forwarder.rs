//! Connections of the host that are joined with programs of the guest: published ports, and links.
//!
//! ```text
//! port   host ─► vsock, opening: port ─► 127.0.0.1 (or ::1), that port
//! link   program ─► the link's address ─► ticket to the host ─► host ─► vsock, opening: ticket
//! ```
//!
//! One thread serves all of them. The agent never connects to the host. Deliberately not here: how bytes go (`relay`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use smolvm_agent::{Answer, FORWARD_BYTES, FORWARD_PORT, Forward, SetupLink};

use crate::relay::{Relay, Turn};
use crate::side::Side;
use crate::sys::{self, Event, Events, VsockListener};
use crate::wire::{Answers, eprint_kernel};

/// Connections to links that may wait for the host.
const WAITING_MAX: usize = 1024;

/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that the kernel keeps for us: of the host as many as a machine may have, so that none is refused; and of each link.
const BACKLOG: i32 = 4096;

/// Pause before connections are taken again where they could not be, for want of descriptors or memory. No event tells when
/// there are some.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are moved at once; less where there are very many connections.
const SCRATCH: usize = 64 << 10;
const SCRATCH_OF_MANY: usize = 16 << 10;
const MANY: usize = 256;

/// Numbers of listeners among the events: that of the host, then those of the links. Then those of connections, each with two:
/// for the host's socket, and behind it for the guest's.
const HOST: u64 = 0;
const FIRST_LINK: u64 = 1;
const FIRST_CONNECTION: u64 = 1 << 32;
const GUEST: u64 = 1;

/// A connection of the host.
#[derive(Debug)]
enum Connection {
    /// Its opening is not whole yet.
    Opening { host: Side, read: Vec<u8> },
    /// To IPv4 first; where nobody listens there, to IPv6.
    Connecting { host: Side, guest: Side, port: u16, is_v6: bool },
    /// It is joined.
    Joined(Relay),
}

impl Connection {
    fn note(&mut self, event: &Event) {
        let is_host = event.number & GUEST == 0;
        match self {
            Self::Opening { host, .. } => host.note(event),
            Self::Connecting { host, guest, .. } => if is_host { host } else { guest }.note(event),
            Self::Joined(relay) => relay.note(event, is_host),
        }
    }
}

/// What a look at a connection came to.
enum Next {
    Keep(Connection),
    Again(Connection),
    Drop,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Forwarder {
    events: Events,
    host: VsockListener,
    links: Vec<TcpListener>,
    answers: Arc<Answers>,
    connections: HashMap<u64, Connection>,
    next_number: u64,
    /// Programs that have connected to links, oldest first.
    waiting: VecDeque<(u64, File, Instant)>,
    next_ticket: u64,
    /// Listeners that could not take what waits for them.
    held_up: BTreeSet<u64>,
    held_up_since: Option<Instant>,
}

impl Forwarder {
    /// Listens for the host, and on the addresses of the links.
    pub(crate) fn new(links: &[SetupLink], answers: Arc<Answers>) -> Result<Self, String> {
        let told = |error: io::Error| format!("cannot listen for connections of the host: {error}");
        let events = Events::new().map_err(told)?;
        let host = VsockListener::bind_with(FORWARD_PORT, BACKLOG).map_err(told)?;
        host.set_nonblocking().map_err(told)?;
        events.watch(&host, HOST).map_err(told)?;
        let mut listeners = Vec::new();
        for (number, link) in (FIRST_LINK..).zip(links) {
            let at = SocketAddr::from((Ipv4Addr::from(link.address), link.port));
            let listened = sys::listen_tcp(at, BACKLOG).and_then(|listener| {
                events.watch(&listener, number)?;
                Ok(listener)
            });
            let failed = |error| format!("cannot listen for the link to `{}:{}`: {error}", link.name, link.port);
            listeners.push(listened.map_err(failed)?);
        }
        Ok(Self {
            events,
            host,
            links: listeners,
            answers,
            connections: HashMap::new(),
            next_number: FIRST_CONNECTION,
            waiting: VecDeque::new(),
            next_ticket: 0,
            held_up: BTreeSet::new(),
            held_up_since: None,
        })
    }

    /// Serves for ever, on a thread of its own.
    pub(crate) fn start(self) -> Result<(), String> {
        let spawned = thread::Builder::new().name("forward".to_owned()).spawn(move || self.serve());
        spawned.map(drop).map_err(|error| format!("cannot start a thread for connections: {error}"))
    }

    fn serve(mut self) {
        let mut scratch = vec![0; SCRATCH];
        // In turn, each once.
        let mut again: BTreeSet<u64> = BTreeSet::new();
        loop {
            match self.events.wait(self.limit(!again.is_empty())) {
                Ok(events) => again.extend(events.iter().map(|event| self.note(event))),
                Err(error) => return eprint_kernel(&format!("connections are no longer served: {error}")),
            }
            if self.held_up_since.is_some_and(|since| since.elapsed() >= PAUSE) {
                self.held_up_since = None;
                again.append(&mut self.held_up);
            }
            self.forget_impatient();
            for number in std::mem::take(&mut again) {
                if self.look(number, &mut scratch) {
                    again.insert(number);
                }
            }
        }
    }

    /// Notes what has changed; gives the number of what is to be looked at.
    fn note(&mut self, event: &Event) -> u64 {
        if event.number < FIRST_CONNECTION {
            return event.number;
        }
        let number = event.number & !GUEST;
        // One that has ended may be told of once more.
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.note(event);
        }
        number
    }

    /// How long nothing may happen.
    fn limit(&self, has_more: bool) -> Option<Duration> {
        if has_more {
            return Some(Duration::ZERO);
        }
        match (self.held_up.is_empty(), self.waiting.is_empty()) {
            (false, _) => Some(PAUSE),
            (true, false) => Some(PATIENCE),
            (true, true) => None,
        }
    }

    /// Notes a listener that cannot take what waits; where nothing waits, an event will tell of the next.
    fn hold_up(&mut self, number: u64, error: &io::Error) {
        if error.kind() != io::ErrorKind::WouldBlock {
            self.held_up.insert(number);
            self.held_up_since.get_or_insert_with(Instant::now);
        }
    }

    /// Looks at what has changed; tells whether there is more to do.
    fn look(&mut self, number: u64, scratch: &mut [u8]) -> bool {
        if number == HOST {
            return self.accept_host();
        }
        if number < FIRST_CONNECTION {
            return self.accept_link(number);
        }
        let Some(connection) = self.connections.remove(&number) else { return false };
        let room = if self.connections.len() > MANY { SCRATCH_OF_MANY } else { scratch.len() };
        match self.go_on(number, connection, &mut scratch[..room]) {
            Next::Keep(connection) => {
                self.connections.insert(number, connection);
                false
            }
            Next::Again(connection) => {
                self.connections.insert(number, connection);
                true
            }
            Next::Drop => false,
        }
    }

    fn accept_host(&mut self) -> bool {
        loop {
            let host = match self.host.accept_host_nonblocking() {
                Ok(host) => host,
                Err(error) => {
                    self.hold_up(HOST, &error);
                    return false;
                }
            };
            let number = self.next_number;
            self.next_number += 2;
            if self.events.watch(&host, number).is_ok() {
                self.connections.insert(number, Connection::Opening { host: Side::new(host), read: Vec::new() });
            }
            // Where none waits, Linux answers only after a tick of its timer: 4 ms for nothing.
            if !self.host.has_waiting() {
                return false;
            }
        }
    }

    fn accept_link(&mut self, number: u64) -> bool {
        let link = usize::try_from(number - FIRST_LINK).unwrap_or(usize::MAX);
        loop {
            let guest = match self.links.get(link).map(TcpListener::accept) {
                Some(Ok((guest, _))) => guest,
                Some(Err(error)) => {
                    self.hold_up(number, &error);
                    return false;
                }
                None => return false,
            };
            let is_full = self.waiting.len() >= WAITING_MAX;
            // One too many is closed: its program may try again.
            if is_full || guest.set_nonblocking(true).is_err() {
                continue;
            }
            // What comes in small pieces is meant to arrive so.
            let _ = guest.set_nodelay(true);
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.waiting.push_back((ticket, File::from(OwnedFd::from(guest)), Instant::now()));
            self.answers.send(&Answer::Linked { link: u32::try_from(link).unwrap_or(u32::MAX), ticket });
        }
    }

    /// A program that waits under a number.
    fn take_waiting(&mut self, ticket: u64) -> Option<File> {
        let place = self.waiting.iter().position(|(own, _, _)| *own == ticket)?;
        self.waiting.remove(place).map(|(_, guest, _)| guest)
    }

    /// The host has not come for these.
    fn forget_impatient(&mut self) {
        while self.waiting.front().is_some_and(|(_, _, since)| since.elapsed() >= PATIENCE) {
            if let Some((_, guest, _)) = self.waiting.pop_front() {
                sys::reset_when_closed(&guest);
            }
        }
    }

    fn go_on(&mut self, number: u64, connection: Connection, scratch: &mut [u8]) -> Next {
        match connection {
            Connection::Opening { host, read } => self.open(number, host, read, scratch),
            Connection::Connecting { host, guest, port, is_v6 } => match sys::is_connected(&guest.file) {
                Ok(false) => Next::Keep(Connection::Connecting { host, guest, port, is_v6 }),
                Ok(true) => relay(Relay::new(host, guest), scratch),
                Err(_) if !is_v6 => self.connect(number, host, port, true, scratch),
                Err(_) => Next::Drop,
            },
            Connection::Joined(joined) => relay(joined, scratch),
        }
    }

    fn open(&mut self, number: u64, mut host: Side, mut read: Vec<u8>, scratch: &mut [u8]) -> Next {
        let mut rest = [0; FORWARD_BYTES];
        // No more than the opening is read: all behind it is the connection's own.
        let result = host.read(&mut rest[read.len()..]);
        match result {
            Ok(0) => return Next::Drop,
            Ok(count) => read.extend(&rest[read.len()..][..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Next::Keep(Connection::Opening { host, read });
            }
            Err(_) => return Next::Drop,
        }
        let Ok(whole) = <[u8; FORWARD_BYTES]>::try_from(read.as_slice()) else {
            return Next::Again(Connection::Opening { host, read });
        };
        match Forward::read(&whole) {
            Some(Forward::Port(port)) => self.connect(number, host, port, false, scratch),
            Some(Forward::Link(ticket)) => match self.take_waiting(ticket) {
                Some(guest) => self.join(number, host, guest, scratch),
                None => Next::Drop,
            },
            Some(Forward::Refuse(ticket)) => {
                if let Some(guest) = self.take_waiting(ticket) {
                    sys::reset_when_closed(&guest);
                }
                Next::Drop
            }
            None => Next::Drop,
        }
    }

    fn connect(&mut self, number: u64, host: Side, port: u16, is_v6: bool, scratch: &mut [u8]) -> Next {
        let to = if is_v6 {
            SocketAddr::from((Ipv6Addr::LOCALHOST, port))
        } else {
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        };
        match sys::connect_tcp(to) {
            // Within a machine it is mostly made, or refused, by now.
            Ok(guest) if self.events.watch(&guest, number | GUEST).is_ok() => {
                let guest = Side::new(guest);
                self.go_on(number, Connection::Connecting { host, guest, port, is_v6 }, scratch)
            }
            Ok(_) => Next::Drop,
            Err(_) if !is_v6 => self.connect(number, host, port, true, scratch),
            Err(_) => Next::Drop,
        }
    }

    fn join(&mut self, number: u64, host: Side, guest: File, scratch: &mut [u8]) -> Next {
        match self.events.watch(&guest, number | GUEST) {
            Ok(()) => relay(Relay::new(host, Side::new(guest)), scratch),
            Err(_) => Next::Drop,
        }
    }
}

/// Moves what can be moved.
fn relay(mut relay: Relay, scratch: &mut [u8]) -> Next {
    match relay.turn(scratch) {
        Turn::Waits => Next::Keep(Connection::Joined(relay)),
        Turn::HasMore => Next::Again(Connection::Joined(relay)),
        Turn::Ended | Turn::BrokenOff => Next::Drop,
    }
}
