//! The machine's network: packets between its interface and the host, unread by us.
//!
//! ```text
//! kernel ─► eth0 (TUN) ─read, many at once─► a length before each ─► connection of the host, port 1028
//!        ◄──────────────── write, one by one ◄───────────────────────
//! ```
//!
//! Neither side waits for the other: each has a thread. Deliberately not here: what may be reached, which the host
//! decides, and what is in a packet.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use smolvm_agent::{NETWORK_PORT, SetupNetwork};

use crate::sys::{self, Readiness, VsockListener};
use crate::wire::greet;

/// Its name, which programs know.
pub(crate) const INTERFACE: &str = "eth0";

/// Bytes before each packet: its length, little endian.
const LENGTH: usize = 2;

/// Longest packet.
const PACKET_MAX: usize = 65_535;

/// Bytes that are moved at once; more than one of the longest packets.
const BUFFER: usize = 4 * (LENGTH + PACKET_MAX);

/// Makes the interface, and serves the one connection of the host that comes for it. To be called while `/dev` of the
/// initramfs is there.
pub(crate) fn start(network: &SetupNetwork) -> io::Result<()> {
    let tun = sys::open_tun(INTERFACE)?;
    // A wire with two ends has no routers to be asked, and no other addresses to be made. A kernel without IPv6 has not
    // these files.
    for (key, value) in [("accept_ra", "0"), ("addr_gen_mode", "1")] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{INTERFACE}/{key}"), value);
    }
    sys::set_interface_up(INTERFACE, network.mtu.into(), network.address_v4, network.address_v6)?;
    sys::set_nonblocking(&tun)?;
    let listener = VsockListener::bind(NETWORK_PORT)?;
    let tun = Arc::new(tun);
    thread::Builder::new().name("network".to_owned()).spawn(move || serve(&listener, &tun))?;
    Ok(())
}

fn serve(listener: &VsockListener, tun: &Arc<File>) {
    loop {
        let Ok(stream) = listener.accept_host() else { return };
        if greet(&stream).is_err() {
            continue;
        }
        let Ok(out) = stream.try_clone() else { return };
        let source = Arc::clone(tun);
        let spawned = thread::Builder::new().name("packets out".to_owned()).spawn(move || carry_out(&source, &out));
        if spawned.is_ok() {
            carry_in(&stream, tun);
        }
        // Without the host the machine ends.
        return;
    }
}

/// Sends the packets of the machine, those together that are there together.
fn carry_out(mut tun: &File, mut stream: &File) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut end = 0;
        while buffer.len() - end >= LENGTH + PACKET_MAX {
            match tun.read(&mut buffer[end + LENGTH..end + LENGTH + PACKET_MAX]) {
                Ok(count) => {
                    let length = u16::try_from(count).unwrap_or_default();
                    buffer[end..end + LENGTH].copy_from_slice(&length.to_le_bytes());
                    end += LENGTH + count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The machine's root took its own interface away.
                Err(_) => return,
            }
        }
        if end == 0 {
            if sys::poll([Some(tun.as_fd())], Readiness::Input, None).is_err() {
                return;
            }
        } else if stream.write_all(&buffer[..end]).is_err() {
            return;
        }
    }
}

/// Gives the machine the packets of the host. One that the kernel does not take is lost, as on any wire.
fn carry_in(mut stream: &File, mut tun: &File) {
    let mut buffer = vec![0; BUFFER];
    let mut end = 0;
    loop {
        match stream.read(&mut buffer[end..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => end += count,
        }
        let mut start = 0;
        while let Some(packet) = packet_at(&buffer[start..end]) {
            let _ = tun.write(packet);
            start += LENGTH + packet.len();
        }
        buffer.copy_within(start..end, 0);
        end -= start;
    }
}

/// The whole packet at the beginning of these bytes.
fn packet_at(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.get(..usize::from(u16::from_le_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_packets_are_packets() {
        assert_eq!(packet_at(&[]), None);
        assert_eq!(packet_at(&[2, 0, 1]), None);
        assert_eq!(packet_at(&[2, 0, 1, 2, 3]), Some(&[1, 2][..]));
        assert_eq!(packet_at(&[0, 0]), Some(&[][..]));
    }
}
