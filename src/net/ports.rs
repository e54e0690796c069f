//! Published ports: sockets of the host that listen for as long as the run, and what is accepted on them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use smolvm_agent::{FORWARD_PORT, Forward};

use crate::guest::Dial;
use crate::plan::{MachinePlan, PortPlan};

/// Connections that the host's kernel keeps before they are accepted.
const BACKLOG: i32 = 1024;

/// Pause where a machine has as many connections as it may have, or the host no descriptors left.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Somebody has it, or it may not be had.
    #[error("cannot publish port {port} of machine `{machine}` on {address}")]
    Bind {
        /// Whose.
        machine: String,
        /// Of the guest.
        port: u16,
        /// Of the host.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl PublishError {
    /// What to do about it.
    pub fn help(&self) -> String {
        let Self::Bind { address, source, .. } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "end what listens there (`ss -ltnp 'sport = :{}'` names it), or publish another port; 0 is any free one",
                    address.port()
                )
            }
            io::ErrorKind::PermissionDenied => "publish a port from 1024 on; 0 is any free one".to_owned(),
            io::ErrorKind::AddrNotAvailable => format!("this computer has no address {}", address.ip()),
            _ => "publish another port; 0 is any free one".to_owned(),
        }
    }
}

/// The sockets of a run, which listen until it is dropped.
#[derive(Debug, Default)]
pub struct Published {
    by_machine: HashMap<String, Vec<(Arc<TcpListener>, u16)>>,
    /// Whose they are, as they were taken.
    taken: Vec<(String, PortPlan, Arc<TcpListener>)>,
}

impl Published {
    /// The sockets of a machine, each with the guest's port.
    pub fn of(&self, machine: &str) -> &[(Arc<TcpListener>, u16)] {
        self.by_machine.get(machine).map_or(&[], Vec::as_slice)
    }

    /// The socket that a port of a machine has by now, with its port of the host: the same address, or any other of the
    /// same machine where any will do.
    fn had(&self, machine: &str, port: &PortPlan) -> Option<(Arc<TcpListener>, u16)> {
        let is_it = |(name, had, _): &&(String, PortPlan, Arc<TcpListener>)| {
            let is_any = port.is_any && port.host == 0;
            let is_own = name == machine && had.guest == port.guest && had.is_any;
            had.address == port.address && if is_any { is_own } else { had.host == port.host }
        };
        self.taken.iter().find(is_it).map(|(_, had, listener)| (Arc::clone(listener), had.host))
    }
}

/// Listens on all published ports of these machines, and writes into the plan which ones were taken where any would do.
///
/// # Errors
/// The first one that cannot be had; then none is held.
pub fn publish(machines: &mut [MachinePlan]) -> Result<Published, PublishError> {
    publish_after(&Published::default(), machines)
}

/// The same, where some may be held already: those stay what they are.
///
/// # Errors
/// The first one that cannot be had; then no other than before is held.
pub fn publish_after(earlier: &Published, machines: &mut [MachinePlan]) -> Result<Published, PublishError> {
    let mut published = Published::default();
    for machine in machines {
        let name = machine.name.clone();
        for port in &mut machine.ports {
            let address = SocketAddr::from((port.address, port.host));
            let failed = |source| PublishError::Bind { machine: name.clone(), port: port.guest, address, source };
            let listener = match earlier.had(&name, port) {
                Some((listener, host)) => {
                    port.host = host;
                    listener
                }
                None => {
                    let listener = listen(address).map_err(failed)?;
                    port.host = listener.local_addr().map_err(failed)?.port();
                    Arc::new(listener)
                }
            };
            published.by_machine.entry(name.clone()).or_default().push((Arc::clone(&listener), port.guest));
            published.taken.push((name.clone(), *port, listener));
        }
    }
    Ok(published)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let IpAddr::V6(ip) = address.ip() {
        // `[::]` is every address, of either kind, as docker has it; where IPv4's is taken too, the kernel says so.
        sockopt::set_ipv6_v6only(&socket, !ip.is_unspecified())?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Gives each connection to the machine, until it is told to stop. Must be called within a tokio runtime.
pub async fn serve_port(listener: Arc<TcpListener>, guest: u16, dial: Arc<dyn Dial>) {
    let Ok(listener) = listener.try_clone().and_then(tokio::net::TcpListener::from_std) else { return };
    let opening = Forward::Port(guest).opening();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        // What is written in small pieces is meant to arrive so.
        let _ = stream.set_nodelay(true);
        let mut next = Some(stream);
        while let Some(stream) = next.take() {
            let Ok(copy) = stream.try_clone() else { break };
            match dial.join(FORWARD_PORT, &opening, copy.into()) {
                Err(error) if error.kind() == io::ErrorKind::QuotaExceeded => {
                    // Those that come after it wait in the kernel.
                    tokio::time::sleep(PAUSE).await;
                    next = Some(stream);
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_taken_port_is_told_with_machine_and_address() {
        let taken = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = PublishError::Bind { machine: "web".to_owned(), port: 80, address, source: error };
        assert_eq!(error.to_string(), format!("cannot publish port 80 of machine `web` on {address}"));
        assert!(error.help().contains("0 is any free one"));
    }

    #[test]
    fn what_is_held_stays_for_the_next_round_whoever_has_it_then() {
        let port = |host, is_any, guest| PortPlan { address: Ipv4Addr::LOCALHOST.into(), host, is_any, guest };
        let with = |name: &str, ports: Vec<PortPlan>| MachinePlan { ports, ..MachinePlan::bare(name, 256) };
        let mut first = [with("web", vec![port(0, true, 80)]), with("db", vec![port(0, true, 5432)])];
        let held = publish(&mut first).unwrap();
        let (web, db) = (first[0].ports[0].host, first[1].ports[0].host);
        // One is made anew, the port of the other is another machine's, and there is a new one.
        let mut next = [with("web", vec![port(0, true, 80)]), with("new", vec![port(db, false, 1), port(0, true, 2)])];
        let after = publish_after(&held, &mut next).unwrap();
        assert_eq!((next[0].ports[0].host, next[1].ports[0].host), (web, db));
        drop(held);
        assert_eq!((after.of("web").len(), after.of("new").len(), after.of("db").len()), (1, 2, 0));
        let taken = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, web))).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
