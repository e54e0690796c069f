//! The far end of a machine's wire: its packets in, what they ask for done by sockets of the host, packets back.
//!
//! One thread, and no call that waits but the one for what is ready. Not here: how this process came to be.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::addresses::{DNS_PORT, behind_gateway, is_guest};
use super::dns::{Answer, Asker, Relay};
use super::echo::EchoTable;
use super::frame::{Inbox, Outbox};
use super::gate::Gate;
use super::news::{NatNews, Teller};
use super::packet::{Body, Packet, parse, push_datagram};
use super::policy::Policy;
use super::poller::{Poller, Ready, Token};
use super::tcp::TcpTable;
use super::udp::UdpTable;

/// How often the machine is read in one turn, before others are looked at.
const READS: usize = 4;

/// How often those that wait for room may go on in one turn.
const ROUNDS: usize = 8;

/// The wire's far end.
#[derive(Debug)]
pub(super) struct Gateway {
    gate: Gate,
    tcp: TcpTable,
    udp: UdpTable,
    echo: EchoTable,
    relay: Relay,
    machine: Option<OwnedFd>,
    inbox: Inbox,
    /// Whether the machine may have more to say than was read.
    is_machine_readable: bool,
    /// Sockets of datagrams that may have more than was read.
    unread: Vec<u32>,
    /// Whether names were asked for since it was last said which servers the host has.
    is_asked: bool,
}

impl Gateway {
    /// A far end without a machine.
    pub(super) fn new(policy: Policy) -> io::Result<Self> {
        let now = Instant::now();
        let (out, teller) = (Outbox::default(), Teller::default());
        let gate = Gate { out, poller: Poller::new()?, policy, teller, sockets_max: 0 };
        Ok(Self {
            gate,
            tcp: TcpTable::new(now),
            udp: UdpTable::new(now),
            echo: EchoTable::default(),
            relay: Relay::default(),
            machine: None,
            inbox: Inbox::new(),
            is_machine_readable: false,
            unread: Vec::new(),
            is_asked: false,
        })
    }

    /// Says how many connections may be open.
    pub(super) fn set_sockets_max(&mut self, count: usize) {
        self.gate.sockets_max = count;
    }

    /// Looks at the stream to the parent too.
    pub(super) fn watch_parent(&self, parent: impl AsFd) -> io::Result<()> {
        Ok(self.gate.poller.add(parent, Token::Parent)?)
    }

    /// Takes the stream of the machine's packets, which no call waits for.
    pub(super) fn connect(&mut self, stream: OwnedFd) -> io::Result<()> {
        self.gate.poller.add(&stream, Token::Machine)?;
        (self.inbox, self.gate.out) = (Inbox::new(), Outbox::default());
        self.machine = Some(stream);
        self.is_machine_readable = true;
        Ok(())
    }

    /// Says which servers of names the host has.
    pub(super) fn set_servers(&mut self, servers: Vec<std::net::SocketAddr>) {
        self.relay.set_servers(servers);
    }

    /// What is to be told.
    pub(super) fn take_news(&mut self) -> Vec<NatNews> {
        self.gate.teller.take()
    }

    /// Whether names were asked for since the last time.
    pub(super) fn take_is_asked(&mut self) -> bool {
        std::mem::take(&mut self.is_asked)
    }

    /// How many connections of TCP there are, for tests.
    #[cfg(test)]
    pub(super) fn open_connections(&self) -> usize {
        self.tcp.open_connections()
    }

    /// Waits, and does all that is ready. Says whether the parent has something to say.
    pub(super) fn turn(&mut self) -> io::Result<bool> {
        let ready = self.gate.poller.wait(self.patience())?;
        let now = Instant::now();
        let mut is_parent_ready = false;
        for ready in ready {
            is_parent_ready |= ready.token == Token::Parent;
            self.on_ready(ready, now);
        }
        let mut unread = std::mem::take(&mut self.unread);
        unread.retain(|number| self.udp.on_ready(*number, now, &mut self.gate));
        self.unread.extend(unread);
        self.read_machine(now)?;
        self.tcp.on_time(now, &mut self.gate);
        self.udp.on_time(now);
        for answer in self.relay.on_time(now, &self.gate.poller) {
            self.give(answer, now);
        }
        self.ask_for_connections(now);
        self.write_machine(now)?;
        Ok(is_parent_ready)
    }

    fn patience(&self) -> Option<Duration> {
        let may_write = self.machine.is_some() && self.gate.out.has_room();
        let may_read = self.is_machine_readable && may_write;
        if may_read || !self.unread.is_empty() || (may_write && self.tcp.has_waiting()) {
            return Some(Duration::ZERO);
        }
        let due = [self.tcp.due(), self.udp.due(), self.relay.due()].into_iter().flatten().min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    fn on_ready(&mut self, ready: Ready, now: Instant) {
        match ready.token {
            Token::Parent => {}
            Token::Machine => self.is_machine_readable |= ready.is_readable,
            Token::Tcp(number) => self.tcp.on_ready(number, ready, now, &mut self.gate),
            Token::Udp(number) => self.unread.push(number),
            Token::Echo(number) => self.echo.on_ready(number, now, &mut self.gate),
            Token::Dns(number) => {
                let answer = self.relay.on_ready(number, &mut self.gate.policy, &self.gate.poller);
                if let Some(answer) = answer {
                    self.give(answer, now);
                }
            }
        }
    }

    /// Takes packets, as long as there is room for what they are answered with.
    fn read_machine(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..READS {
            let Some(machine) = self.machine.as_ref().filter(|_| self.is_machine_readable) else { return Ok(()) };
            if !self.gate.out.has_room() {
                return Ok(());
            }
            match rustix::io::read(machine, self.inbox.room()) {
                Ok(0) => {
                    // Its end is its parent's to hear of.
                    self.machine = None;
                    return Ok(());
                }
                Ok(count) => self.inbox.filled(count),
                Err(Errno::AGAIN) => self.is_machine_readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.take_packets(now);
        }
        Ok(())
    }

    fn take_packets(&mut self, now: Instant) {
        // Of its own for the moment, so that the rest of us can be used.
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::empty());
        while let Some(packet) = inbox.next() {
            if let Some(packet) = parse(packet)
                && is_guest(packet.ends.guest.ip())
            {
                self.take(&packet, now);
            }
        }
        self.inbox = inbox;
    }

    fn take(&mut self, packet: &Packet<'_>, now: Instant) {
        match packet.body {
            Body::Tcp { .. } => self.tcp.take(packet, now, &mut self.gate),
            Body::Udp(question) if is_for_names(packet) => self.ask(Asker::Datagram(packet.ends), question, now),
            Body::Udp(_) => self.udp.take(packet, now, &mut self.gate),
            Body::Echo { .. } => self.echo.take(packet, now, &mut self.gate),
        }
    }

    fn ask(&mut self, asker: Asker, question: &[u8], now: Instant) {
        self.is_asked = true;
        let Gate { policy, teller, poller, .. } = &mut self.gate;
        match (self.relay.ask(asker, question, policy, teller, poller), asker) {
            (Ok(Some(answer)), _) => self.give(answer, now),
            (Ok(None), _) | (Err(_), Asker::Datagram(_)) => {}
            (Err(_), Asker::Stream(number)) => self.tcp.answer(number, None, now, &mut self.gate),
        }
    }

    fn ask_for_connections(&mut self, now: Instant) {
        // An answer may let its connection ask for more.
        for _ in 0..ROUNDS {
            let questions = self.tcp.take_questions();
            if questions.is_empty() {
                return;
            }
            for (number, question) in questions {
                self.ask(Asker::Stream(number), &question, now);
            }
        }
    }

    fn give(&mut self, (asker, answer): Answer, now: Instant) {
        match asker {
            Asker::Datagram(ends) => push_datagram(&mut self.gate.out, &ends, &answer),
            Asker::Stream(number) => self.tcp.answer(number, Some(&answer), now, &mut self.gate),
        }
    }

    fn write_machine(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let Some(machine) = &self.machine else { return Ok(()) };
            match self.gate.out.flush(machine) {
                // The machine has ended.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.machine = None;
                    return Ok(());
                }
                result => result?,
            }
            if !self.gate.out.has_room() || !self.tcp.has_waiting() {
                return Ok(());
            }
            self.tcp.on_room(now, &mut self.gate);
        }
        Ok(())
    }
}

fn is_for_names(packet: &Packet<'_>) -> bool {
    packet.ends.world.port() == DNS_PORT && behind_gateway(packet.ends.world.ip()).is_some()
}
