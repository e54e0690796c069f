//! The machine's interface to its network: a TUN device, made and set up without any program of an image.
//!
//! Set up by netlink (rtnetlink(7)), whose messages are built here as bytes.

#![expect(unsafe_code, reason = "sockets and ioctls of the network that the standard library lacks")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::check;

const DEVICE: &str = "/dev/net/tun";

// <linux/if_tun.h>
const IFF_TUN: libc::c_short = 0x0001;
const IFF_NO_PI: libc::c_short = 0x1000;

// <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;
const RTA_OIF: u16 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

/// Bytes of a message's header, and of the answer's error behind it.
const HEADER: usize = 16;
const ERROR: usize = 4;

/// Makes an interface. Packets are read from the file and written to it, whole.
pub(crate) fn open_tun(name: &str) -> io::Result<File> {
    let device = File::options().read(true).write(true).open(DEVICE)?;
    // SAFETY: all bytes zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (place, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = IFF_TUN | IFF_NO_PI;
    // SAFETY: the request reads and writes an `ifreq`, which `request` is, with a name that ends with zero.
    check(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(device)
}

/// Gives an interface its addresses, brings it up, and makes it the way to all others. Where the kernel has no IPv6, that
/// is left out.
pub(crate) fn set_interface_up(name: &str, mtu: u32, v4: Ipv4Addr, v6: Ipv6Addr) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a C string that lives over the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: no pointers.
    let raw =
        check(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) })?;
    // SAFETY: the kernel just returned `raw`, and nothing else owns it.
    let mut socket = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    ask(&mut socket, &link_message(index, mtu))?;
    ask(&mut socket, &address_message(index, v4.into()))?;
    ask(&mut socket, &route_message(index, libc::AF_INET))?;
    match ask(&mut socket, &address_message(index, v6.into())) {
        Ok(()) => ask(&mut socket, &route_message(index, libc::AF_INET6)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EACCES)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Sends a message and reads what came of it.
fn ask(socket: &mut File, message: &[u8]) -> io::Result<()> {
    socket.write_all(message)?;
    let mut answer = [0; 1024];
    let count = socket.read(&mut answer)?;
    let error = answer[..count].get(HEADER..HEADER + ERROR).and_then(|bytes| bytes.try_into().ok());
    match error.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

fn message(kind: u16, flags: i32, body: &[u8], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    for (kind, value) in attributes {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or_default();
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// Brings the interface up.
fn link_message(index: u32, mtu: u32) -> Vec<u8> {
    let up = libc::IFF_UP.cast_unsigned().to_ne_bytes();
    let body = [&[0; 4][..], &index.to_ne_bytes(), &up, &up].concat();
    message(libc::RTM_NEWLINK, 0, &body, &[(IFLA_MTU, mtu.to_ne_bytes().to_vec())])
}

/// Gives it an address that has no neighbors.
fn address_message(index: u32, address: IpAddr) -> Vec<u8> {
    let (family, bits, flags, bytes) = match address {
        IpAddr::V4(address) => (libc::AF_INET, 32, 0, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, 128, IFA_F_NODAD, address.octets().to_vec()),
    };
    let family = u8::try_from(family).unwrap_or_default();
    let body = [&[family, bits, flags, 0][..], &index.to_ne_bytes()].concat();
    let attributes = [(IFA_LOCAL, bytes.clone()), (IFA_ADDRESS, bytes)];
    message(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body, &attributes)
}

/// Makes it the way to all addresses of a family.
fn route_message(index: u32, family: libc::c_int) -> Vec<u8> {
    let family = u8::try_from(family).unwrap_or_default();
    let body = [family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0, 0, 0, 0];
    message(
        libc::RTM_NEWROUTE,
        libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        &body,
        &[(RTA_OIF, index.to_ne_bytes().to_vec())],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_length_and_padded_attributes() {
        let address = address_message(7, Ipv4Addr::new(10, 0, 0, 2).into());
        assert_eq!(address.len(), HEADER + 8 + 2 * 8);
        assert_eq!(u32::from_ne_bytes(address[..4].try_into().unwrap()), u32::try_from(address.len()).unwrap());
        let odd = message(1, 0, &[], &[(9, vec![1]), (10, vec![2])]);
        assert_eq!(odd[HEADER..], [5, 0, 9, 0, 1, 0, 0, 0, 5, 0, 10, 0, 2, 0, 0, 0]);
    }
}
