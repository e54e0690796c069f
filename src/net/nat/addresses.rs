//! The few addresses of a machine's own network. It is a wire with two ends, so that no other address is hidden by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address of every machine.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(10, 255, 254, 2);

/// Address of every machine, a unique local one (RFC 4193), so that programs prefer IPv4 where they have the choice.
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd73, 0x6d6f, 0x6c76, 0x6d, 0, 0, 0, 2);

/// The other end: names are resolved there, and behind it is the host's loopback where that is allowed.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 255, 254, 1);

/// As [`GATEWAY_V4`].
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd73, 0x6d6f, 0x6c76, 0x6d, 0, 0, 0, 1);

/// Name of the gateway in a machine's `/etc/hosts`.
pub const GATEWAY_NAME: &str = "host.smolvm.internal";

/// Port of names.
pub(super) const DNS_PORT: u16 = 53;

/// Whether packets of a machine may have this source: it has one address of each family.
pub(super) fn is_guest(address: IpAddr) -> bool {
    address == IpAddr::V4(GUEST_V4) || address == IpAddr::V6(GUEST_V6)
}

/// Where of the host's loopback the gateway's address leads.
pub(super) fn behind_gateway(address: IpAddr) -> Option<IpAddr> {
    if address == IpAddr::V4(GATEWAY_V4) {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    (address == IpAddr::V6(GATEWAY_V6)).then_some(IpAddr::V6(Ipv6Addr::LOCALHOST))
}
