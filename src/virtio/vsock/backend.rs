//! Between the guest's queues, the muxer and the host's ends of the connections.
//!
//! Everything happens on the one worker thread of the vhost-user library: it wakes for a kick of the guest, and for
//! our own epoll descriptor, in which the host's ends and the wish to dial are. No call here blocks. A queue that
//! the guest filled with nonsense is left alone; the guest has then lost its own channel, nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use vhost_user_backend::{VringMutex, VringState, VringT};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};

use super::connection::FROM_HOST_MAX_BYTES;
use super::handle::{Shared, Wanted};
use super::host_end::HostEnd;
use super::muxer::Muxer;
use super::owed::Owed;
use super::packet::{HEADER_BYTES, Header, PAYLOAD_MAX_BYTES};
use crate::sys::left::Left;

type Memory = GuestMemoryLoadGuard<GuestMemoryMmap>;
pub(super) type Vring = VringMutex<GuestMemoryAtomic<GuestMemoryMmap>>;
type Queue = VringState<GuestMemoryAtomic<GuestMemoryMmap>>;

/// Name of the wish to dial among the events of our epoll descriptor; the others are ports, which have 32 bits.
const DIAL_EVENT: u64 = u64::MAX;

/// And that of the timer of what the guest is owed.
const TIMER_EVENT: u64 = u64::MAX - 1;

/// The device.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) guest_cid: u64,
    muxer: Muxer,
    hosts: BTreeMap<u32, HostEnd>,
    epoll: OwnedFd,
    shared: Arc<Shared>,
    /// The event by which its threads are ended.
    pub(super) exit: Arc<Left>,
    pub(super) memory: Option<GuestMemoryAtomic<GuestMemoryMmap>>,
    /// Room for what is read from a host's end.
    scratch: Vec<u8>,
    /// Payload of the packet in hand.
    payload: Vec<u8>,
    owed: Owed,
    /// Whether the guest is to be told that its packets were taken.
    is_due: bool,
}

impl Backend {
    /// The device; `exit` outlives its threads.
    pub(super) fn new(guest_cid: u64, shared: Arc<Shared>, exit: Arc<Left>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let owed = Owed::new()?;
        epoll::add(&epoll, shared.wake(), EventData::new_u64(DIAL_EVENT), EventFlags::IN)?;
        epoll::add(&epoll, owed.timer(), EventData::new_u64(TIMER_EVENT), EventFlags::IN)?;
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
            owed,
            is_due: false,
        })
    }

    /// What the worker must watch as [`super::device::HOST_EVENT`].
    pub(super) fn host_events(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Moves all that can be moved now.
    pub(super) fn pump(&mut self, vrings: &[Vring]) {
        let [to_guest, from_guest, ..] = vrings else { return };
        let Some(memory) = self.memory.as_ref().map(GuestAddressSpace::memory) else {
            return self.drain();
        };
        if !is_running(to_guest) || !is_running(from_guest) {
            // What is dialled waits; what was open belongs to a driver that is gone.
            self.drain();
            return self.drop_connections();
        }
        loop {
            self.take_dials();
            let mut has_moved = self.read_guest(&mut from_guest.get_mut(), &memory);
            // What the guest has let come goes to it at once.
            has_moved |= self.serve_hosts();
            has_moved |= self.feed_guest(&mut to_guest.get_mut(), &memory);
            if std::mem::take(&mut self.is_due) {
                notify(&mut from_guest.get_mut());
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Has no event wake the worker for which there is nothing to be done.
    fn drain(&mut self) {
        self.shared.drain_wake();
        self.owed.on_time();
    }

    pub(super) fn drop_connections(&mut self) {
        while let Some((port, _)) = self.hosts.first_key_value() {
            self.forget(*port);
        }
        self.muxer.clear();
    }

    fn take_dials(&mut self) {
        for Wanted { port, opening, stream, claim } in self.shared.take_dials(self.muxer.may_ask()) {
            let Some(port) = self.muxer.dial(port) else {
                // Dropping the stream tells the caller.
                self.shared.give_back(claim);
                continue;
            };
            if let Some(connection) = self.muxer.connection(port) {
                connection.open_with(&opening);
            }
            self.hosts.insert(port, HostEnd::new(stream, claim));
            self.settle(port);
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
            } else if name == TIMER_EVENT {
                self.is_due |= self.owed.on_time();
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
                Ok(count) => {
                    connection.on_host_bytes(&self.scratch[..count]);
                    add(&self.shared.to_guest, count, host.claim.is_some());
                }
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
                Ok(count) => {
                    connection.on_host_took(count);
                    add(&self.shared.from_guest, count, host.claim.is_some());
                }
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
        if host.watch(&self.epoll, port, wanted).is_err() {
            // Without a watch it would hang for ever.
            return self.forget(port);
        }
        self.muxer.note(port);
    }

    fn forget(&mut self, port: u32) {
        let Some(host) = self.hosts.remove(&port) else { return };
        if self.muxer.connection(port).is_none_or(|connection| !connection.has_said_all()) {
            host.reset_when_closed();
        }
        self.muxer.remove(port);
        self.shared.give_back(host.claim);
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
        self.is_due |= total > 0 && self.owed.add(total);
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

/// Counts bytes of a stream that was joined.
fn add(counter: &AtomicU64, count: usize, is_joined: bool) {
    if is_joined {
        counter.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.drop_connections();
    }
}

/// A descriptor that wakes an epoll.
pub(super) fn new_wake() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}
