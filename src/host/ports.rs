//! Ports of this host: which of them are taken, and which only the privileged may take.
//!
//! What is taken is read, not tried: to listen on a port, even for a moment, could take it from who is about to.
//! `/proc/self/net` is of the network namespace that we are in.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::config::HostPorts;

/// What Linux begins with.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// State of a socket that listens, in the tables of `/proc`.
const LISTENS: &str = "0A";

/// Looks at this computer.
pub(super) fn ports() -> HostPorts {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
    let first = setting.and_then(|text| text.trim().parse().ok()).unwrap_or(FIRST_UNPRIVILEGED);
    let table = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    let taken = [listeners(&table("tcp")), listeners(&table("tcp6"))].concat();
    HostPorts { first_unprivileged: first, may_use_all: first <= 1 || may_bind_low(), taken }
}

/// Asks the kernel whether we may use the first port, which nobody uses. It looks at the rights before it looks at the
/// port, and those of a user namespace count only in a network namespace of its own.
fn may_bind_low() -> bool {
    let refused = |errno: Errno| matches!(errno, Errno::ACCESS | Errno::PERM);
    let Ok(socket) = socket(AddressFamily::INET, SocketType::STREAM, None) else { return false };
    let first = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);
    bind(&socket, &first).err().is_none_or(|errno| !refused(errno))
}

/// The sockets of a table that listen.
fn listeners(table: &str) -> Vec<SocketAddr> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// The inodes of the sockets that listen where this address would meet them.
pub(super) fn listener_inodes(address: SocketAddr) -> Vec<u64> {
    let meets = |ip: IpAddr| {
        let (one, other) = (ip.to_canonical(), address.ip().to_canonical());
        one == other || one.is_unspecified() || other.is_unspecified()
    };
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        for line in table.lines().skip(1) {
            let is_it = listener(line).is_some_and(|own| own.port() == address.port() && meets(own.ip()));
            // sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
            let inode: Option<u64> = line.split_whitespace().nth(9).and_then(|inode| inode.parse().ok());
            found.extend(inode.filter(|_| is_it));
        }
    }
    found
}

/// `0: 0100007F:1538 00000000:0000 0A …`
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTENS).then_some(SocketAddr::new(self::address(address)?, port))
}

/// An address as words of 32 bits, each printed as this computer stores it.
fn address(digits: &str) -> Option<IpAddr> {
    let words = digits.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<[u8; 4]>>>()?.concat();
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    let bytes = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(bytes)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_of_both_families_are_read() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let four = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0\n";
        let busy = "   1: 0100007F:1538 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 1 1 0\n";
        let six = "   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0\n";
        let found = listeners(&format!("{head}{four}{busy}{six}   3: nonsense\n"));
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 5432)), "[::1]:80".parse().unwrap()]);
        assert!(listeners("").is_empty());
    }

    #[test]
    fn a_port_that_something_listens_on_is_found() {
        let own = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = own.local_addr().unwrap();
        assert!(ports().taken.contains(&address));
        drop(own);
        // A process that another test starts meanwhile has a copy until it becomes its program.
        let end = Instant::now() + Duration::from_secs(10);
        while ports().taken.contains(&address) {
            assert!(Instant::now() < end, "it is still taken");
            thread::yield_now();
        }
    }
}
