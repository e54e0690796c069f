//! The ends that the rest of the program holds: the handle that dials, and the start of a backend's threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use vhost::vhost_user::Listener;
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;

use super::backend::{Backend, HOST_EVENT, new_wake};
use super::confine::confine_thread;
use super::muxer::CONNECTIONS_MAX;
use crate::sys::left::Left;
use crate::sys::socket::connected_listener;

/// Dials that the worker has not taken yet, and the descriptor that wakes it.
#[derive(Debug)]
pub(super) struct Shared {
    dials: Mutex<Dials>,
    wake: OwnedFd,
    /// Connections that the worker has.
    open: AtomicUsize,
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
}

/// Longest opening of a connection, in bytes.
const OPENING_MAX: usize = 4096;

/// Connections that are kept free for what must not wait: control, output, commands.
const RESERVED: usize = 96;

#[derive(Debug, Default)]
struct Dials {
    waiting: Vec<Wanted>,
    is_closed: bool,
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { dials: Mutex::default(), wake: new_wake()?, open: AtomicUsize::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, Dials> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes what waits, beside the connections that are `open`.
    pub(super) fn take_dials(&self, open: usize) -> Vec<Wanted> {
        let mut dials = self.lock();
        self.count(open + dials.waiting.len());
        std::mem::take(&mut dials.waiting)
    }

    /// Notes how many connections there are.
    pub(super) fn count(&self, open: usize) {
        self.open.store(open, Ordering::Relaxed);
    }

    pub(super) fn drain_wake(&self) {
        // Fails where nothing is to be drained.
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }

    fn close(&self) {
        let mut dials = self.lock();
        dials.is_closed = true;
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
        self.want(port, Vec::new(), theirs.into(), CONNECTIONS_MAX)?;
        Ok(ours)
    }

    /// Makes a stream of the host (of any family) the host's end of a connection to a port on which the guest listens:
    /// the bytes go between the two, and so do the ends of either direction. `opening`, 4096 bytes at most, goes before
    /// them. Where the guest refuses, the stream is closed.
    ///
    /// # Errors
    /// `QuotaExceeded` where there are too many connections, which will pass.
    pub fn join(&self, port: u32, opening: Vec<u8>, stream: OwnedFd) -> io::Result<()> {
        if opening.len() > OPENING_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.want(port, opening, stream, CONNECTIONS_MAX - RESERVED)
    }

    fn want(&self, port: u32, opening: Vec<u8>, stream: OwnedFd, limit: usize) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&stream, true)?;
        {
            let mut dials = self.shared.lock();
            if dials.is_closed {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the machine is gone"));
            }
            if dials.waiting.len() + self.shared.open.load(Ordering::Relaxed) >= limit {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the machine has too many connections"));
            }
            dials.waiting.push(Wanted { port, opening, stream });
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
