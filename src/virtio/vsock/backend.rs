//! Between the guest's queues, the muxer and the host's ends of the connections.
//!
//! Everything happens on the one worker thread of the vhost-user library: it wakes for a kick of the guest, and for
//! our own epoll descriptor, in which the host's ends and the wish to dial are. No call here blocks. A queue that
//! the guest filled with nonsense is left alone; the guest has then lost its own channel, nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VringMutex, VringState, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::connection::FROM_HOST_MAX_BYTES;
use super::handle::{Shared, Wanted};
use super::muxer::Muxer;
use super::packet::{HEADER_BYTES, Header, PAYLOAD_MAX_BYTES};
use crate::sys::left::Left;

type Memory = GuestMemoryLoadGuard<GuestMemoryMmap>;
type Vring = VringMutex<GuestMemoryAtomic<GuestMemoryMmap>>;
type Queue = VringState<GuestMemoryAtomic<GuestMemoryMmap>>;

/// Queues by number: to the guest, from the guest, events (which we never send).
const QUEUES: usize = 3;

/// QEMU's virtio-mmio lets a guest take queues of this size whatever the device would like.
const QUEUE_SIZE_MAX: usize = 1024;

/// Name of our epoll descriptor among the events of the worker; numbers up to `QUEUES` are taken.
pub(super) const HOST_EVENT: u16 = 4;

/// Name of the wish to dial among the events of our epoll descriptor; the others are ports, which have 32 bits.
const DIAL_EVENT: u64 = u64::MAX;

/// The host's end of one connection.
#[derive(Debug)]
struct HostEnd {
    stream: OwnedFd,
    /// What epoll watches, while it watches.
    watched: Option<EventFlags>,
    has_hung_up: bool,
    is_write_shut: bool,
    is_read_shut: bool,
}

/// The device.
#[derive(Debug)]
pub(super) struct Backend {
    guest_cid: u64,
    muxer: Muxer,
    hosts: BTreeMap<u32, HostEnd>,
    epoll: OwnedFd,
    shared: Arc<Shared>,
    /// The event by which its threads are ended.
    exit: Arc<Left>,
    memory: Option<GuestMemoryAtomic<GuestMemoryMmap>>,
    /// Room for what is read from a host's end.
    scratch: Vec<u8>,
    /// Payload of the packet in hand.
    payload: Vec<u8>,
}

impl Backend {
    /// The device; `exit` outlives its threads.
    pub(super) fn new(guest_cid: u64, shared: Arc<Shared>, exit: Arc<Left>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, shared.wake(), EventData::new_u64(DIAL_EVENT), EventFlags::IN)?;
        Ok(Self {
            guest_cid,
            muxer: Muxer::new(guest_cid),
            hosts: BTreeMap::new(),
            epoll,
            shared,
            exit,
            memory: None,
            scratch: vec![0; FROM_HOST_MAX_BYTES],
            payload: Vec::with_capacity(PAYLOAD_MAX_BYTES),
        })
    }

    /// What the worker must watch as [`HOST_EVENT`].
    pub(super) fn host_events(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Moves all that can be moved now.
    fn pump(&mut self, vrings: &[Vring]) {
        let [to_guest, from_guest, ..] = vrings else { return };
        let Some(memory) = self.memory.as_ref().map(GuestAddressSpace::memory) else {
            return self.shared.drain_wake();
        };
        if !is_running(to_guest) || !is_running(from_guest) {
            // What is dialled waits; what was open belongs to a driver that is gone.
            self.shared.drain_wake();
            return self.drop_connections();
        }
        self.take_dials();
        loop {
            let mut has_moved = self.serve_hosts();
            has_moved |= self.read_guest(&mut from_guest.get_mut(), &memory);
            has_moved |= self.feed_guest(&mut to_guest.get_mut(), &memory);
            if !has_moved {
                return;
            }
        }
    }

    fn drop_connections(&mut self) {
        self.muxer.clear();
        self.hosts.clear();
        self.shared.count(0);
    }

    fn take_dials(&mut self) {
        for Wanted { port, opening, stream } in self.shared.take_dials(self.hosts.len()) {
            // Where there are too many, dropping the stream tells the caller.
            if let Some(port) = self.muxer.dial(port) {
                if let Some(connection) = self.muxer.connection(port) {
                    connection.open_with(&opening);
                }
                let host =
                    HostEnd { stream, watched: None, has_hung_up: false, is_write_shut: false, is_read_shut: false };
                self.hosts.insert(port, host);
                self.settle(port);
            }
        }
    }

    /// Reads from and writes to those host's ends that are ready.
    fn serve_hosts(&mut self) -> bool {
        let mut events = Vec::with_capacity(64);
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&no_wait)).is_err() {
            return false;
        }
        for event in &events {
            let name = event.data.u64();
            if name == DIAL_EVENT {
                self.shared.drain_wake();
                self.take_dials();
            } else if let Ok(port) = u32::try_from(name) {
                self.serve_host(port, event.flags);
            }
        }
        !events.is_empty()
    }

    fn serve_host(&mut self, port: u32, flags: EventFlags) {
        let (Some(host), Some(connection)) = (self.hosts.get_mut(&port), self.muxer.connection(port)) else { return };
        let room = connection.room_from_host().min(self.scratch.len());
        if room > 0 && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            match rustix::io::read(&host.stream, &mut self.scratch[..room]) {
                Ok(0) => connection.on_host_done(),
                Ok(count) => connection.on_host_bytes(&self.scratch[..count]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(_) => connection.on_host_done(),
            }
        }
        if flags.contains(EventFlags::HUP) && !host.has_hung_up {
            host.has_hung_up = true;
            connection.on_host_deaf();
        }
        self.settle(port);
    }

    /// Gives the host's end what is there for it, and watches it for what is wanted next.
    fn settle(&mut self, port: u32) {
        let (Some(host), Some(connection)) = (self.hosts.get_mut(&port), self.muxer.connection(port)) else { return };
        while !connection.to_host().0.is_empty() {
            match send(&host.stream, connection.to_host().0, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => connection.on_host_took(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => connection.on_host_deaf(),
            }
        }
        if connection.is_finished() {
            // Dropping the stream also ends the watch, and tells the host's end.
            return self.forget(port);
        }
        if connection.is_to_host_complete() && !host.is_write_shut {
            host.is_write_shut = true;
            // A stream that is gone needs no telling.
            let _ = shutdown(&host.stream, Shutdown::Write);
        }
        if connection.is_from_host_refused() && !host.is_read_shut {
            host.is_read_shut = true;
            // A stream that is gone needs no telling.
            let _ = shutdown(&host.stream, Shutdown::Read);
        }
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, connection.room_from_host() > 0);
        wanted.set(EventFlags::OUT, !connection.to_host().0.is_empty());
        // A hang-up is always reported: an end that has told so is watched only while something is wanted of it.
        let wanted = Some(wanted).filter(|wanted| !wanted.is_empty() || !host.has_hung_up);
        if watch(&self.epoll, port, host, wanted).is_err() {
            // Without a watch it would hang for ever.
            return self.forget(port);
        }
        self.muxer.note(port);
    }

    fn forget(&mut self, port: u32) {
        self.hosts.remove(&port);
        self.muxer.remove(port);
        self.shared.count(self.hosts.len());
    }

    /// Takes the packets of the guest.
    fn read_guest(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut touched = BTreeSet::new();
        let mut total = 0_usize;
        loop {
            let mut count = 0_usize;
            drop(queue.disable_notification());
            while self.muxer.accepts_packet() {
                let Some(chain) = queue.get_queue_mut().pop_descriptor_chain(memory.clone()) else { break };
                let head = chain.head_index();
                touched.extend(self.on_chain(chain, memory));
                count += 1;
                if queue.add_used(head, 0).is_err() {
                    break;
                }
            }
            total += count;
            let has_more = queue.enable_notification().unwrap_or(false);
            // A ring whose indices make no sense says that there is more, and gives nothing.
            if count == 0 || !has_more {
                break;
            }
        }
        if total > 0 {
            notify(queue);
        }
        for port in touched {
            self.settle(port);
        }
        total > 0
    }

    fn on_chain(&mut self, chain: DescriptorChain<Memory>, memory: &Memory) -> Option<u32> {
        let mut reader = chain.reader(memory).ok()?;
        let mut bytes = [0; HEADER_BYTES];
        reader.read_exact(&mut bytes).ok()?;
        let header = Header::from_bytes(&bytes);
        let len = usize::try_from(header.len).ok().filter(|len| *len <= PAYLOAD_MAX_BYTES)?;
        self.payload.resize(len, 0);
        reader.read_exact(&mut self.payload).ok()?;
        self.muxer.on_packet(&header, &self.payload)
    }

    /// Gives the guest the packets that wait, as far as it has room.
    fn feed_guest(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut touched = BTreeSet::new();
        let mut count = 0_usize;
        let mut is_starved = false;
        drop(queue.disable_notification());
        while self.muxer.has_packet() {
            let Some(chain) = queue.get_queue_mut().pop_descriptor_chain(memory.clone()) else {
                // Ask for a kick once there is room; what arrived just before is taken now.
                if !is_starved && queue.enable_notification().unwrap_or(false) {
                    is_starved = true;
                    continue;
                }
                break;
            };
            is_starved = false;
            let head = chain.head_index();
            let (written, port) = self.fill_chain(chain, memory);
            touched.extend(port);
            count += 1;
            if queue.add_used(head, written).is_err() {
                break;
            }
        }
        if count > 0 {
            notify(queue);
        }
        for port in touched {
            self.settle(port);
        }
        count > 0
    }

    /// Puts one packet in a buffer of the guest; a buffer that is too small goes back empty.
    fn fill_chain(&mut self, chain: DescriptorChain<Memory>, memory: &Memory) -> (u32, Option<u32>) {
        let Ok(mut writer) = chain.writer(memory) else { return (0, None) };
        let room = writer.available_bytes().saturating_sub(HEADER_BYTES);
        if room == 0 {
            return (0, None);
        }
        let Some((header, port)) = self.muxer.next_packet(room, &mut self.payload) else { return (0, None) };
        // Both fit: `room` is what the buffer has.
        drop(writer.write_all(&header.to_bytes()));
        drop(writer.write_all(&self.payload));
        (u32::try_from(writer.bytes_written()).unwrap_or(0), port)
    }
}

fn is_running(vring: &Vring) -> bool {
    let state = vring.get_ref();
    state.is_enabled() && state.get_queue().ready()
}

fn notify(queue: &mut Queue) {
    if queue.needs_notification().unwrap_or(true) {
        // Fails only for a descriptor that the engine broke itself.
        drop(queue.signal_used_queue());
    }
}

fn watch(epoll: &OwnedFd, port: u32, host: &mut HostEnd, wanted: Option<EventFlags>) -> io::Result<()> {
    if host.watched == wanted {
        return Ok(());
    }
    let name = EventData::new_u64(u64::from(port));
    match (host.watched, wanted) {
        (None, Some(flags)) => epoll::add(epoll, &host.stream, name, flags)?,
        (Some(_), Some(flags)) => epoll::modify(epoll, &host.stream, name, flags)?,
        (_, None) => epoll::delete(epoll, &host.stream)?,
    }
    host.watched = wanted;
    Ok(())
}

/// A descriptor that wakes an epoll.
pub(super) fn new_wake() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

impl VhostUserBackendMut for Backend {
    type Bitmap = ();
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE_MAX
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::MQ
    }

    fn acked_features(&mut self, _features: u64) {
        // A driver negotiates when it starts, and a driver that starts knows no connection.
        self.drop_connections();
    }

    fn set_event_idx(&mut self, _enabled: bool) {
        // The library keeps it in each queue.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = self.guest_cid.to_le_bytes();
        let (Ok(offset), Ok(size)) = (usize::try_from(offset), usize::try_from(size)) else { return Vec::new() };
        config.iter().copied().skip(offset).chain(std::iter::repeat(0)).take(size.min(256)).collect()
    }

    fn update_memory(&mut self, memory: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<()> {
        self.memory = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        let event = new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()?;
        // `vhost-user-backend` takes the number of this end, and never closes it.
        self.exit.note(&event.0);
        Some(event)
    }

    fn handle_event(&mut self, _event: u16, _set: EventSet, vrings: &[Vring], _thread: usize) -> io::Result<()> {
        self.pump(vrings);
        Ok(())
    }
}
