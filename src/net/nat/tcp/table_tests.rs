//! Connections in a time that is told: what is kept of a machine that says nothing, and what is not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use smoltcp::wire::{Ipv4Packet, TcpControl, TcpPacket, TcpSeqNumber};

use super::super::addresses::GATEWAY_V4;
use super::super::frame::Outbox;
use super::super::gate::Gate;
use super::super::news::{NatNews, Teller};
use super::super::packet::parse;
use super::super::packet::tests::{ends, segment};
use super::super::policy::Policy;
use super::super::poller::{Poller, Token};
use super::super::stage::{LIMIT, loopback};
use super::TcpTable;

const MINUTE: Duration = Duration::from_secs(60);

/// A packet for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    port: u16,
    control: TcpControl,
    seq: i32,
    length: usize,
}

/// A table, a time, and servers on the host's loopback.
struct Scene {
    table: TcpTable,
    gate: Gate,
    now: Instant,
    listener: TcpListener,
    world: String,
}

impl Scene {
    fn new(sockets_max: usize) -> Self {
        let policy = Policy::new(Some(vec![loopback()]));
        let (out, teller) = (Outbox::default(), Teller::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let world = SocketAddr::new(GATEWAY_V4.into(), listener.local_addr().unwrap().port()).to_string();
        let now = Instant::now();
        let gate = Gate { out, poller: Poller::new().unwrap(), policy, teller, sockets_max };
        Self { table: TcpTable::new(now), gate, now, listener, world }
    }

    /// The machine says something on its port, with a sequence number from 0 on and, behind the beginning, an acknowledgement
    /// of all that came.
    fn say(&mut self, port: u16, control: TcpControl, seq: i32, ack: Option<i32>) {
        let bytes = segment(&ends(&format!("10.255.254.2:{port}"), &self.world), control, seq, ack);
        self.table.take(&parse(&bytes).unwrap(), self.now, &mut self.gate);
    }

    /// Lets the host's sockets be looked at until the machine gets a packet.
    #[track_caller]
    fn heard(&mut self) -> Segment {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            for ready in self.gate.poller.wait(Some(Duration::from_millis(5))).unwrap() {
                let Token::Tcp(number) = ready.token else { continue };
                self.table.on_ready(number, ready, self.now, &mut self.gate);
            }
            if let Some(first) = self.packets().first() {
                return *first;
            }
        }
        panic!("the machine hears nothing")
    }

    fn packets(&mut self) -> Vec<Segment> {
        let read = |bytes: Vec<u8>| {
            let packet = Ipv4Packet::new_checked(&bytes[..]).unwrap();
            let segment = TcpPacket::new_checked(packet.payload()).unwrap();
            let control = match () {
                () if segment.rst() => TcpControl::Rst,
                () if segment.syn() => TcpControl::Syn,
                () if segment.fin() => TcpControl::Fin,
                () => TcpControl::None,
            };
            let (TcpSeqNumber(seq), length) = (segment.seq_number(), segment.payload().len());
            Segment { port: segment.dst_port(), control, seq, length }
        };
        self.gate.out.take().into_iter().map(read).collect()
    }

    /// Passes over a time in which nobody says anything, and gives what the machine was told in it.
    fn pass(&mut self, time: Duration) -> Vec<Segment> {
        let end = self.now + time;
        let mut told = Vec::new();
        while let Some(due) = self.table.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.table.on_time(self.now, &mut self.gate);
            told.extend(self.packets());
        }
        self.now = end;
        told
    }

    /// A connection from that port, and the world's end of it; the next numbers of both sides are told.
    #[track_caller]
    fn open(&mut self, port: u16) -> (TcpStream, i32) {
        self.say(port, TcpControl::Syn, 0, None);
        let begun = self.heard();
        assert_eq!((begun.port, begun.control), (port, TcpControl::Syn));
        let next = begun.seq.wrapping_add(1);
        self.say(port, TcpControl::None, 1, Some(next));
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        (stream, next)
    }
}

#[track_caller]
fn assert_broken(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_machine_that_asks_and_does_not_go_on_is_given_up() {
    let mut scene = Scene::new(8);
    scene.say(4000, TcpControl::Syn, 0, None);
    assert_eq!(scene.heard().control, TcpControl::Syn);
    let (stream, _) = scene.listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let told = scene.pass(2 * MINUTE);
    assert!(told.len() >= 3 && told.iter().all(|packet| packet.control == TcpControl::Syn), "{told:?}");
    let told = scene.pass(2 * MINUTE);
    assert_eq!(told.last().map(|packet| packet.control), Some(TcpControl::Rst), "{told:?}");
    assert_eq!((scene.table.open_connections(), scene.table.due()), (0, None));
    assert_broken(stream);
}

#[test]
fn a_machine_that_does_not_hear_of_the_worlds_end_is_given_up() {
    let mut scene = Scene::new(8);
    let (stream, _) = scene.open(4000);
    // However long it was quiet before.
    scene.pass(20 * MINUTE);
    drop(stream);
    assert_eq!(scene.heard().control, TcpControl::Fin);
    let told = scene.pass(2 * MINUTE);
    assert!(told.iter().all(|packet| packet.control == TcpControl::Fin), "{told:?}");
    assert_eq!(scene.table.open_connections(), 1);
    scene.pass(2 * MINUTE);
    assert_eq!(scene.table.open_connections(), 0);
    // Nor is it looked at any more.
    assert_eq!(scene.pass(20 * MINUTE), []);
    assert_eq!(scene.table.due(), None);
}

#[test]
fn one_that_is_quiet_on_both_sides_stays_and_one_that_the_machine_forgot_does_not() {
    let mut scene = Scene::new(8);
    let ((mut known, next), (forgotten, _)) = (scene.open(4000), scene.open(4001));
    let asked = scene.pass(24 * 60 * MINUTE);
    let of = |port| asked.iter().filter(move |packet| packet.port == port);
    assert!(of(4000).count() >= 24 && of(4001).count() >= 24, "{asked:?}");
    assert!(asked.iter().all(|packet| packet.control == TcpControl::None && packet.length <= 1), "{asked:?}");
    assert_eq!(scene.table.open_connections(), 2);
    // As a kernel that knows nothing of it answers.
    scene.say(4001, TcpControl::Rst, 1, Some(next));
    assert_eq!(scene.table.open_connections(), 1);
    assert_broken(forgotten);
    known.write_all(b"still").unwrap();
    assert_eq!((scene.heard().port, scene.table.open_connections()), (4000, 1));
}

#[test]
fn at_the_limit_new_ones_are_refused_old_ones_live_and_there_is_room_again() {
    let mut scene = Scene::new(3);
    let mut open: Vec<(TcpStream, i32)> = (4000..4003).map(|port| scene.open(port)).collect();
    for port in 5000..5010 {
        scene.say(port, TcpControl::Syn, 0, None);
        let told = scene.packets();
        assert_eq!(
            told.iter().map(|packet| (packet.port, packet.control)).collect::<Vec<_>>(),
            [(port, TcpControl::Rst)]
        );
    }
    assert_eq!(scene.gate.teller.take(), [NatNews::Full]);
    assert_eq!(scene.table.open_connections(), 3);
    for (place, (stream, next)) in open.iter_mut().enumerate() {
        stream.write_all(b"alive").unwrap();
        let port = 4000 + u16::try_from(place).unwrap();
        let told = scene.heard();
        assert_eq!((told.port, told.control, told.length), (port, TcpControl::None, 5));
        *next = next.wrapping_add(5);
        scene.say(port, TcpControl::None, 1, Some(*next));
    }
    scene.say(4001, TcpControl::Rst, 1, Some(open[1].1));
    let (mut stream, _) = scene.open(6000);
    stream.write_all(b"new").unwrap();
    assert_eq!((scene.heard().port, scene.table.open_connections()), (6000, 3));
}

#[test]
fn of_short_connections_no_time_is_kept() {
    let mut scene = Scene::new(8);
    for port in 2000..2300 {
        let (stream, next) = scene.open(port);
        scene.say(port, TcpControl::Rst, 1, Some(next));
        assert_broken(stream);
        assert!(scene.table.times() <= 80, "{}", scene.table.times());
    }
    assert_eq!(scene.table.open_connections(), 0);
}
