//! The virtio-fs device of a share: requests from the guest's queues to the file system, and replies back.
//!
//! ```text
//! kick ─► take each request ─► quick? answer here ─► used ring ─► interrupt, where somebody waits for the reply
//!            ▲                   │ may wait for a disk: a worker answers
//!            └── wait a little for the next one, before the guest must kick again (Patience)
//! ```
//!
//! Under emulation a kick, a thread that has to be woken and an interrupt cost more than most requests. So the thread
//! that has the queue answers by itself, looks for the next request for as long as the last ones came soon, and does
//! not interrupt for what nobody waits for before it goes to sleep. Not here: what a request means
//! ([`super::filesystem`]).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use vhost::vhost_user::Backend;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VringMutex, VringState, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{DescriptorChain, QueueOwnedT, QueueT};
use virtiofsd::descriptor_utils::{Reader, Writer};
use virtiofsd::filesystem::FileSystem;
use virtiofsd::fuse::{InHeader, Opcode};
use virtiofsd::server::Server;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryLoadGuard, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use crate::sys::exit::exit_now;

use super::filesystem::ShareFs;
use super::image::ImageFs;
use super::patience::Patience;
use super::reads::{ReadFile, answer_read};
use super::settings::Pace;
use super::single::SingleFs;
use super::words::say;

type Mapped = GuestMemoryMmap<BitmapMmapRegion>;
pub(super) type Memory = GuestMemoryAtomic<Mapped>;
type Vring = VringMutex<Memory>;
type Chain = DescriptorChain<GuestMemoryLoadGuard<Mapped>>;

/// A queue for what must not wait behind requests (`FORGET`), and one for requests.
const QUEUES: usize = 2;

/// As large as the engine likes.
const QUEUE_SIZE_MAX: usize = 32_768;

/// More buffers than this the guest is not left waiting for, so that a busy one never runs out of them.
const OWED_MAX: usize = 32;

/// The server's exit code when a guest sends what is not a request.
const NONSENSE_CODE: i32 = 1;

/// A file system that a device can serve.
pub(super) trait Served: FileSystem + Send + Sync + 'static {
    /// Who answers reads in its place.
    fn reads(&self) -> Option<Arc<dyn ReadFile>> {
        None
    }
}

impl Served for ShareFs {}
impl Served for SingleFs {}
impl Served for ImageFs {
    fn reads(&self) -> Option<Arc<dyn ReadFile>> {
        Some(self.content())
    }
}

/// Who answers requests.
struct Answerer<F: Served> {
    server: Server<F>,
    reads: Option<Arc<dyn ReadFile>>,
}

/// The device.
pub(super) struct Device<F: Served> {
    answerer: Arc<Answerer<F>>,
    memory: RwLock<Option<Memory>>,
    has_event_idx: Arc<AtomicBool>,
    patience: Mutex<Patience>,
    workers: Option<Sender<Job>>,
}

/// A request that a worker answers.
struct Job {
    chain: Chain,
    vring: Vring,
}

/// Who waits for a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// A process of the guest.
    Awaited,
    /// Nobody: there is no reply, only a buffer to give back.
    Nobody,
    /// A process, and the answer may take as long as a disk does.
    Slow,
}

impl<F: Served> Device<F> {
    /// A device for this file system, with this many threads for what may wait for a disk.
    pub(super) fn new(share: F, pace: Pace) -> io::Result<Self> {
        let reads = share.reads();
        let answerer = Arc::new(Answerer { server: Server::new(share), reads });
        let has_event_idx = Arc::new(AtomicBool::new(false));
        let workers = (pace.threads > 0).then(|| start_workers(&answerer, &has_event_idx, pace.threads)).transpose()?;
        Ok(Self {
            answerer,
            memory: RwLock::new(None),
            has_event_idx,
            patience: Mutex::new(Patience::new(pace.patience)),
            workers,
        })
    }

    /// Answers what is in all queues, and looks for more for a while.
    fn serve(&self, memory: &Memory, vrings: &[Vring]) {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        patience.wake(Instant::now());
        // The memory of a queue that the driver has not set up is anything.
        let vrings: Vec<&Vring> = vrings.iter().filter(|vring| vring.get_ref().get_queue().ready()).collect();
        let mut has_promised = false;
        loop {
            vrings.iter().for_each(|vring| drop(vring.disable_notification()));
            let mut answered = 0;
            let mut owed = 0;
            loop {
                let drained = vrings.iter().map(|vring| self.drain(memory, vring));
                let (taken, silent) = drained.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
                answered += taken;
                owed += silent;
                if owed >= OWED_MAX {
                    owed = 0;
                    vrings.iter().for_each(|vring| self.tell(&mut vring.get_mut()));
                }
                if taken == 0 || !patience.wait(|| vrings.iter().any(|vring| has_more(memory, vring))) {
                    break;
                }
            }
            if owed > 0 {
                vrings.iter().for_each(|vring| self.tell(&mut vring.get_mut()));
            }
            // Each is asked: to stop at the first would leave the others silent.
            let refilled = vrings.iter().filter(|vring| vring.enable_notification().unwrap_or(false)).count();
            // A queue that said it had more and yields nothing is nonsense: left alone, it is its guest's own loss.
            if refilled == 0 || (has_promised && answered == 0) {
                return patience.sleep(Instant::now());
            }
            has_promised = true;
        }
    }

    /// Answers all that is in the queue: how many requests, and how many of them without a word to the guest.
    fn drain(&self, memory: &Memory, vring: &Vring) -> (usize, usize) {
        let (mut taken, mut silent) = (0, 0);
        while let Some(chain) = take(memory, vring) {
            taken += 1;
            match (urgency(&memory.memory(), &chain), &self.workers) {
                (Urgency::Slow, Some(workers)) => {
                    // Workers end with this process only.
                    let _ = workers.send(Job { chain, vring: vring.clone() });
                }
                (urgency, _) => {
                    let (head, length) = self.answerer.answer(&memory.memory(), chain);
                    let mut state = vring.get_mut();
                    give_back(&mut state, head, length);
                    match urgency {
                        Urgency::Nobody => silent += 1,
                        _ => self.tell(&mut state),
                    }
                }
            }
        }
        (taken, silent)
    }

    fn tell(&self, vring: &mut VringState<Memory>) {
        tell(vring, self.has_event_idx.load(Ordering::Relaxed));
    }
}

impl<F: Served> VhostUserBackend for Device<F> {
    type Bitmap = BitmapMmapRegion;
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE_MAX
    }

    fn features(&self) -> u64 {
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    // No configuration space: the engine answers for it.
    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::BACKEND_REQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE
    }

    fn reset_device(&self) {
        self.answerer.server.destroy();
    }

    fn set_event_idx(&self, enabled: bool) {
        self.has_event_idx.store(enabled, Ordering::Relaxed);
    }

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        Ok(())
    }

    fn set_backend_req_fd(&self, _: Backend) {}

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK).ok()
    }

    fn handle_event(&self, _: u16, events: EventSet, vrings: &[Vring], _: usize) -> io::Result<()> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let (EventSet::IN, Some(memory)) = (events, memory) {
            self.serve(&memory, vrings);
        }
        Ok(())
    }
}

fn start_workers<F: Served>(
    answerer: &Arc<Answerer<F>>,
    has_event_idx: &Arc<AtomicBool>,
    count: usize,
) -> io::Result<Sender<Job>> {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let (answerer, receiver) = (Arc::clone(answerer), Arc::clone(&receiver));
        let has_event_idx = Arc::clone(has_event_idx);
        thread::Builder::new().name("worker".into()).spawn(move || {
            while let Some(Job { chain, vring }) = next_job(&receiver) {
                let memory = chain.memory().clone();
                let (head, length) = answerer.answer(&memory, chain);
                let mut state = vring.get_mut();
                give_back(&mut state, head, length);
                tell(&mut state, has_event_idx.load(Ordering::Relaxed));
            }
        })?;
    }
    Ok(sender)
}

fn next_job(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn take(memory: &Memory, vring: &Vring) -> Option<Chain> {
    vring.get_mut().get_queue_mut().iter(memory.memory()).ok()?.next()
}

fn has_more(memory: &Memory, vring: &Vring) -> bool {
    let state = vring.get_ref();
    let queue = state.get_queue();
    queue.avail_idx(&*memory.memory(), Ordering::Acquire).is_ok_and(|index| index.0 != queue.next_avail())
}

impl<F: Served> Answerer<F> {
    /// Answers one request; the first descriptor of its chain and how much was written to it.
    fn answer(&self, memory: &Mapped, chain: Chain) -> (u16, u32) {
        let head = chain.head_index();
        let nonsense = |error: String| -> ! {
            say(&format!("the guest sent what is not a request: {error}"));
            exit_now(NONSENSE_CODE)
        };
        let reads = self.reads.as_ref().filter(|_| matches!(opcode(memory, &chain), Some(Opcode::Read)));
        let reader = Reader::new(memory, chain.clone()).unwrap_or_else(|error| nonsense(error.to_string()));
        let writer = Writer::new(memory, chain).unwrap_or_else(|error| nonsense(error.to_string()));
        let written = match reads {
            Some(reads) => answer_read(&**reads, reader, writer).unwrap_or_else(|error| nonsense(error.to_string())),
            None => {
                let written = self.server.handle_message(reader, writer, None::<&mut Backend>);
                written.unwrap_or_else(|error| nonsense(error.to_string()))
            }
        };
        (head, u32::try_from(written).unwrap_or(u32::MAX))
    }
}

fn give_back(vring: &mut VringState<Memory>, head: u16, length: u32) {
    // It fails on a queue that the guest has made unusable meanwhile.
    let _ = vring.add_used(head, length);
}

fn tell(vring: &mut VringState<Memory>, has_event_idx: bool) {
    if !has_event_idx || vring.needs_notification().unwrap_or(true) {
        // A front end that is gone needs no interrupt.
        let _ = vring.signal_used_queue();
    }
}

fn opcode(memory: &Mapped, chain: &Chain) -> Option<Opcode> {
    let mut reader = Reader::new(memory, chain.clone()).ok()?;
    Opcode::try_from(reader.read_obj::<InHeader>().ok()?.opcode).ok()
}

fn urgency(memory: &Mapped, chain: &Chain) -> Urgency {
    match opcode(memory, chain) {
        Some(Opcode::Fsync | Opcode::Fsyncdir | Opcode::Syncfs | Opcode::Fallocate | Opcode::CopyFileRange) => {
            Urgency::Slow
        }
        Some(Opcode::Forget | Opcode::BatchForget) => Urgency::Nobody,
        _ => Urgency::Awaited,
    }
}
