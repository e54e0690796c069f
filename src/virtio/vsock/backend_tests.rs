//! The device against the driver of [`super::test_driver`].

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use vm_memory::{Bytes, GuestAddress};

use super::claims::Claim;
use super::packet::{Header, Op, SHUTDOWN_BOTH, SHUTDOWN_SEND};
use super::test_driver::{BUFFER_BYTES, GUEST_ALLOC, Guest, MEMORY_BYTES, NEXT, SIZE, WRITE, answer, data, packet};

/// Bytes that tell their place.
fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| u8::try_from(at.wrapping_mul(31) >> 7 & 0xff).unwrap()).collect()
}

fn is_ended(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

#[test]
fn guest_answers_what_the_host_says() {
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    stream.write_all(b"hello").unwrap();
    guest.host_event();
    let (header, payload) = guest.only();
    assert_eq!((header.op, header.len, payload.as_slice()), (Op::Data, 5, &b"hello"[..]));
    guest.send(data(port, 1024, b"world"), b"world");
    guest.kick();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"world");
}

#[test]
fn dial_waits_for_the_driver() {
    let mut guest = Guest::silent();
    let _stream = guest.handle.dial(1024).unwrap();
    guest.host_event();
    guest.host_event();
    guest.start();
    guest.offer_buffers();
    guest.kick();
    assert_eq!(guest.only().0.op, Op::Request);
}

#[test]
fn refused_dial_is_an_end_without_a_byte() {
    let mut guest = Guest::started();
    let mut stream = guest.handle.dial(99).unwrap();
    guest.host_event();
    let (request, _) = guest.only();
    guest.send(answer(&request, Op::Reset), &[]);
    guest.kick();
    assert!(is_ended(&mut stream));
}

#[test]
fn guest_that_connects_is_refused() {
    let mut guest = Guest::started();
    guest.send(packet(Op::Request, 22, 4000), &[]);
    guest.kick();
    let (header, _) = guest.only();
    assert_eq!((header.op, header.src_port, header.dst_port), (Op::Reset, 22, 4000));
}

#[test]
fn driver_that_starts_anew_ends_old_connections_and_serves_new_ones() {
    let mut guest = Guest::started();
    let (mut old, _) = guest.open(1024);
    guest.start();
    guest.offer_buffers();
    guest.kick();
    assert!(is_ended(&mut old));
    let (mut new, port) = guest.open(1024);
    guest.send(data(port, 1024, b"x"), b"x");
    guest.kick();
    assert_eq!(new.read(&mut [0]).unwrap(), 1);
}

#[test]
fn hundred_megabytes_reach_a_slow_host_in_order_and_in_bounded_memory() {
    const TOTAL: usize = 100 << 20;
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    let (mut sent, mut received, mut credit) = (0_usize, 0_usize, u64::from(GUEST_ALLOC));
    let mut buffer = vec![0; 1 << 20];
    while received < TOTAL {
        while sent < TOTAL && credit >= u64::from(BUFFER_BYTES) {
            let payload = pattern(sent, BUFFER_BYTES as usize);
            guest.send(data(port, 1024, &payload), &payload);
            sent += payload.len();
            credit -= payload.len() as u64;
            guest.kick();
        }
        // The host reads only now that the guest cannot send any more.
        while let Ok(count) = stream.read(&mut buffer) {
            assert!(count > 0, "reset after {received} bytes");
            assert_eq!(buffer[..count], pattern(received, count));
            received += count;
            guest.host_event();
        }
        for (header, _) in guest.receive() {
            assert_eq!((header.op, header.buf_alloc), (Op::CreditUpdate, GUEST_ALLOC));
            let in_flight = u32::try_from(sent).unwrap().wrapping_sub(header.fwd_cnt);
            credit = u64::from(header.buf_alloc - in_flight);
        }
    }
}

#[test]
fn hundred_megabytes_reach_a_slow_guest_in_order() {
    const TOTAL: usize = 100 << 20;
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    let (mut sent, mut received, mut last) = (0_usize, 0_usize, None);
    while last != Some((Op::Shutdown, SHUTDOWN_SEND)) {
        while sent < TOTAL {
            let Ok(count) = stream.write(&pattern(sent, (TOTAL - sent).min(1 << 16))) else { break };
            sent += count;
        }
        if sent == TOTAL {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        guest.host_event();
        for (header, payload) in guest.receive() {
            if header.op == Op::Data {
                assert_eq!(payload, pattern(received, payload.len()));
                received += payload.len();
            } else {
                assert_eq!(header.op, Op::Shutdown);
            }
            last = Some((header.op, header.flags));
        }
        let fwd_cnt = u32::try_from(received).unwrap();
        guest.send(Header { fwd_cnt, ..packet(Op::CreditUpdate, port, 1024) }, &[]);
        guest.kick();
    }
    assert_eq!(received, TOTAL);
}

#[test]
fn guest_without_credit_is_sent_nothing_however_much_the_host_writes() {
    let mut guest = Guest::started();
    let (mut stream, _) = guest.open(1024);
    let mut written = 0;
    loop {
        guest.host_event();
        match stream.write(&[0; 65536]) {
            Ok(count) => written += count,
            Err(_) => break,
        }
        assert!(written < 4 << 20, "the backend reads without end");
    }
    let mut payload = 0;
    loop {
        let packets = guest.receive();
        guest.kick();
        if packets.is_empty() {
            break;
        }
        payload += packets.iter().map(|(_, payload)| payload.len()).sum::<usize>();
    }
    assert_eq!(payload, GUEST_ALLOC as usize);
}

#[test]
fn packets_wait_for_buffers_of_the_guest() {
    let mut guest = Guest::silent();
    guest.start();
    let _stream = guest.handle.dial(1024).unwrap();
    guest.host_event();
    guest.kick();
    assert!(guest.take().is_empty());
    guest.offer_buffers();
    guest.kick();
    assert_eq!(guest.only().0.op, Op::Request);
}

#[test]
fn flood_of_refusals_leaves_the_rest_in_the_queue() {
    let mut guest = Guest::silent();
    guest.start();
    let mut sent = 0;
    // Without a buffer for the answers, the device stops reading.
    while guest.from_guest.free.len() > 2 {
        guest.send(packet(Op::Data, 1, sent), &[]);
        guest.kick();
        sent += 1;
        assert!(sent <= 256 + u32::from(SIZE), "the device reads without end");
    }
    guest.offer_buffers();
    let mut answers = 0;
    loop {
        guest.kick();
        match guest.receive().len() {
            0 => break,
            count => answers += count,
        }
    }
    assert_eq!(answers, sent as usize);
}

#[test]
fn hang_up_of_the_host_closes_both_ways_after_the_last_byte() {
    let mut guest = Guest::started();
    let (mut stream, _) = guest.open(1024);
    stream.write_all(b"bye").unwrap();
    drop(stream);
    guest.host_event();
    let mut ops: Vec<(Op, u32)> = Vec::new();
    ops.extend(guest.receive().iter().map(|(header, _)| (header.op, header.flags)));
    guest.host_event();
    ops.extend(guest.receive().iter().map(|(header, _)| (header.op, header.flags)));
    assert_eq!(ops.last(), Some(&(Op::Shutdown, SHUTDOWN_BOTH)));
    assert!(ops.contains(&(Op::Data, 0)), "{ops:?}");
}

#[test]
fn half_close_of_the_guest_is_an_end_that_still_listens() {
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    guest.send(data(port, 1024, b"end"), b"end");
    guest.send(Header { flags: SHUTDOWN_SEND, ..packet(Op::Shutdown, port, 1024) }, &[]);
    guest.kick();
    let mut text = [0; 8];
    assert_eq!(stream.read(&mut text).unwrap(), 3);
    assert!(is_ended(&mut stream));
    stream.write_all(b"more").unwrap();
    guest.host_event();
    assert_eq!(guest.only().1, b"more");
}

#[test]
fn reset_of_the_guest_still_delivers_what_came_before() {
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    guest.send(data(port, 1024, b"last words"), b"last words");
    guest.send(packet(Op::Reset, port, 1024), &[]);
    guest.kick();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words");
}

/// A connection of TCP whose host's end the device has: the other end, and the port of the request.
fn joined(guest: &mut Guest) -> (TcpStream, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (end, _) = listener.accept().unwrap();
    guest.handle.join(1024, b"opening".to_vec(), end.into(), Claim { by: 0, among: 1 }).unwrap();
    guest.host_event();
    let (request, _) = guest.only();
    guest.send(answer(&request, Op::Response), &[]);
    guest.kick();
    assert_eq!(guest.only().1, b"opening");
    (client, request.src_port)
}

#[test]
fn a_guest_that_breaks_off_is_a_reset_and_one_that_ends_is_an_end() {
    let mut guest = Guest::started();
    let (mut client, port) = joined(&mut guest);
    guest.send(data(port, 1024, b"half of it"), b"half of it");
    guest.send(Header { flags: SHUTDOWN_BOTH, ..packet(Op::Shutdown, port, 1024) }, &[]);
    guest.kick();
    let mut text = Vec::new();
    assert_eq!(client.read_to_end(&mut text).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(text, b"half of it");
    assert_eq!(guest.only().0.op, Op::Reset);

    let (mut client, port) = joined(&mut guest);
    guest.send(data(port, 1024, b"all of it"), b"all of it");
    guest.send(Header { flags: SHUTDOWN_SEND, ..packet(Op::Shutdown, port, 1024) }, &[]);
    guest.send(Header { flags: SHUTDOWN_BOTH, ..packet(Op::Shutdown, port, 1024) }, &[]);
    guest.kick();
    let mut text = Vec::new();
    client.read_to_end(&mut text).unwrap();
    assert_eq!(text, b"all of it");
    assert_eq!(guest.only().0.op, Op::Reset);

    // The machine dies.
    let (mut client, _) = joined(&mut guest);
    drop(guest);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn no_more_is_asked_of_the_guest_than_its_program_lets_wait() {
    let mut guest = Guest::started();
    let mut streams = Vec::new();
    for _ in 0..600 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        guest.handle.join(1024, Vec::new(), theirs.into(), Claim { by: 0, among: 1 }).unwrap();
        streams.push(ours);
    }
    let mut requests = Vec::new();
    let mut ask = |guest: &mut Guest| {
        guest.host_event();
        let start = requests.len();
        loop {
            let packets = guest.receive();
            guest.kick();
            if packets.is_empty() {
                return (requests.clone(), requests.len() - start);
            }
            requests.extend(packets.into_iter().map(|(header, _)| header).filter(|header| header.op == Op::Request));
        }
    };
    let (asked, count) = ask(&mut guest);
    assert_eq!(count, 512);
    // What must not wait is asked beside them.
    streams.push(guest.handle.dial(1025).unwrap());
    assert_eq!(ask(&mut guest).1, 1);
    for request in &asked[..32] {
        guest.send(answer(request, Op::Response), &[]);
        guest.kick();
    }
    // The one that must not wait is unanswered too.
    assert_eq!(ask(&mut guest).1, 31);
}

#[test]
fn broken_packets_and_chains_are_survived() {
    let mut guest = Guest::started();
    let (mut stream, port) = guest.open(1024);
    // A length that the chain does not have, and one beyond every limit.
    for len in [1000, u32::MAX] {
        guest.send(Header { len, ..data(port, 1024, b"") }, b"short");
    }
    guest.kick();
    let ring = &guest.from_guest;
    let chains: [((u64, u32), u16, u16); 6] = [
        ((0, 0), 0, 0),                              // empty
        ((u64::MAX - 3, 44), 0, 0),                  // address that overflows
        ((MEMORY_BYTES as u64 - 8, 4096), 0, 0),     // runs out of memory
        ((0x10_0000, u32::MAX), 0, 0),               // length beyond memory
        ((ring.buffer(100).0, 44), NEXT, 0),         // a loop
        ((ring.buffer(100).0, 16), WRITE, SIZE - 1), // writable, and too small
    ];
    for (place, flags, next) in chains {
        guest.from_guest.describe(&guest.memory, 0, place, flags, next);
        guest.from_guest.publish(&guest.memory, 0);
        guest.kick();
    }
    guest.from_guest.publish(&guest.memory, u16::MAX);
    guest.kick();
    while guest.from_guest.take_used(&guest.memory).is_some() {}
    guest.from_guest.free = vec![50, 51];
    guest.send(data(port, 1024, b"alive"), b"alive");
    guest.kick();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"alive");
}

#[test]
fn ring_indices_out_of_all_reason_do_not_hold_the_worker() {
    let mut guest = Guest::started();
    let _open = guest.open(1024);
    for ring in [guest.to_guest.avail(), guest.from_guest.avail()] {
        guest.memory.write_obj(0x7777_u16, GuestAddress(ring + 2)).unwrap();
    }
    let _stream = guest.handle.dial(1).unwrap();
    guest.kick();
    guest.host_event();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn rings_full_of_noise_are_survived(noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0x1200), seed in 0_u64..64) {
        let mut guest = Guest::started();
        let (_stream, port) = guest.open(1024);
        guest.send(data(port, 1024, &noise[..512]), &noise[..512]);
        guest.memory.write_slice(&noise[..0x1000], GuestAddress(guest.from_guest.base + seed * 16)).unwrap();
        guest.memory.write_slice(&noise[0x800..], GuestAddress(guest.to_guest.base + seed * 16)).unwrap();
        for added in [1_u16, 100, 300] {
            for ring in [guest.from_guest.avail(), guest.to_guest.avail()] {
                guest.memory.write_obj(added, GuestAddress(ring + 2)).unwrap();
            }
            guest.kick();
        }
    }
}
