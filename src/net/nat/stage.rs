//! For tests: a gateway on a thread of its own, and a machine at the other end of its wire, whose stack is smoltcp's.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::addresses::{GATEWAY_V4, GUEST_V4};
use super::frame::{Inbox, MTU, Outbox};
use super::gateway::Gateway;
use super::news::NatNews;
use super::policy::{Allowed, Policy};

/// How long anything may take.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Looked at so often where nothing comes.
const GLANCE: Duration = Duration::from_millis(5);

/// The gateway and the machine's end of its wire.
pub(super) struct Stage {
    machine: UnixStream,
    inbox: Inbox,
    parent: Option<UnixStream>,
    gateway: Option<JoinHandle<usize>>,
    news: Receiver<NatNews>,
}

/// `127.0.0.1` of this host, as an entry of `allow`.
pub(super) fn loopback() -> Allowed {
    Allowed::Addresses { first: IpAddr::from([127, 0, 0, 1]), bits: 32 }
}

/// A port of this host's loopback, as a machine reaches it.
pub(super) fn behind(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(GATEWAY_V4.into(), at.port())
}

impl Stage {
    /// A machine that reaches this host's loopback by so many connections at once.
    pub(super) fn new(sockets_max: usize) -> Self {
        Self::with(sockets_max, Some(vec![loopback()]), Vec::new())
    }

    pub(super) fn with(sockets_max: usize, allow: Option<Vec<Allowed>>, resolvers: Vec<SocketAddr>) -> Self {
        let (machine, theirs) = UnixStream::pair().unwrap();
        let (parent, child) = UnixStream::pair().unwrap();
        machine.set_read_timeout(Some(GLANCE)).unwrap();
        theirs.set_nonblocking(true).unwrap();
        child.set_nonblocking(true).unwrap();
        let (sender, news) = channel();
        let gateway = thread::spawn(move || {
            let mut gateway = Gateway::new(Policy::new(allow)).unwrap();
            gateway.set_sockets_max(sockets_max);
            gateway.set_servers(resolvers);
            gateway.watch_parent(&child).unwrap();
            gateway.connect(theirs.into()).unwrap();
            turn(gateway, &sender, &child)
        });
        Self { machine, inbox: Inbox::new(), parent: Some(parent), gateway: Some(gateway), news }
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, packet: &[u8]) {
        let length = u16::try_from(packet.len()).unwrap().to_le_bytes();
        self.machine.write_all(&[&length, packet].concat()).unwrap();
    }

    /// The next packet, where one comes soon.
    fn glance(&mut self) -> Option<Vec<u8>> {
        if let Some(packet) = self.inbox.next() {
            return Some(packet.to_vec());
        }
        match self.machine.read(self.inbox.room()) {
            Ok(count) => self.inbox.filled(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
            Err(error) => panic!("{error}"),
        }
        self.inbox.next().map(<[u8]>::to_vec)
    }

    /// The next packet.
    #[track_caller]
    pub(super) fn packet(&mut self) -> Vec<u8> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(packet) = self.glance() {
                return packet;
            }
        }
        panic!("no packet comes")
    }

    /// The next thing that is told.
    #[track_caller]
    pub(super) fn told(&self) -> NatNews {
        self.news.recv_timeout(LIMIT).unwrap()
    }

    /// Ends the gateway and returns how many connections it had.
    pub(super) fn end(mut self) -> usize {
        drop(self.parent.take());
        self.gateway.take().unwrap().join().unwrap()
    }
}

fn turn(mut gateway: Gateway, news: &Sender<NatNews>, mut parent: &UnixStream) -> usize {
    loop {
        let is_over = gateway.turn().unwrap() && matches!(parent.read(&mut [0]), Ok(0));
        for told in gateway.take_news() {
            // A test that is over hears nothing.
            let _ = news.send(told);
        }
        if is_over {
            return gateway.open_connections();
        }
    }
}

/// The stack of a machine.
pub(super) struct Machine {
    pub(super) stage: Stage,
    interface: Interface,
    sockets: SocketSet<'static>,
    received: VecDeque<Vec<u8>>,
    start: Instant,
    port: u16,
}

impl Machine {
    pub(super) fn new(stage: Stage) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7;
        let (mut out, mut received) = (Outbox::default(), VecDeque::new());
        let mut wire = Wire { out: &mut out, received: &mut received };
        let mut interface = Interface::new(config, &mut wire, StackInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::from(IpAddr::V4(GUEST_V4)), 0)).unwrap();
        });
        let sockets = SocketSet::new(Vec::new());
        Self { stage, interface, sockets, received, start: Instant::now(), port: 1024 }
    }

    /// Asks for a connection.
    pub(super) fn connect(&mut self, to: SocketAddr) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 << 10]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        self.port += 1;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        // What was taken is acknowledged at once, as the last of it must be before the socket goes.
        socket.set_ack_delay(None);
        socket.connect(self.interface.context(), to, self.port).unwrap();
        handle
    }

    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Lets a connection go that is over.
    pub(super) fn forget(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    /// Takes and sends what there is; waits a little where there is nothing.
    pub(super) fn turn(&mut self) {
        self.received.extend(self.stage.glance());
        let now = StackInstant::from_micros(i64::try_from(self.start.elapsed().as_micros()).unwrap());
        let mut out = Outbox::default();
        let mut wire = Wire { out: &mut out, received: &mut self.received };
        self.interface.poll(now, &mut wire, &mut self.sockets);
        for packet in out.take() {
            self.stage.send(&packet);
        }
    }

    /// Turns until something is so.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, mut is_it: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_it(self) {
            assert!(start.elapsed() < LIMIT, "not {what}");
            self.turn();
        }
    }
}

struct Wire<'a> {
    out: &'a mut Outbox,
    received: &'a mut VecDeque<Vec<u8>>,
}

struct Received(Vec<u8>);

struct Sent<'a>(&'a mut Outbox);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, make: F) -> R {
        self.0.push(length, make)
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Sent<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Received, Sent<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sent(self.out)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Sent<'_>> {
        self.out.has_room().then_some(Sent(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU.into();
        capabilities
    }
}
