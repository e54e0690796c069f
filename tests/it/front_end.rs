//! A vhost-user front end without a hypervisor: the memory and the queues of a guest that speaks to a file server as it
//! likes. What it says is up to the tests.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost::VhostBackend;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemory, GuestMemoryMmap, GuestMemoryRegion};
use vmm_sys_util::eventfd::EventFd;

/// Memory of the guest.
pub(crate) const MEMORY_BYTES: u64 = 8 << 20;

/// Entries of a queue.
const SIZE: u16 = 64;

/// Where the rings of queue `index` are.
fn rings(index: u64) -> u64 {
    index * 0x4000
}

/// Where buffers begin.
pub(crate) const BUFFERS: u64 = 0x10_0000;

/// How long a server may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// `VIRTIO_F_VERSION_1` and `VHOST_USER_F_PROTOCOL_FEATURES`.
const FEATURES: u64 = 1 << 32 | 1 << 30;

pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;

/// One descriptor of a chain: address, length, flags, next.
pub(crate) type Descriptor = (u64, u32, u16, u16);

/// What became of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It came back, with so many bytes written.
    Used(u32),
    /// The server ended.
    Ended,
}

/// A guest that speaks for itself.
pub(crate) struct FrontEnd {
    frontend: Frontend,
    /// The same socket, to see its end.
    socket: OwnedFd,
    pub(crate) memory: GuestMemoryMmap,
    kicks: Vec<EventFd>,
    calls: Vec<EventFd>,
    added: u16,
    used: u16,
}

impl FrontEnd {
    /// Sets a device up with two queues, as a hypervisor would.
    pub(crate) fn connect(socket: OwnedFd) -> io::Result<Self> {
        let file = File::from(memfd_create("guest", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, MEMORY_BYTES)?;
        let size = usize::try_from(MEMORY_BYTES).unwrap();
        let range = (GuestAddress(0), size, Some(FileOffset::new(file, 0)));
        let memory = GuestMemoryMmap::from_ranges_with_files([range]).unwrap();
        let new_event = || EventFd::new(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
        let mut guest = Self {
            socket: socket.try_clone()?,
            frontend: Frontend::from_stream(UnixStream::from(socket), 2),
            memory,
            kicks: vec![new_event()?, new_event()?],
            calls: vec![new_event()?, new_event()?],
            added: 0,
            used: 0,
        };
        guest.negotiate().map_err(io::Error::other)?;
        Ok(guest)
    }

    fn negotiate(&mut self) -> Result<(), vhost::Error> {
        let frontend = &mut self.frontend;
        frontend.set_owner()?;
        let offered = frontend.get_features()?;
        frontend.set_features(offered & FEATURES)?;
        let protocol = frontend.get_protocol_features()?;
        frontend.set_protocol_features(protocol & VhostUserProtocolFeatures::MQ)?;
        let region = self.memory.iter().next().unwrap();
        let host = region.get_host_address(vm_memory::MemoryRegionAddress(0)).unwrap() as u64;
        frontend.set_mem_table(&[VhostUserMemoryRegionInfo {
            guest_phys_addr: 0,
            memory_size: MEMORY_BYTES,
            userspace_addr: host,
            mmap_offset: 0,
            mmap_handle: region.file_offset().unwrap().file().as_raw_fd(),
        }])?;
        for queue in 0..2_usize {
            let base = host + rings(queue as u64);
            frontend.set_vring_num(queue, SIZE)?;
            let data = VringConfigData {
                queue_max_size: SIZE,
                queue_size: SIZE,
                flags: 0,
                desc_table_addr: base,
                avail_ring_addr: base + 0x1000,
                used_ring_addr: base + 0x2000,
                log_addr: None,
            };
            frontend.set_vring_addr(queue, &data)?;
            frontend.set_vring_base(queue, 0)?;
            frontend.set_vring_call(queue, &self.calls[queue])?;
            frontend.set_vring_kick(queue, &self.kicks[queue])?;
            frontend.set_vring_enable(queue, true)?;
        }
        Ok(())
    }

    /// Puts descriptors in the table of the request queue, from the first on.
    pub(crate) fn describe(&self, chain: &[Descriptor]) {
        for (index, (address, length, flags, next)) in chain.iter().enumerate() {
            let at = rings(1) + index as u64 * 16;
            self.memory.write_obj(*address, GuestAddress(at)).unwrap();
            self.memory.write_obj(*length, GuestAddress(at + 8)).unwrap();
            self.memory.write_obj(*flags, GuestAddress(at + 12)).unwrap();
            self.memory.write_obj(*next, GuestAddress(at + 14)).unwrap();
        }
    }

    /// Offers the chain that begins with this descriptor, and waits until it comes back.
    pub(crate) fn offer(&mut self, head: u16) -> Reply {
        let avail = rings(1) + 0x1000;
        self.memory.write_obj(head, GuestAddress(avail + 4 + u64::from(self.added % SIZE) * 2)).unwrap();
        fence(Ordering::SeqCst);
        self.added = self.added.wrapping_add(1);
        self.set_avail_index(self.added);
        self.kick();
        self.wait()
    }

    /// Tells that the guest has offered so many chains.
    pub(crate) fn set_avail_index(&self, index: u16) {
        self.memory.write_obj(index, GuestAddress(rings(1) + 0x1002)).unwrap();
    }

    pub(crate) fn kick(&self) {
        self.kicks[1].write(1).unwrap();
    }

    /// Waits for the next chain that comes back, or for the server's end.
    pub(crate) fn wait(&mut self) -> Reply {
        let deadline = Instant::now() + LIMIT;
        loop {
            let index: u16 = self.memory.read_obj(GuestAddress(rings(1) + 0x2002)).unwrap();
            if index != self.used {
                let slot = rings(1) + 0x2004 + u64::from(self.used % SIZE) * 8;
                self.used = self.used.wrapping_add(1);
                return Reply::Used(self.memory.read_obj(GuestAddress(slot + 4)).unwrap());
            }
            assert!(Instant::now() < deadline, "the server does not answer");
            // The ring is looked at again and again, as a driver that polls does; what is waited for is the server's end.
            let mut watched = [PollFd::new(&self.socket, PollFlags::RDHUP)];
            poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 100_000 })).unwrap();
            if watched[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
                return Reply::Ended;
            }
        }
    }

    /// Bytes of the guest.
    pub(crate) fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }
}
