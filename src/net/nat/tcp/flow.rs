//! The machine's end of one connection: packets in and out, bytes out and in. Pure; time is given.
//!
//! Each connection has a stack of its own, whose only address is the one that the machine connects to: a packet finds its
//! connection by a table of ours, not by asking each socket, and a connection cannot reach into another's.

use std::net::SocketAddr;
use std::time::Instant;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as StackDuration, Instant as StackInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::super::frame::{MTU, Outbox};

/// How often a machine that says nothing is asked whether it still knows of a connection: one that does not breaks it. One that
/// does not answer, as while all of this computer stands still, loses nothing.
const ASKED_EVERY: StackDuration = StackDuration::from_secs(300);

/// The stack counts from here.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Clock(Instant);

impl Clock {
    pub(in super::super) fn new(start: Instant) -> Self {
        Self(start)
    }

    fn to_stack(self, now: Instant) -> StackInstant {
        let passed = now.saturating_duration_since(self.0).as_micros();
        StackInstant::from_micros(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    fn of_stack(self, at: StackInstant) -> Instant {
        self.0 + std::time::Duration::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
    }
}

/// One connection.
pub(super) struct Flow {
    clock: Clock,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Flow").finish_non_exhaustive()
    }
}

impl Flow {
    /// An end at the address that the machine connects to, which waits for the packet that opens the connection.
    /// `None` for an address of many.
    pub(super) fn listen(world: SocketAddr, buffer: usize, clock: Clock, now: Instant, seed: u64) -> Option<Self> {
        let address = IpAddress::from(world.ip());
        let mut socket =
            tcp::Socket::new(tcp::SocketBuffer::new(vec![0; buffer]), tcp::SocketBuffer::new(vec![0; buffer]));
        // Bytes of the world are passed on as they come.
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(ASKED_EVERY));
        if !address.is_unicast() || socket.listen((address, world.port())).is_err() {
            return None;
        }
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut out = Outbox::default();
        let mut link = Link { packet: None, out: &mut out };
        let mut interface = Interface::new(config, &mut link, clock.to_stack(now));
        interface.update_ip_addrs(|addresses| {
            // All of the world is on this wire. There is room for one.
            let _ = addresses.push(IpCidr::new(address, 0));
        });
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Some(Self { clock, interface, sockets, handle })
    }

    /// Takes a packet of the connection, and answers it.
    pub(super) fn take(&mut self, packet: &[u8], now: Instant, out: &mut Outbox) {
        let mut link = Link { packet: Some(packet), out };
        self.interface.poll_ingress_single(self.clock.to_stack(now), &mut link, &mut self.sockets);
    }

    /// Makes the packets that are due, as long as there is room.
    pub(super) fn emit(&mut self, now: Instant, out: &mut Outbox) {
        let mut link = Link { packet: None, out };
        let now = self.clock.to_stack(now);
        while self.interface.poll_egress(now, &mut link, &mut self.sockets) != smoltcp::iface::PollResult::None {}
    }

    /// When packets are due next.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(self.clock.to_stack(now), &self.sockets)?;
        Some(self.clock.of_stack(at))
    }

    pub(super) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

/// The wire, at one moment: a packet that comes, if any, and where packets go.
struct Link<'a> {
    packet: Option<&'a [u8]>,
    out: &'a mut Outbox,
}

struct Received<'a>(&'a [u8]);

struct Sent<'a>(&'a mut Outbox);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, make: F) -> R {
        self.0.push(length, make)
    }
}

impl Device for Link<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sent<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: StackInstant) -> Option<(Received<'_>, Sent<'_>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), Sent(self.out)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Sent<'_>> {
        self.out.has_room().then_some(Sent(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU.into();
        // What came over a stream has not changed on its way.
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities
    }
}
