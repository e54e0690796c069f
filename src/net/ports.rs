//! Published ports: sockets of the host that listen for as long as the run, and what is accepted on them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use smolvm_agent::{FORWARD_PORT, Forward};

use crate::guest::{Claim, Dial};
use crate::plan::{MachinePlan, PortPlan};

/// Connections that the host's kernel keeps before they are accepted; as many as it lets by default. Who comes past it waits
/// longer each time that it tries again.
const BACKLOG: i32 = 4096;

/// Pause where a machine has as many connections as it may have, or the host no descriptors left.
const PAUSE: Duration = Duration::from_millis(20);

/// Why ports cannot be published: each that cannot be had, in the order of the file.
#[derive(Debug)]
pub struct PublishError {
    /// Not empty.
    pub failed: Vec<Unpublished>,
}

impl PublishError {
    /// What to do about it, each thing once and on its own line; `holder` tells who listens at an address, where that is known.
    pub fn help(&self, holder: impl Fn(SocketAddr) -> Option<String>) -> String {
        let mut lines: Vec<String> = Vec::new();
        for failed in &self.failed {
            let line = failed.help(holder(failed.address).as_deref());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.join("\n")
    }
}

/// Somebody has a port, or it may not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot publish port {port} of machine `{machine}` on {address}")]
pub struct Unpublished {
    /// Whose.
    pub machine: String,
    /// Of the guest.
    pub port: u16,
    /// Of the host.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl Error for PublishError {}

impl fmt::Display for PublishError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, failed) in self.failed.iter().enumerate() {
            let before = if place == 0 { "" } else { "\n" };
            write!(out, "{before}{failed}: {}", failed.source)?;
        }
        Ok(())
    }
}

impl Unpublished {
    /// What to do about it; `holder` is who has the port, in words, where that is known.
    pub fn help(&self, holder: Option<&str>) -> String {
        let Self { address, source, .. } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                let port = address.port();
                let who = match holder {
                    Some(holder) => format!("{holder} has port {port}: end it"),
                    None => format!("end what has port {port} (`ss -ltnp 'sport = :{port}'` names it)"),
                };
                format!("{who}, or publish another port; 0 is any free one")
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
/// All that cannot be had; then none is held.
pub fn publish(machines: &mut [MachinePlan]) -> Result<Published, PublishError> {
    publish_after(&Published::default(), machines)
}

/// The same, where some may be held already: those stay what they are.
///
/// # Errors
/// All that cannot be had; then no other than before is held.
pub fn publish_after(earlier: &Published, machines: &mut [MachinePlan]) -> Result<Published, PublishError> {
    let mut published = Published::default();
    let mut failed = Vec::new();
    for machine in machines {
        for port in &mut machine.ports {
            let address = SocketAddr::from((port.address, port.host));
            let held = earlier.had(&machine.name, port).map_or_else(|| listen_anew(address), Ok);
            match held {
                Ok((listener, host)) => {
                    port.host = host;
                    let own = published.by_machine.entry(machine.name.clone()).or_default();
                    own.push((Arc::clone(&listener), port.guest));
                    published.taken.push((machine.name.clone(), *port, listener));
                }
                Err(source) => {
                    failed.push(Unpublished { machine: machine.name.clone(), port: port.guest, address, source });
                }
            }
        }
    }
    if failed.is_empty() { Ok(published) } else { Err(PublishError { failed }) }
}

/// A new socket, and its port.
fn listen_anew(address: SocketAddr) -> io::Result<(Arc<TcpListener>, u16)> {
    let listener = listen(address)?;
    let port = listener.local_addr()?.port();
    Ok((Arc::new(listener), port))
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

/// Gives each connection to the machine, until it is told to stop. For whom it is, `claim` says anew each time: who else may
/// ask changes while the machine is up. Where it says nothing, the run is over. Must be called within a tokio runtime.
pub async fn serve_port(
    listener: Arc<TcpListener>,
    guest: u16,
    dial: Arc<dyn Dial>,
    claim: impl Fn() -> Option<Claim> + Send,
) {
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
        loop {
            let Some(claim) = claim() else { return };
            // Where there is no descriptor for a copy, there may be one soon.
            let joined = stream.try_clone().map(|copy| dial.join(FORWARD_PORT, &opening, copy.into(), claim));
            if matches!(&joined, Ok(Ok(())))
                || matches!(&joined, Ok(Err(error)) if error.kind() != io::ErrorKind::QuotaExceeded)
            {
                break;
            }
            // Those that come after it wait in the kernel.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Breaks each connection off at once, as where nobody listens, until it is told to stop: its machine is down. Must be
/// called within a tokio runtime.
pub async fn refuse_port(listener: Arc<TcpListener>) {
    let Ok(listener) = listener.try_clone().and_then(tokio::net::TcpListener::from_std) else { return };
    loop {
        match listener.accept().await {
            // Dropped with nothing to wait for, it is reset.
            Ok((stream, _)) => drop(rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))),
            Err(_) => tokio::time::sleep(PAUSE).await,
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
        let failed = Unpublished { machine: "web".to_owned(), port: 80, address, source: error };
        assert_eq!(failed.to_string(), format!("cannot publish port 80 of machine `web` on {address}"));
        assert!(failed.help(None).contains("`ss -ltnp") && failed.help(None).contains("0 is any free one"));
        assert!(failed.help(Some("`nginx` (process 7)")).starts_with("`nginx` (process 7) has port "));
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

    /// Notes for whom connections are, and how many others there are.
    #[derive(Default)]
    struct Noting(std::sync::Mutex<Vec<Claim>>);

    impl Dial for Noting {
        fn dial(&self, _port: u32) -> io::Result<std::os::unix::net::UnixStream> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn join(&self, _port: u32, _opening: &[u8], _stream: std::os::fd::OwnedFd, claim: Claim) -> io::Result<()> {
            self.0.lock().unwrap().push(claim);
            Ok(())
        }
    }

    #[tokio::test]
    async fn for_whom_a_connection_is_is_what_the_plan_says_when_it_comes() {
        use tokio::io::AsyncReadExt;
        let listener = Arc::new(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap());
        let address = listener.local_addr().unwrap();
        let dial = Arc::new(Noting::default());
        let port = PortPlan { address: address.ip(), host: address.port(), is_any: true, guest: 80 };
        let web = MachinePlan { ports: vec![port], ..MachinePlan::bare("web", 256) };
        let plan = Arc::new(std::sync::Mutex::new(vec![web]));
        let ours = Arc::clone(&plan);
        let claim = move || Some(crate::net::ports_claim(&ours.lock().unwrap(), 0));
        let served = tokio::spawn(serve_port(listener, 80, Arc::clone(&dial) as Arc<dyn Dial>, claim));
        // It was joined when the machine's end of it is gone.
        let visit = || async { tokio::net::TcpStream::connect(address).await.unwrap().read(&mut [0]).await };
        assert!(matches!(visit().await, Ok(0)));
        let linked = vec![crate::plan::LinkPlan { machine: "web".to_owned(), port: 80 }];
        let later = ["one", "two"].map(|name| MachinePlan { links: linked.clone(), ..MachinePlan::bare(name, 256) });
        plan.lock().unwrap().extend(later);
        assert!(matches!(visit().await, Ok(0)));
        let claims: Vec<u32> = dial.0.lock().unwrap().iter().map(|claim| claim.among).collect();
        assert_eq!(claims, [1, 3]);
        served.abort();
    }
}
