//! The ends that the rest of the program holds: the handle that dials, and the start of a backend's threads.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use super::backend::{Backend, new_wake};
use super::claims::{Claim, Claims};
use super::confine::confine_thread;
use super::device::HOST_EVENT;
use crate::sys::left::Left;
use crate::sys::socket::connected_listener;

/// Dials that the worker has not taken yet, and the descriptor that wakes it.
#[derive(Debug)]
pub(super) struct Shared {
    dials: Mutex<Dials>,
    wake: OwnedFd,
    /// Bytes of streams that were joined, to the guest and from it.
    pub(super) to_guest: AtomicU64,
    pub(super) from_guest: AtomicU64,
}

/// A connection that is to be made.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Of the guest.
    pub(super) port: u32,
    /// What the guest hears first.
    pub(super) opening: Vec<u8>,
    /// The host's end; does not block.
    pub(super) stream: OwnedFd,
    /// For whom; none for what must not wait.
    pub(super) claim: Option<Claim>,
}

/// Longest opening of a connection, in bytes.
const OPENING_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Dials {
    /// Those that must not wait.
    urgent: VecDeque<Wanted>,
    /// The others.
    waiting: VecDeque<Wanted>,
    /// Of what waits, and of what the worker has.
    claims: Claims,
    is_closed: bool,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            dials: Mutex::default(),
            wake: new_wake()?,
            to_guest: AtomicU64::new(0),
            from_guest: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Dials> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes what waits: all that must not, and up to `most` of the others.
    pub(super) fn take_dials(&self, most: usize) -> Vec<Wanted> {
        let mut dials = self.lock();
        let mut taken: Vec<Wanted> = dials.urgent.drain(..).collect();
        let count = dials.waiting.len().min(most);
        taken.extend(dials.waiting.drain(..count));
        taken
    }

    /// Notes that a connection is no more.
    pub(super) fn give_back(&self, claim: Option<Claim>) {
        self.lock().claims.give_back(claim);
    }

    pub(super) fn drain_wake(&self) {
        // Fails where nothing is to be drained.
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }

    fn close(&self) {
        let mut dials = self.lock();
        dials.is_closed = true;
        dials.urgent.clear();
        dials.waiting.clear();
    }
}

/// Dials into one guest. Clones are the same.
#[derive(Debug, Clone)]
pub struct VsockHandle {
    shared: Arc<Shared>,
}

impl VsockHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Connects to a port on which the guest listens, without waiting: the returned stream may be written to at once.
    /// It ends without a byte when the guest refuses, and when the machine is gone. Before the guest's driver has
    /// started the dial waits for it.
    pub fn dial(&self, port: u32) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.want(Wanted { port, opening: Vec::new(), stream: theirs.into(), claim: None })?;
        Ok(ours)
    }

    /// Makes a stream of the host (of any family) the host's end of a connection to a port on which the guest listens:
    /// the bytes go between the two, and so do the ends of either direction. `opening`, 4096 bytes at most, goes before
    /// them. Where the guest refuses, the stream is closed; where the guest breaks off, it is reset.
    ///
    /// # Errors
    /// `QuotaExceeded` where there are too many connections, in all or for who claims it, which will pass.
    pub fn join(&self, port: u32, opening: Vec<u8>, stream: OwnedFd, claim: Claim) -> io::Result<()> {
        if opening.len() > OPENING_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.want(Wanted { port, opening, stream, claim: Some(claim) })
    }

    /// Bytes that went to the guest and came from it through streams that were joined.
    pub fn joined_bytes(&self) -> (u64, u64) {
        let Shared { to_guest, from_guest, .. } = &*self.shared;
        (to_guest.load(Ordering::Relaxed), from_guest.load(Ordering::Relaxed))
    }

    fn want(&self, wanted: Wanted) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&wanted.stream, true)?;
        {
            let mut dials = self.shared.lock();
            if dials.is_closed {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the machine is gone"));
            }
            if !dials.claims.take(wanted.claim) {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the machine has too many connections"));
            }
            if wanted.claim.is_none() {
                dials.urgent.push_back(wanted);
            } else {
                dials.waiting.push_back(wanted);
            }
        }
        rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

/// The vsock device of one machine.
#[derive(Debug)]
pub struct VsockBackend;

impl VsockBackend {
    /// Starts the device for a guest with this address. The returned descriptor is the front end's connected
    /// vhost-user socket; once its last copy is closed the device's threads end, and with them every connection.
    pub fn spawn(guest_cid: u64) -> io::Result<(VsockHandle, OwnedFd)> {
        let (listener, front_end) = connected_listener()?;
        let shared = Arc::new(Shared::new()?);
        let ours = Arc::clone(&shared);
        let (tell, told) = mpsc::sync_channel(1);
        thread::Builder::new().name("vsock".into()).spawn(move || {
            // Every thread of the device is started by this one.
            let exit = Arc::new(Left::default());
            let started = confine_thread().and_then(|()| start(guest_cid, &ours, &exit, listener));
            let (daemon, news) = match started {
                Ok(daemon) => (Some(daemon), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever waits is there until it is told.
            let _ = tell.send(news);
            if let Some(mut daemon) = daemon {
                // However the engine's end ended, nothing more comes from it.
                drop(daemon.wait());
            }
            // The last of it: the device's threads have ended.
            drop(exit);
            ours.close();
        })?;
        told.recv().map_err(io::Error::other)??;
        Ok((VsockHandle::new(shared), front_end.into()))
    }
}

type Daemon = VhostUserDaemon<Arc<Mutex<Backend>>>;

fn start(guest_cid: u64, shared: &Arc<Shared>, exit: &Arc<Left>, listener: UnixListener) -> io::Result<Daemon> {
    let backend = Backend::new(guest_cid, Arc::clone(shared), Arc::clone(exit))?;
    let host_events = backend.host_events();
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("vsock".to_owned(), Arc::new(Mutex::new(backend)), memory).map_err(other)?;
    for worker in daemon.get_epoll_handlers() {
        worker.register_listener(host_events, EventSet::IN, u64::from(HOST_EVENT))?;
    }
    // The connection is already there to be accepted.
    daemon.start(&mut Listener::from(listener)).map_err(other)?;
    Ok(daemon)
}

fn other(error: vhost_user_backend::Error) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seccomp mode of each thread of this process with this name.
    fn modes(name: &str) -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let status = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
        let is_it = |status: &String| status.lines().next() == Some(&format!("Name:\t{name}"));
        let mode = |status: String| status.lines().find_map(|line| line.strip_prefix("Seccomp:\t").map(str::to_owned));
        status.filter(is_it).filter_map(mode).collect()
    }

    #[test]
    fn every_thread_of_the_device_is_confined() {
        let (_handle, _front_end) = VsockBackend::spawn(3).unwrap();
        let modes: Vec<String> = ["vsock", "vring_worker"].into_iter().flat_map(modes).collect();
        assert!(modes.len() >= 3 && modes.iter().all(|mode| mode == "2"), "{modes:?}");
    }
}
