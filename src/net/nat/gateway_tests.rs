//! A gateway, seen from a machine's wire and from servers on this host's loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use rustix::net::sockopt;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Ipv4Packet, TcpControl};

use super::addresses::{GATEWAY_V4, GUEST_V4};
use super::news::NatNews;
use super::packet::tests::{datagram, ends, request, segment};
use super::packet::{Ends, Undelivered};
use super::policy::Denial;
use super::stage::{LIMIT, Machine, Stage, behind};

const GUEST: &str = "10.255.254.2:4000";

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

/// Sends all, as there is room, and reads until the end.
fn exchange(machine: &mut Machine, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let handle = machine.connect(to);
    let (mut sent, mut got, mut is_closed) = (0, Vec::new(), false);
    machine.until("over", |machine| {
        let socket = machine.socket(handle);
        if socket.may_send() && sent < bytes.len() {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
        }
        if sent == bytes.len() && socket.may_send() && !is_closed {
            is_closed = true;
            socket.close();
        }
        while socket.can_recv() {
            socket.recv(|found| (found.len(), got.extend_from_slice(found))).unwrap();
        }
        matches!(socket.state(), State::TimeWait | State::Closed)
    });
    // Its last acknowledgement.
    machine.turn();
    machine.forget(handle);
    got
}

fn icmp(packet: &[u8]) -> (Icmpv4Message, u8) {
    let packet = Ipv4Packet::new_checked(packet).unwrap();
    let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
    (message.msg_type(), message.msg_code())
}

fn unreachable(why: Icmpv4DstUnreachable) -> (Icmpv4Message, u8) {
    (Icmpv4Message::DstUnreachable, why.into())
}

#[test]
fn bytes_go_both_ways_and_an_end_of_one_side_is_not_that_of_the_other() {
    let (listener, at) = listen();
    let served = thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut machine = Machine::new(Stage::new(8));
    let mut got = exchange(&mut machine, behind(at), &bytes);
    got.reverse();
    assert!(got == bytes, "{} of {}", got.len(), bytes.len());
    served.join().unwrap();
}

#[test]
fn a_port_that_nobody_has_refuses_and_so_does_what_is_not_allowed() {
    let gone = listen().1;
    let (_listener, other) = listen();
    let mut machine = Machine::new(Stage::new(8));
    // The loopback has its name behind the gateway only.
    for to in [behind(gone), other, "203.0.113.1:80".parse().unwrap()] {
        let handle = machine.connect(to);
        machine.until("refused", |machine| machine.socket(handle).state() == State::Closed);
    }
    let told = machine.stage.told();
    assert_eq!(told, NatNews::Address("203.0.113.1:80".parse().unwrap(), Denial::NotAllowed));
}

#[test]
fn a_break_of_either_side_is_a_break_for_the_other() {
    let (listener, at) = listen();
    let mut machine = Machine::new(Stage::new(8));
    let handle = machine.connect(behind(at));
    machine.until("open", |machine| machine.socket(handle).state() == State::Established);
    let stream = accept(&listener);
    sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    // An end would leave it half open.
    machine.until("broken", |machine| machine.socket(handle).state() == State::Closed);
    let handle = machine.connect(behind(at));
    machine.until("open", |machine| machine.socket(handle).state() == State::Established);
    let mut stream = accept(&listener);
    machine.socket(handle).abort();
    machine.until("told", |machine| machine.socket(handle).remote_endpoint().is_none());
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn no_more_connections_than_may_be_are_open_and_one_that_ends_makes_room() {
    let (listener, at) = listen();
    let mut machine = Machine::new(Stage::new(2));
    let handles = [(); 3].map(|()| machine.connect(behind(at)));
    machine.until("decided", |machine| {
        handles.iter().all(|handle| !matches!(machine.socket(*handle).state(), State::SynSent))
    });
    let states = handles.map(|handle| machine.socket(handle).state());
    assert_eq!(states, [State::Established, State::Established, State::Closed]);
    assert_eq!(machine.stage.told(), NatNews::Full);
    drop(accept(&listener));
    machine.socket(handles[0]).close();
    machine.until("over", |machine| matches!(machine.socket(handles[0]).state(), State::TimeWait | State::Closed));
    // The gateway may hear of the end a moment later.
    machine.until("room", |machine| {
        let handle = machine.connect(behind(at));
        machine.until("decided", |machine| !matches!(machine.socket(handle).state(), State::SynSent));
        machine.socket(handle).state() == State::Established
    });
}

#[test]
fn many_short_connections_leave_nothing() {
    let (listener, at) = listen();
    const COUNT: usize = 500;
    let served = thread::spawn(move || {
        for _ in 0..COUNT {
            let mut stream = accept(&listener);
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        }
    });
    let mut machine = Machine::new(Stage::new(16));
    for number in 0..COUNT {
        let words = number.to_string();
        assert_eq!(exchange(&mut machine, behind(at), words.as_bytes()), words.as_bytes());
    }
    served.join().unwrap();
    assert!(machine.stage.end() <= 1, "only the last one may not be over yet");
}

#[test]
fn a_machine_that_does_not_read_holds_the_world_back() {
    let (listener, at) = listen();
    let mut machine = Machine::new(Stage::new(8));
    let handle = machine.connect(behind(at));
    machine.until("open", |machine| machine.socket(handle).state() == State::Established);
    let mut stream = accept(&listener);
    stream.set_nonblocking(true).unwrap();
    // It writes until nothing is taken for a while: what is between the two ends is bounded.
    let (mut written, mut refused) = (0_usize, 0);
    while refused < 100 {
        match stream.write(&[7; 65_536]) {
            Ok(count) => (written, refused) = (written + count, 0),
            Err(_) => refused += 1,
        }
        machine.turn();
        assert!(written < 64 << 20, "{written} bytes are taken that nobody reads");
    }
    let mut got = 0;
    machine.until("read", |machine| {
        let socket = machine.socket(handle);
        while socket.can_recv() {
            got += socket.recv(|found| (found.len(), found.len())).unwrap();
        }
        got == written
    });
}

#[test]
fn datagrams_go_and_come_and_one_that_nobody_takes_is_told() {
    let (socket, at) = udp();
    let to = ends(GUEST, &behind(at).to_string());
    let mut stage = Stage::new(8);
    stage.send(&datagram(&to, b"there"));
    let mut buffer = [0; 100];
    let (count, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"there");
    socket.send_to(b"back", from).unwrap();
    let packet = stage.packet();
    assert!(packet.ends_with(b"back") && packet[12..20] == [GATEWAY_V4.octets(), GUEST_V4.octets()].concat());
    drop(socket);
    stage.send(&datagram(&to, b"lost"));
    assert_eq!(icmp(&stage.packet()), unreachable(Icmpv4DstUnreachable::PortUnreachable));
}

#[test]
fn what_is_not_allowed_is_said_to_be_prohibited_but_not_of_what_goes_to_many() {
    let mut stage = Stage::new(8);
    stage.send(&datagram(&ends(GUEST, "224.0.0.251:5353"), b"anybody"));
    stage.send(&request(&ends("10.255.254.2:0", "203.0.113.9:0"), 1, 1, b"x"));
    assert_eq!(icmp(&stage.packet()), unreachable(Icmpv4DstUnreachable::CommProhibited));
    stage.send(&datagram(&ends(GUEST, "203.0.113.8:9"), b"x"));
    assert_eq!(icmp(&stage.packet()), unreachable(Icmpv4DstUnreachable::CommProhibited));
    let told = [stage.told(), stage.told()];
    let expected = ["203.0.113.9:0", "203.0.113.8:9"]
        .map(|address| NatNews::Address(address.parse().unwrap(), Denial::NotAllowed));
    assert_eq!(told, expected);
}

#[test]
fn the_gateway_itself_answers_echoes() {
    let mut stage = Stage::new(8);
    let to = ends("10.255.254.2:0", "10.255.254.1:0");
    stage.send(&request(&to, 7, 9, b"data"));
    let packet = stage.packet();
    assert_eq!((icmp(&packet), packet.ends_with(b"data")), ((Icmpv4Message::EchoReply, 0), true));
}

#[test]
fn packets_from_an_address_that_is_not_the_machines_are_dropped() {
    let (socket, at) = udp();
    let mut stage = Stage::new(8);
    stage.send(&datagram(&ends("10.255.254.3:4000", &behind(at).to_string()), b"forged"));
    stage.send(&segment(&ends("10.255.254.3:4000", &behind(at).to_string()), TcpControl::Syn, 1, None));
    stage.send(&datagram(&ends(GUEST, &behind(at).to_string()), b"own"));
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"own");
}

#[test]
fn questions_on_one_connection_are_answered_each() {
    let (socket, at) = udp();
    let served = thread::spawn(move || {
        for _ in 0..40 {
            let mut buffer = [0; 512];
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            buffer[2] |= 0x80;
            socket.send_to(&buffer[..count], from).unwrap();
        }
    });
    let mut machine = Machine::new(Stage::with(8, None, vec![at]));
    let questions: Vec<u8> = (0..40_u8)
        .flat_map(|number| {
            let question = super::dns::tests::ask(number.into(), "a.example", 1, false);
            [&u16::try_from(question.len()).unwrap().to_be_bytes()[..], &question].concat()
        })
        .collect();
    let answers = exchange(&mut machine, SocketAddr::new(GATEWAY_V4.into(), 53), &questions);
    assert_eq!(answers.len(), questions.len());
    served.join().unwrap();
}

#[test]
fn news_of_every_kind_has_a_code_of_its_own() {
    let all = [Undelivered::NoRoute, Undelivered::NoHost, Undelivered::NoPort, Undelivered::Prohibited];
    let to: Ends = ends(GUEST, "1.2.3.4:5");
    let mut out = super::frame::Outbox::default();
    for why in all {
        super::packet::push_undelivered(&mut out, &to, &datagram(&to, b"x"), why);
    }
    let codes: Vec<u8> = out.take().iter().map(|packet| icmp(packet).1).collect();
    assert_eq!(codes, [0, 1, 3, 13]);
}
