//! All connections of a machine: found by their ends, looked at when something comes or time is up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::super::addresses::{DNS_PORT, behind_gateway};
use super::super::gate::{Gate, Refused};
use super::super::news::NatNews;
use super::super::packet::{Body, Packet, Undelivered, parse, push_reset, push_undelivered};
use super::super::poller::{Ready, Token};
use super::super::sockets;
use super::budget::Budget;
use super::connection::{Connection, HostEnd, Open, Peer, Stage};
use super::flow::{Clock, Flow};
use super::names::Names;

/// Longest packet that opens a connection: headers with all options, and no data to speak of.
const OPENING_MAX: usize = 256;

/// Never sooner than this, whatever the stack says.
const PAUSE: Duration = Duration::from_millis(1);

/// Times that count no more and are kept all the same.
const TIMES_KEPT: usize = 64;

/// A question for names, and the connection that asks.
pub(in super::super) type Question = (u32, Vec<u8>);

/// The connections.
#[derive(Debug)]
pub(in super::super) struct TcpTable {
    clock: Clock,
    budget: Budget,
    connections: HashMap<u32, Connection>,
    by_ends: HashMap<super::super::packet::Ends, u32>,
    next: u32,
    /// Those that had no room on the way to the machine, in turn.
    waiting: VecDeque<u32>,
    due: BinaryHeap<Reverse<(Instant, u32)>>,
    questions: Vec<Question>,
}

impl TcpTable {
    pub(in super::super) fn new(now: Instant) -> Self {
        Self {
            clock: Clock::new(now),
            budget: Budget::default(),
            connections: HashMap::new(),
            by_ends: HashMap::new(),
            next: 0,
            waiting: VecDeque::new(),
            due: BinaryHeap::new(),
            questions: Vec::new(),
        }
    }

    /// How many there are, for tests: all that is kept is kept of these.
    #[cfg(test)]
    pub(in super::super) fn open_connections(&self) -> usize {
        self.connections.len().max(self.by_ends.len())
    }

    /// How many times are kept, for tests.
    #[cfg(test)]
    pub(in super::super) fn times(&self) -> usize {
        self.due.len()
    }

    /// Whether some wait for room on the way to the machine.
    pub(in super::super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a packet of the machine.
    pub(in super::super) fn take(&mut self, packet: &Packet<'_>, now: Instant, gate: &mut Gate) {
        let Body::Tcp { is_opening, is_reset } = packet.body else { return };
        let Some(number) = self.by_ends.get(&packet.ends).copied() else {
            match (is_opening, is_reset) {
                (true, _) => self.open(packet, now, gate),
                (false, false) => push_reset(&mut gate.out, packet),
                (false, true) => {}
            }
            return;
        };
        match self.connections.get_mut(&number).map(|connection| &mut connection.stage) {
            Some(Stage::Open(open)) => {
                open.take(packet.whole, now, &mut gate.out);
                self.pump(number, now, gate);
            }
            Some(Stage::Connecting { .. }) if is_reset => self.remove(number),
            // It asks again, and the host is still at it.
            Some(Stage::Connecting { .. }) | None => {}
        }
    }

    fn open(&mut self, packet: &Packet<'_>, now: Instant, gate: &mut Gate) {
        if packet.whole.len() > OPENING_MAX {
            return;
        }
        let world = packet.ends.world;
        if behind_gateway(world.ip()).is_some() && world.port() == DNS_PORT {
            if self.has_room(gate) {
                let number = self.number();
                self.accept(number, packet.whole, Peer::Names(Names::default()), now, gate);
            }
            return;
        }
        let connected = gate.enter(world, now).and_then(|target| {
            if !self.has_room(gate) {
                return Err(Refused::Denied);
            }
            sockets::stream(target).map_err(refusal)
        });
        let socket = match connected {
            Ok(socket) => socket,
            Err(refused) => return refuse(packet, refused, gate),
        };
        let number = self.number();
        if gate.poller.add(socket.as_fd(), Token::Tcp(number)).is_err() {
            return push_reset(&mut gate.out, packet);
        }
        let stage = Stage::Connecting { socket, opening: packet.whole.to_vec() };
        let connection = Connection { ends: packet.ends, stage, buffer: 0, scheduled: None, is_waiting: false };
        self.connections.insert(number, connection);
        self.by_ends.insert(packet.ends, number);
    }

    fn has_room(&self, gate: &mut Gate) -> bool {
        let has_room = self.connections.len() < gate.sockets_max;
        if !has_room {
            gate.teller.tell(NatNews::Full);
        }
        has_room
    }

    fn number(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if !self.connections.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// Answers the packet that opens a connection.
    fn accept(&mut self, number: u32, opening: &[u8], peer: Peer, now: Instant, gate: &mut Gate) {
        let Some(packet) = parse(opening) else { return };
        let Some(buffer) = self.budget.take() else {
            gate.teller.tell(NatNews::Full);
            return push_reset(&mut gate.out, &packet);
        };
        let Some(flow) = Flow::listen(packet.ends.world, buffer, self.clock, now, random_seed()) else {
            self.budget.give(buffer);
            return push_reset(&mut gate.out, &packet);
        };
        let mut open = Open::new(flow, peer);
        open.take(opening, now, &mut gate.out);
        let stage = Stage::Open(Box::new(open));
        let connection = Connection { ends: packet.ends, stage, buffer, scheduled: None, is_waiting: false };
        self.connections.insert(number, connection);
        self.by_ends.insert(packet.ends, number);
        self.pump(number, now, gate);
    }

    /// Something is ready at the host's end of a connection.
    pub(in super::super) fn on_ready(&mut self, number: u32, ready: Ready, now: Instant, gate: &mut Gate) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match &mut connection.stage {
            Stage::Open(open) => {
                if let Peer::Host(host) = &mut open.peer {
                    host.ready(ready.is_readable, ready.is_writable);
                }
                self.pump(number, now, gate);
            }
            Stage::Connecting { .. } if ready.is_writable => self.connected(number, now, gate),
            Stage::Connecting { .. } => {}
        }
    }

    /// The host's connection was made, or was not.
    fn connected(&mut self, number: u32, now: Instant, gate: &mut Gate) {
        let Some(connection) = self.connections.remove(&number) else { return };
        self.by_ends.remove(&connection.ends);
        let Stage::Connecting { socket, opening } = connection.stage else { return };
        match sockets::outcome(&socket) {
            Ok(()) => self.accept(number, &opening, Peer::Host(HostEnd::new(socket)), now, gate),
            Err(error) => {
                if let Some(packet) = parse(&opening) {
                    refuse(&packet, refusal(error), gate);
                }
            }
        }
    }

    /// Moves what can be moved of a connection.
    fn pump(&mut self, number: u32, now: Instant, gate: &mut Gate) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let Stage::Open(open) = &mut connection.stage else { return };
        open.pump(now, &mut gate.out);
        if let Peer::Names(names) = &mut open.peer {
            self.questions.extend(std::iter::from_fn(|| names.question()).map(|question| (number, question)));
        }
        if open.is_over() {
            return self.remove(number);
        }
        let due = open.due(now);
        if !gate.out.has_room() {
            // Also where nothing is due: to look is cheap.
            if !connection.is_waiting {
                connection.is_waiting = true;
                self.waiting.push_back(number);
            }
            return;
        }
        if let Some(due) = due.map(|due| due.max(now + PAUSE))
            && connection.scheduled.is_none_or(|scheduled| due < scheduled)
        {
            connection.scheduled = Some(due);
            self.due.push(Reverse((due, number)));
            self.forget_times();
        }
    }

    /// Lets go of times that count no more, once they are many: of connections that are gone, or are looked at sooner.
    fn forget_times(&mut self) {
        let Self { due, connections, .. } = self;
        if due.len() > 2 * connections.len() + TIMES_KEPT {
            due.retain(|Reverse((due, number))| {
                connections.get(number).is_some_and(|connection| connection.scheduled == Some(*due))
            });
        }
    }

    fn remove(&mut self, number: u32) {
        let Some(connection) = self.connections.remove(&number) else { return };
        self.by_ends.remove(&connection.ends);
        if let Stage::Open(open) = connection.stage {
            self.budget.give(connection.buffer);
            open.close();
        }
    }

    /// Lets those go on that waited for room on the way to the machine, in turn.
    pub(in super::super) fn on_room(&mut self, now: Instant, gate: &mut Gate) {
        for _ in 0..self.waiting.len() {
            if !gate.out.has_room() {
                return;
            }
            let Some(number) = self.waiting.pop_front() else { return };
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.is_waiting = false;
                self.pump(number, now, gate);
            }
        }
    }

    /// When something is to be done though nothing comes.
    pub(in super::super) fn due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Looks at those whose time has come.
    pub(in super::super) fn on_time(&mut self, now: Instant, gate: &mut Gate) {
        while let Some(Reverse((due, number))) = self.due.peek().copied() {
            if due > now {
                return;
            }
            self.due.pop();
            if let Some(connection) = self.connections.get_mut(&number)
                && connection.scheduled == Some(due)
            {
                connection.scheduled = None;
                self.pump(number, now, gate);
            }
        }
    }

    /// The questions for names that came.
    pub(in super::super) fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// Gives a question's answer to the connection that asked.
    pub(in super::super) fn answer(&mut self, number: u32, answer: Option<&[u8]>, now: Instant, gate: &mut Gate) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if let Stage::Open(open) = &mut connection.stage
            && let Peer::Names(names) = &mut open.peer
        {
            names.answer(answer);
            self.pump(number, now, gate);
        }
    }
}

fn refuse(packet: &Packet<'_>, refused: Refused, gate: &mut Gate) {
    match refused {
        Refused::Denied | Refused::Undelivered(Undelivered::NoPort) => push_reset(&mut gate.out, packet),
        Refused::Undelivered(why) => push_undelivered(&mut gate.out, &packet.ends, packet.whole, why),
    }
}

/// What an error of the host's connection is to the machine.
fn refusal(error: Errno) -> Refused {
    Refused::Undelivered(match error {
        Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => Undelivered::NoRoute,
        Errno::HOSTUNREACH | Errno::TIMEDOUT | Errno::HOSTDOWN => Undelivered::NoHost,
        Errno::ACCESS | Errno::PERM => Undelivered::Prohibited,
        _ => Undelivered::NoPort,
    })
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // Sequence numbers need not be secret on a wire with two ends.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}
