//! IP packets of a machine: what they are, and what is said back to them. Pure; what the guest sends is only looked at.
//!
//! Not here: fragments and headers between IP and the transport, which a guest whose MTU is the longest packet does not
//! send and whose packets are dropped; the bytes of TCP connections (`tcp`).

use std::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet,
    TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr, checksum,
};

use super::frame::Outbox;

/// Hops that a packet to the machine may make: it makes one.
const HOPS: u8 = 64;

/// How much of a packet goes back with the news that it is not delivered (RFC 1812, 4.3.2.3; RFC 4443, 2.4).
const QUOTED: usize = 512;

/// Bytes of an ICMP message before its data.
const ICMP_HEADER: usize = 8;

/// The two ends of a packet or of a connection, the machine's first. Ports are 0 where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) guest: SocketAddr,
    pub(super) world: SocketAddr,
}

/// A packet of the machine.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) ends: Ends,
    pub(super) body: Body<'a>,
    /// All of it.
    pub(super) whole: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// A segment of TCP.
    Tcp {
        /// It asks for a connection.
        is_opening: bool,
        /// It breaks one.
        is_reset: bool,
    },
    /// A datagram of UDP and its bytes.
    Udp(&'a [u8]),
    /// A request for an echo.
    Echo { ident: u16, sequence: u16, data: &'a [u8] },
}

/// Reads a packet; `None` for what is broken, and for what is nothing that we carry.
pub(super) fn parse(whole: &[u8]) -> Option<Packet<'_>> {
    let (source, target, protocol, payload) = match whole.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(whole).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let (source, target) = (IpAddr::V4(packet.src_addr()), IpAddr::V4(packet.dst_addr()));
            (source, target, packet.next_header(), packet.payload())
        }
        6 => {
            let packet = Ipv6Packet::new_checked(whole).ok()?;
            let (source, target) = (IpAddr::V6(packet.src_addr()), IpAddr::V6(packet.dst_addr()));
            (source, target, packet.next_header(), packet.payload())
        }
        _ => return None,
    };
    let ends =
        |ports: (u16, u16)| Ends { guest: SocketAddr::new(source, ports.0), world: SocketAddr::new(target, ports.1) };
    let (ends, body) = match (protocol, target) {
        (IpProtocol::Tcp, _) => {
            let segment = TcpPacket::new_checked(payload).ok()?;
            let body =
                Body::Tcp { is_opening: segment.syn() && !segment.ack() && !segment.rst(), is_reset: segment.rst() };
            (ends((segment.src_port(), segment.dst_port())), body)
        }
        (IpProtocol::Udp, _) => {
            let datagram = UdpPacket::new_checked(payload).ok()?;
            (ends((datagram.src_port(), datagram.dst_port())), Body::Udp(datagram.payload()))
        }
        (IpProtocol::Icmp, IpAddr::V4(_)) => {
            let message = Icmpv4Packet::new_checked(payload).ok()?;
            if message.msg_type() != Icmpv4Message::EchoRequest {
                return None;
            }
            let (ident, sequence, data) = (message.echo_ident(), message.echo_seq_no(), message.data());
            (ends((0, 0)), Body::Echo { ident, sequence, data })
        }
        (IpProtocol::Icmpv6, IpAddr::V6(_)) => {
            let message = Icmpv6Packet::new_checked(payload).ok()?;
            if message.msg_type() != Icmpv6Message::EchoRequest {
                return None;
            }
            let (ident, sequence, data) = (message.echo_ident(), message.echo_seq_no(), message.payload());
            (ends((0, 0)), Body::Echo { ident, sequence, data })
        }
        _ => return None,
    };
    // A connection of TCP, and a datagram, has a port on either side.
    let has_ports = ends.guest.port() != 0 && ends.world.port() != 0;
    (has_ports || matches!(body, Body::Echo { .. })).then_some(Packet { ends, body, whole })
}

/// Puts a packet in that `write` fills behind the IP header.
fn push(
    out: &mut Outbox,
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    length: usize,
    write: impl FnOnce(&mut [u8]),
) {
    let (from, to) = (IpAddress::from(from), IpAddress::from(to));
    let header = IpRepr::new(from, to, protocol, length, HOPS);
    out.push(header.buffer_len(), |bytes| {
        // A longer one is left out.
        if bytes.len() <= usize::from(u16::MAX) {
            header.emit(&mut *bytes, &ChecksumCapabilities::default());
            write(&mut bytes[header.header_len()..]);
        }
    });
}

/// A datagram for the machine.
pub(super) fn push_datagram(out: &mut Outbox, ends: &Ends, payload: &[u8]) {
    let (from, to) = (ends.world.ip(), ends.guest.ip());
    let header = UdpRepr { src_port: ends.world.port(), dst_port: ends.guest.port() };
    push(out, from, to, IpProtocol::Udp, header.header_len() + payload.len(), |bytes| {
        let mut datagram = UdpPacket::new_unchecked(bytes);
        let fill = |place: &mut [u8]| place.copy_from_slice(payload);
        let checksums = ChecksumCapabilities::default();
        header.emit(&mut datagram, &from.into(), &to.into(), payload.len(), fill, &checksums);
    });
}

/// Refuses a segment of TCP.
pub(super) fn push_reset(out: &mut Outbox, packet: &Packet<'_>) {
    let payload = match packet.ends.world {
        SocketAddr::V4(_) => Ipv4Packet::new_checked(packet.whole).map(|packet| packet.payload()),
        SocketAddr::V6(_) => Ipv6Packet::new_checked(packet.whole).map(|packet| packet.payload()),
    };
    let Some(segment) = payload.ok().and_then(|payload| TcpPacket::new_checked(payload).ok()) else { return };
    let (seq_number, ack_number) = if segment.ack() {
        (segment.ack_number(), None)
    } else {
        (Default::default(), Some(segment.seq_number() + segment.segment_len()))
    };
    let (from, to) = (packet.ends.world, packet.ends.guest);
    let reset = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control: TcpControl::Rst,
        seq_number,
        ack_number,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    push(out, from.ip(), to.ip(), IpProtocol::Tcp, reset.buffer_len(), |bytes| {
        let mut segment = TcpPacket::new_unchecked(bytes);
        reset.emit(&mut segment, &from.ip().into(), &to.ip().into(), &ChecksumCapabilities::default());
    });
}

/// Why a packet is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// The host knows no way there.
    NoRoute,
    /// Nobody answers at that address.
    NoHost,
    /// Nobody has that port.
    NoPort,
    /// It is not allowed.
    Prohibited,
}

/// Says that a packet of the machine is not delivered. `original` is the packet, or the beginning of it.
pub(super) fn push_undelivered(out: &mut Outbox, ends: &Ends, original: &[u8], why: Undelivered) {
    // Type and code: RFC 792 and RFC 1812, 5.2.7.1; RFC 4443, 3.1.
    let (kind, code, protocol) = match (ends.world.ip(), why) {
        (IpAddr::V4(_), Undelivered::NoRoute) => (3, 0, IpProtocol::Icmp),
        (IpAddr::V4(_), Undelivered::NoHost) => (3, 1, IpProtocol::Icmp),
        (IpAddr::V4(_), Undelivered::NoPort) => (3, 3, IpProtocol::Icmp),
        (IpAddr::V4(_), Undelivered::Prohibited) => (3, 13, IpProtocol::Icmp),
        (IpAddr::V6(_), Undelivered::NoRoute) => (1, 0, IpProtocol::Icmpv6),
        (IpAddr::V6(_), Undelivered::NoHost) => (1, 3, IpProtocol::Icmpv6),
        (IpAddr::V6(_), Undelivered::NoPort) => (1, 4, IpProtocol::Icmpv6),
        (IpAddr::V6(_), Undelivered::Prohibited) => (1, 1, IpProtocol::Icmpv6),
    };
    let quoted = &original[..original.len().min(QUOTED)];
    push_icmp(out, ends, protocol, [kind, code], [0; 4], quoted);
}

/// Answers a request for an echo.
pub(super) fn push_echo(out: &mut Outbox, ends: &Ends, ident: u16, sequence: u16, data: &[u8]) {
    let (kind, protocol) = match ends.world.ip() {
        IpAddr::V4(_) => (0, IpProtocol::Icmp),
        IpAddr::V6(_) => (129, IpProtocol::Icmpv6),
    };
    let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
    push_icmp(out, ends, protocol, [kind, 0], [a, b, c, d], data);
}

fn push_icmp(out: &mut Outbox, ends: &Ends, protocol: IpProtocol, kind: [u8; 2], rest: [u8; 4], data: &[u8]) {
    let (from, to) = (ends.world.ip(), ends.guest.ip());
    let length = ICMP_HEADER + data.len();
    push(out, from, to, protocol, length, |bytes| {
        bytes[..2].copy_from_slice(&kind);
        bytes[4..ICMP_HEADER].copy_from_slice(&rest);
        bytes[ICMP_HEADER..].copy_from_slice(data);
        let mut sums = vec![checksum::data(bytes)];
        if protocol == IpProtocol::Icmpv6 {
            let length = u32::try_from(length).unwrap_or_default();
            sums.push(checksum::pseudo_header(&from.into(), &to.into(), protocol, length));
        }
        bytes[2..4].copy_from_slice(&(!checksum::combine(&sums)).to_be_bytes());
    });
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use smoltcp::wire::TcpSeqNumber;

    use super::*;

    pub(in crate::net::nat) fn ends(guest: &str, world: &str) -> Ends {
        Ends { guest: guest.parse().unwrap(), world: world.parse().unwrap() }
    }

    /// The packet that the machine would send: as one to it, with the ends changed.
    fn of_guest(ends: &Ends, make: impl FnOnce(&mut Outbox, &Ends)) -> Vec<u8> {
        let mut out = Outbox::default();
        make(&mut out, &Ends { guest: ends.world, world: ends.guest });
        out.take().remove(0)
    }

    pub(in crate::net::nat) fn datagram(ends: &Ends, payload: &[u8]) -> Vec<u8> {
        of_guest(ends, |out, ends| push_datagram(out, ends, payload))
    }

    pub(in crate::net::nat) fn request(ends: &Ends, ident: u16, sequence: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = of_guest(ends, |out, ends| push_echo(out, ends, ident, sequence, data));
        let start = bytes.len() - ICMP_HEADER - data.len();
        bytes[start] = if ends.guest.is_ipv4() { 8 } else { 128 };
        bytes
    }

    pub(in crate::net::nat) fn segment(ends: &Ends, control: TcpControl, seq: i32, ack: Option<i32>) -> Vec<u8> {
        let repr = TcpRepr {
            src_port: ends.guest.port(),
            dst_port: ends.world.port(),
            control,
            seq_number: TcpSeqNumber(seq),
            ack_number: ack.map(TcpSeqNumber),
            window_len: 64_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (from, to) = (ends.guest.ip(), ends.world.ip());
        let mut out = Outbox::default();
        push(&mut out, from, to, IpProtocol::Tcp, repr.buffer_len(), |bytes| {
            let mut packet = TcpPacket::new_unchecked(bytes);
            repr.emit(&mut packet, &from.into(), &to.into(), &ChecksumCapabilities::default());
        });
        out.take().remove(0)
    }

    const BOTH: [(&str, &str); 2] = [("10.255.254.2:4000", "1.2.3.4:80"), ("[fd00::2]:4000", "[2001:db8::1]:80")];

    #[test]
    fn datagrams_are_read_as_they_were_made() {
        for (guest, world) in BOTH {
            let ends = ends(guest, world);
            let bytes = datagram(&ends, b"hello");
            let packet = parse(&bytes).unwrap();
            assert_eq!((packet.ends, packet.body), (ends, Body::Udp(b"hello")));
        }
    }

    #[test]
    fn an_opening_is_refused_with_what_it_said_acknowledged() {
        for (guest, world) in BOTH {
            let ends = ends(guest, world);
            let bytes = segment(&ends, TcpControl::Syn, 99, None);
            let packet = parse(&bytes).unwrap();
            assert_eq!(packet.body, Body::Tcp { is_opening: true, is_reset: false });
            let mut out = Outbox::default();
            push_reset(&mut out, &packet);
            let reset = out.take().remove(0);
            let reset = TcpPacket::new_checked(&reset[reset.len() - 20..]).unwrap();
            assert!(reset.rst() && reset.ack() && reset.ack_number() == TcpSeqNumber(100));
            assert_eq!((reset.src_port(), reset.dst_port()), (80, 4000));
        }
    }

    #[test]
    fn news_of_what_was_not_delivered_quotes_it_and_has_the_right_sum() {
        let ends = ends(BOTH[0].0, BOTH[0].1);
        let original = datagram(&ends, &[1; 2000]);
        let mut out = Outbox::default();
        push_undelivered(&mut out, &ends, &original, Undelivered::Prohibited);
        let bytes = out.take().remove(0);
        let packet = Ipv4Packet::new_checked(&bytes[..]).unwrap();
        let message = Icmpv4Packet::new_checked(packet.payload()).unwrap();
        assert!(packet.verify_checksum() && message.verify_checksum());
        assert_eq!((message.msg_type(), message.msg_code()), (Icmpv4Message::DstUnreachable, 13));
        assert_eq!(message.data(), &original[..QUOTED]);
    }

    #[test]
    fn echoes_of_both_families_are_asked_for_and_answered() {
        for (guest, world) in [("10.255.254.2:0", "1.2.3.4:0"), ("[fd00::2]:0", "[2001:db8::1]:0")] {
            let ends = ends(guest, world);
            let bytes = request(&ends, 7, 9, b"data");
            let packet = parse(&bytes).unwrap();
            assert_eq!((packet.ends, packet.body), (ends, Body::Echo { ident: 7, sequence: 9, data: b"data" }));
        }
    }

    #[test]
    fn fragments_and_packets_without_ports_are_nothing_that_is_carried() {
        let mut bytes = datagram(&ends("10.255.254.2:1", "1.2.3.4:2"), b"x");
        assert!(parse(&bytes).is_some());
        bytes[6] |= 0x20;
        assert!(parse(&bytes).is_none());
        assert!(parse(&datagram(&ends("10.255.254.2:0", "1.2.3.4:2"), b"x")).is_none());
        assert!(parse(&segment(&ends("10.255.254.2:1", "1.2.3.4:0"), TcpControl::Syn, 0, None)).is_none());
        assert!(parse(&[]).is_none() && parse(&[0x45]).is_none());
    }

    #[test]
    fn a_datagram_that_is_too_long_for_a_packet_is_left_out() {
        let mut out = Outbox::default();
        push_datagram(&mut out, &ends("10.255.254.2:1", "1.2.3.4:2"), &[0; 65_508]);
        push_datagram(&mut out, &ends("10.255.254.2:1", "1.2.3.4:2"), &[0; 65_507]);
        assert_eq!(out.take().iter().map(Vec::len).collect::<Vec<_>>(), [65_535]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(version in prop::sample::select(vec![0x45_u8, 0x4f, 0x60, 0x00]), next in any::<u8>(), mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() { *first = version; }
            let length = u16::try_from(bytes.len()).unwrap();
            // Where the lengths and the protocol lie, so that more than the first look is passed.
            if bytes.len() > 40 {
                if version == 0x60 {
                    bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
                    bytes[6] = [6, 17, 58, next][usize::from(next % 4)];
                } else {
                    bytes[2..4].copy_from_slice(&length.to_be_bytes());
                    bytes[6] = 0;
                    bytes[7] = 0;
                    bytes[9] = [6, 17, 1, next][usize::from(next % 4)];
                }
            }
            if let Some(packet) = parse(&bytes) {
                let mut out = Outbox::default();
                push_reset(&mut out, &packet);
                push_undelivered(&mut out, &packet.ends, packet.whole, Undelivered::NoHost);
                prop_assert!(!out.take().is_empty());
            }
        }
    }
}
