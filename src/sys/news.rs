//! News of packets that were not delivered, which a socket for datagrams hears of only where it asks.
//!
//! Not here: what is done about them.

#![expect(unsafe_code, reason = "no wrapper sets this option")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Makes a socket of IPv4 or IPv6 fail with what routers and hosts say of its packets, also where that may pass
/// (`IP_RECVERR`, ip(7)). The packets themselves wait in its queue of errors, for who calls for them.
///
/// # Errors
/// Where it is no such socket.
pub fn hear_of_failures(socket: impl AsFd, is_v4: bool) -> io::Result<()> {
    let (level, option) = if is_v4 { (libc::SOL_IP, libc::IP_RECVERR) } else { (libc::SOL_IPV6, libc::IPV6_RECVERR) };
    let on: libc::c_int = 1;
    let length = size_of_val(&on).try_into().map_err(io::Error::other)?;
    // SAFETY: the option is read from `on`, which is as long as said and outlives the call; the socket is borrowed.
    let result = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_both_families_can_ask_and_others_cannot() {
        for (address, is_v4) in [("127.0.0.1:0", true), ("[::1]:0", false)] {
            let Ok(socket) = std::net::UdpSocket::bind(address) else { continue };
            assert!(hear_of_failures(&socket, is_v4).is_ok(), "{address}");
        }
        assert!(hear_of_failures(std::io::pipe().unwrap().0, true).is_err());
    }
}
