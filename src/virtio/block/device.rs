//! The queue of a disk: requests out of it, answers into it.
//!
//! All happens on the one thread that the vhost-user library wakes. A queue that the guest filled with nonsense is left
//! alone: it has then lost its own disk.

use std::io;
use std::sync::{Mutex, PoisonError};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VringMutex, VringState, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{QueueOwnedT, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::config;
use super::request::Target;

/// The guest's memory.
pub(super) type Memory = GuestMemoryAtomic<GuestMemoryMmap<BitmapMmapRegion>>;

pub(super) type Vring = VringMutex<Memory>;
type Queue = VringState<Memory>;

/// As large as QEMU's virtio-mmio lets a guest take one.
const QUEUE_SIZE_MAX: usize = 1024;

/// The device.
#[derive(Debug)]
pub(super) struct Device {
    target: Target,
    memory: Mutex<Option<Memory>>,
}

impl Device {
    pub(super) fn new(target: Target) -> Self {
        Self { target, memory: Mutex::new(None) }
    }

    /// Answers all that is in the queue.
    fn serve(&self, queue: &mut Queue, memory: &Memory) {
        if !queue.get_queue().ready() {
            return;
        }
        loop {
            drop(queue.disable_notification());
            let mut count = 0_usize;
            while let Some(chain) = take(queue, memory) {
                let head = chain.head_index();
                let written = self.target.answer(&memory.memory(), chain);
                count += 1;
                // Fails on a queue that the guest has made unusable meanwhile.
                if queue.add_used(head, written).is_err() {
                    return;
                }
                tell(queue);
            }
            let has_more = queue.enable_notification().unwrap_or(false);
            // A ring whose indices make no sense says that there is more, and gives nothing.
            if count == 0 || !has_more {
                return;
            }
        }
    }
}

fn take(
    queue: &mut Queue,
    memory: &Memory,
) -> Option<virtio_queue::DescriptorChain<vm_memory::GuestMemoryLoadGuard<GuestMemoryMmap<BitmapMmapRegion>>>> {
    queue.get_queue_mut().iter(memory.memory()).ok()?.next()
}

fn tell(queue: &mut Queue) {
    if queue.needs_notification().unwrap_or(true) {
        // A front end that is gone needs no interrupt.
        drop(queue.signal_used_queue());
    }
}

impl VhostUserBackend for Device {
    type Bitmap = BitmapMmapRegion;
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE_MAX
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | config::features(self.target.medium.access())
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::MQ
    }

    fn acked_features(&self, features: u64) {
        if let Some(disk) = self.target.medium.writable() {
            disk.set_flushed_by_driver(features & config::FLUSH != 0);
        }
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The library keeps it in each queue.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let medium = &self.target.medium;
        config::read(medium.length(), medium.access(), offset, size)
    }

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(&self, _event: u16, _set: EventSet, vrings: &[Vring], _thread: usize) -> io::Result<()> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(memory), [vring, ..]) = (memory, vrings) {
            self.serve(&mut vring.get_mut(), &memory);
        }
        Ok(())
    }
}
