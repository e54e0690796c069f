//! A driver for tests of the device: real rings in real memory, no hypervisor, no thread.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use vhost_user_backend::{VhostUserBackendMut, VringMutex, VringT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use super::backend::Backend;
use super::device::HOST_EVENT;
use super::handle::{Shared, VsockHandle};
use super::packet::{HEADER_BYTES, HOST_CID, Header, Op, TYPE_STREAM};

pub(super) const CID: u64 = 3;
pub(super) const SIZE: u16 = 128;
pub(super) const MEMORY_BYTES: usize = 4 << 20;
pub(super) const BUFFER_BYTES: u32 = 4096;
/// What the driver's socket takes, as in Linux.
pub(super) const GUEST_ALLOC: u32 = 256 * 1024;

pub(super) const WRITE: u16 = 2;
pub(super) const NEXT: u16 = 1;

/// One split ring and the buffers that belong to it, a buffer for each descriptor.
pub(super) struct Ring {
    pub(super) base: u64,
    pub(super) free: Vec<u16>,
    pub(super) added: u16,
    pub(super) used: u16,
}

impl Ring {
    pub(super) fn new(base: u64) -> Self {
        Self { base, free: (0..SIZE).rev().collect(), added: 0, used: 0 }
    }

    pub(super) fn avail(&self) -> u64 {
        self.base + 0x1000
    }

    pub(super) fn used_ring(&self) -> u64 {
        self.base + 0x2000
    }

    pub(super) fn buffer(&self, index: u16) -> GuestAddress {
        GuestAddress(self.base + 0x4000 + u64::from(index) * u64::from(BUFFER_BYTES))
    }

    pub(super) fn describe(
        &self,
        memory: &GuestMemoryMmap,
        index: u16,
        (address, len): (u64, u32),
        flags: u16,
        next: u16,
    ) {
        let at = self.base + u64::from(index) * 16;
        memory.write_obj(address, GuestAddress(at)).unwrap();
        memory.write_obj(len, GuestAddress(at + 8)).unwrap();
        memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
        memory.write_obj(next, GuestAddress(at + 14)).unwrap();
    }

    pub(super) fn publish(&mut self, memory: &GuestMemoryMmap, head: u16) {
        let slot = self.avail() + 4 + u64::from(self.added % SIZE) * 2;
        memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.added = self.added.wrapping_add(1);
        memory.write_obj(self.added, GuestAddress(self.avail() + 2)).unwrap();
    }

    pub(super) fn take_used(&mut self, memory: &GuestMemoryMmap) -> Option<(u16, u32)> {
        let index: u16 = memory.read_obj(GuestAddress(self.used_ring() + 2)).unwrap();
        if index == self.used {
            return None;
        }
        let slot = self.used_ring() + 4 + u64::from(self.used % SIZE) * 8;
        self.used = self.used.wrapping_add(1);
        let id: u32 = memory.read_obj(GuestAddress(slot)).unwrap();
        Some((u16::try_from(id).unwrap(), memory.read_obj(GuestAddress(slot + 4)).unwrap()))
    }
}

pub(super) struct Guest {
    pub(super) memory: GuestMemoryMmap,
    pub(super) to_guest: Ring,
    pub(super) from_guest: Ring,
    pub(super) vrings: Vec<VringMutex>,
    pub(super) backend: Backend,
    pub(super) handle: VsockHandle,
}

impl Guest {
    /// A device whose driver has not started.
    pub(super) fn silent() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).unwrap();
        let atomic = GuestMemoryAtomic::new(memory.clone());
        let shared = Arc::new(Shared::new().unwrap());
        let vrings = (0..3).map(|_| VringMutex::new(atomic.clone(), 1024).unwrap()).collect();
        Self {
            memory,
            to_guest: Ring::new(0),
            from_guest: Ring::new(0x10_0000),
            vrings,
            backend: Backend::new(CID, Arc::clone(&shared), Arc::default()).unwrap(),
            handle: VsockHandle::new(shared),
        }
    }

    /// Starts the driver, or starts it anew.
    pub(super) fn start(&mut self) {
        self.to_guest = Ring::new(0);
        self.from_guest = Ring::new(0x10_0000);
        self.backend.acked_features(0);
        let atomic = GuestMemoryAtomic::new(self.memory.clone());
        self.backend.update_memory(atomic).unwrap();
        for (vring, ring) in self.vrings.iter().zip([&self.to_guest, &self.from_guest]) {
            self.memory.write_slice(&[0; 0x3000], GuestAddress(ring.base)).unwrap();
            vring.set_queue_size(SIZE);
            vring.set_queue_info(ring.base, ring.avail(), ring.used_ring()).unwrap();
            vring.set_queue_next_avail(0);
            vring.set_queue_next_used(0);
            vring.set_queue_event_idx(true);
            vring.set_queue_ready(true);
            vring.set_enabled(true);
        }
    }

    pub(super) fn started() -> Self {
        let mut guest = Self::silent();
        guest.start();
        guest.offer_buffers();
        guest
    }

    pub(super) fn kick(&mut self) {
        self.backend.handle_event(0, EventSet::IN, &self.vrings, 0).unwrap();
    }

    pub(super) fn host_event(&mut self) {
        self.backend.handle_event(HOST_EVENT, EventSet::IN, &self.vrings, 0).unwrap();
    }

    pub(super) fn offer_buffers(&mut self) {
        while let Some(index) = self.to_guest.free.pop() {
            let place = (self.to_guest.buffer(index).0, BUFFER_BYTES);
            self.to_guest.describe(&self.memory, index, place, WRITE, 0);
            self.to_guest.publish(&self.memory, index);
        }
    }

    pub(super) fn send(&mut self, header: Header, payload: &[u8]) {
        while let Some((index, _)) = self.from_guest.take_used(&self.memory) {
            self.from_guest.free.push(index);
        }
        let (head, body) = (self.from_guest.free.pop().unwrap(), self.from_guest.free.pop().unwrap());
        let ring = &self.from_guest;
        self.memory.write_slice(&header.to_bytes(), ring.buffer(head)).unwrap();
        self.memory.write_slice(payload, ring.buffer(body)).unwrap();
        let len = u32::try_from(payload.len()).unwrap();
        ring.describe(&self.memory, head, (ring.buffer(head).0, 44), NEXT, body);
        ring.describe(&self.memory, body, (ring.buffer(body).0, len), 0, 0);
        self.from_guest.publish(&self.memory, head);
        // Only the head comes back.
        self.from_guest.free.insert(0, body);
    }

    /// Takes what the device wrote, without giving the buffers back.
    pub(super) fn take(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Some((index, len)) = self.to_guest.take_used(&self.memory) {
            self.to_guest.free.push(index);
            let mut bytes = vec![0; len as usize];
            self.memory.read_slice(&mut bytes, self.to_guest.buffer(index)).unwrap();
            let payload = bytes.split_off(HEADER_BYTES);
            packets.push((Header::from_bytes(bytes.as_slice().try_into().unwrap()), payload));
        }
        packets
    }

    pub(super) fn receive(&mut self) -> Vec<(Header, Vec<u8>)> {
        let packets = self.take();
        self.offer_buffers();
        packets
    }

    pub(super) fn only(&mut self) -> (Header, Vec<u8>) {
        let mut packets = self.receive();
        assert_eq!(packets.len(), 1, "{packets:?}");
        packets.remove(0)
    }

    pub(super) fn open(&mut self, port: u32) -> (UnixStream, u32) {
        let stream = self.handle.dial(port).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.host_event();
        let (request, _) = self.only();
        assert_eq!((request.op, request.dst_port, request.dst_cid), (Op::Request, port, CID));
        self.send(answer(&request, Op::Response), &[]);
        self.kick();
        (stream, request.src_port)
    }
}

pub(super) fn answer(to: &Header, op: Op) -> Header {
    packet(op, to.src_port, to.dst_port)
}

pub(super) fn packet(op: Op, host_port: u32, guest_port: u32) -> Header {
    Header {
        src_cid: CID,
        dst_cid: HOST_CID,
        src_port: guest_port,
        dst_port: host_port,
        len: 0,
        kind: TYPE_STREAM,
        op,
        flags: 0,
        buf_alloc: GUEST_ALLOC,
        fwd_cnt: 0,
    }
}

pub(super) fn data(host_port: u32, guest_port: u32, payload: &[u8]) -> Header {
    Header { len: u32::try_from(payload.len()).unwrap(), ..packet(Op::Data, host_port, guest_port) }
}
