//! Sockets of the host that no call waits for, and what the host knows of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, connect, getsockname, ipproto, socket_with, sockopt,
};

use super::packet::Undelivered;
use crate::sys::news::hear_of_failures;

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn socket(address: IpAddr, kind: SocketType, protocol: Option<Protocol>) -> rustix::io::Result<OwnedFd> {
    socket_with(family(address), kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)
}

/// A socket for datagrams to and from one address; no packet is sent.
pub(super) fn datagrams(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(to.ip(), SocketType::DGRAM, None)?;
    connect(&socket, &to)?;
    Ok(socket)
}

/// A connection that is on its way.
pub(super) fn stream(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(to.ip(), SocketType::STREAM, None)?;
    // Who writes small pieces to a machine or from it has waited already where it wants to.
    sockopt::set_tcp_nodelay(&socket, true)?;
    // The machine's own probes end at us: without others a peer that is gone would keep its connection for ever.
    sockopt::set_socket_keepalive(&socket, true)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket for echo requests to one address. The host chooses their identifier.
pub(super) fn echoes(to: IpAddr) -> rustix::io::Result<OwnedFd> {
    let protocol = if to.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    let socket = socket(to, SocketType::DGRAM, Some(protocol))?;
    connect(&socket, &SocketAddr::new(to, 0))?;
    // Where that cannot be, only answers are heard.
    let _ = hear_of_failures(&socket, to.is_ipv4());
    Ok(socket)
}

/// The port of what discards all.
const NOTHING: u16 = 9;

/// Largest MTU that a device can have which leads away from this host (`IP_MAX_MTU` of Linux).
const MTU_MAX: u32 = 65_535;

/// Whether this is one of the host's own addresses, asked of the kernel without a packet.
pub(super) fn is_own(address: IpAddr) -> rustix::io::Result<bool> {
    let to = SocketAddr::new(address, NOTHING);
    let socket = datagrams(to)?;
    let own = SocketAddr::try_from(getsockname(&socket)?).map_err(|_| Errno::AFNOSUPPORT)?;
    // The host talks to its own addresses from themselves, but for some: the second of a network is spoken to from the
    // first, and so is what a route says is here.
    Ok(own.ip() == address || leaves_by_loopback(&socket, to))
}

/// Whether the way of this socket, which is connected to `to`, is the loopback device, as those of all own addresses are.
fn leaves_by_loopback(socket: impl AsFd, to: SocketAddr) -> bool {
    let loopback = match to {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let Ok(from_loopback) = datagrams(SocketAddr::new(loopback, NOTHING)) else { return false };
    match to {
        // Another device may have the same MTU; and it may be told (`route_localnet`) to take packets of the loopback.
        SocketAddr::V4(_) => {
            let is_as_wide = sockopt::ip_mtu(socket).is_ok_and(|mtu| sockopt::ip_mtu(&from_loopback) == Ok(mtu));
            is_as_wide && connect(&from_loopback, &to).is_ok()
        }
        // Here all devices take them, but none is as wide.
        SocketAddr::V6(_) => {
            sockopt::ipv6_mtu(socket).is_ok_and(|mtu| mtu > MTU_MAX && sockopt::ipv6_mtu(&from_loopback) == Ok(mtu))
        }
    }
}

/// Ends a connection so that the other side hears of a break, not of an end.
pub(super) fn break_off(socket: OwnedFd) {
    // Without it the other side hears of an end.
    let _ = sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO));
    drop(socket);
}

/// How a connection that was on its way came out.
pub(super) fn outcome(socket: impl AsFd) -> rustix::io::Result<()> {
    sockopt::socket_error(socket)?
}

/// What an error of a socket for datagrams is to the machine.
pub(super) fn undelivered(error: Errno) -> Undelivered {
    match error {
        Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => Undelivered::NoRoute,
        Errno::CONNREFUSED => Undelivered::NoPort,
        Errno::ACCESS | Errno::PERM => Undelivered::Prohibited,
        _ => Undelivered::NoHost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_known_without_a_packet() {
        assert_eq!(is_own("127.0.0.1".parse().unwrap()), Ok(true));
        // A host without a way there says so.
        assert_ne!(is_own("192.0.2.77".parse().unwrap()), Ok(true));
    }
}
