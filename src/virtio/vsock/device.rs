//! What the vhost-user library asks of the device, and tells it. Not here: what moves between queues and connections
//! ([`super::backend`]).

use std::io;

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::VhostUserBackendMut;
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::backend::{Backend, Vring};

/// Queues by number: to the guest, from the guest, events (which we never send).
const QUEUES: usize = 3;

/// QEMU's virtio-mmio lets a guest take queues of this size whatever the device would like.
const QUEUE_SIZE_MAX: usize = 1024;

/// Name of the backend's epoll descriptor among the events of the worker; numbers up to `QUEUES` are taken.
pub(super) const HOST_EVENT: u16 = 4;

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
