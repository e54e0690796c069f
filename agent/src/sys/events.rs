//! Waiting for many descriptors at once, and TCP connections that do not wait.

#![expect(unsafe_code, reason = "epoll(7), and connect(2) without waiting")]

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::check;

/// Events taken at once.
const EVENTS: usize = 256;

/// What has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// The caller's number of the descriptor.
    pub(crate) number: u64,
    /// There is something to read: bytes, an end or an error.
    pub(crate) is_readable: bool,
    /// There is room to write, or no more use in it.
    pub(crate) is_writable: bool,
    /// Nothing more comes.
    pub(crate) is_over: bool,
}

/// A set of descriptors, each with a number of the caller's. It tells of each change once (edge-triggered).
#[derive(Debug)]
pub(crate) struct Events {
    epoll: OwnedFd,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just returned `raw`, and nothing else owns it.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Watches a descriptor until its last copy is closed.
    pub(crate) fn watch(&self, fd: impl AsFd, number: u64) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: number };
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: `event` lives over the call.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) }).map(drop)
    }

    /// Waits for changes. Without a limit it waits for ever.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<Event>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let limit = limit.map_or(-1, |limit| i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let most = libc::c_int::try_from(EVENTS).unwrap_or(libc::c_int::MAX);
        // SAFETY: `events` has room for as many as are said, and lives over the call.
        let count = check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), most, limit) });
        match count {
            Ok(count) => Ok(events[..usize::try_from(count).unwrap_or(0)].iter().map(event).collect()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn event(told: &libc::epoll_event) -> Event {
    let has = |flags: libc::c_int| told.events & flags.cast_unsigned() != 0;
    let is_over = has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR);
    Event {
        number: told.u64,
        is_readable: has(libc::EPOLLIN) || is_over,
        is_writable: has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR),
        is_over,
    }
}

/// Begins to connect to a TCP port; a connection that cannot be made fails when it is used.
pub(crate) fn connect_tcp(to: SocketAddr) -> io::Result<File> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers.
    let raw = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel just returned `raw`, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    never_hold_back(raw)?;
    let connected = match to.ip() {
        IpAddr::V4(address) => {
            let address = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                sin_zero: [0; 8],
            };
            let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
            // SAFETY: `address` is a `sockaddr_in` of that length and lives over the call.
            check(unsafe { libc::connect(raw, (&raw const address).cast(), length) })
        }
        IpAddr::V6(address) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or_default(),
                sin6_port: to.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: address.octets() },
                sin6_scope_id: 0,
            };
            let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
            // SAFETY: `address` is a `sockaddr_in6` of that length and lives over the call.
            check(unsafe { libc::connect(raw, (&raw const address).cast(), length) })
        }
    };
    match connected {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(File::from(socket)),
    }
}

/// Has small pieces be sent at once: to wait for an acknowledgement of those before costs up to 40 ms.
fn never_hold_back(socket: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    let value = (&raw const on).cast();
    // SAFETY: `on` has `length` bytes and lives over the call.
    check(unsafe { libc::setsockopt(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, value, length) }).map(drop)
}

/// Whether a connection that was begun is there; the error is why it cannot be.
pub(crate) fn is_connected(socket: &File) -> io::Result<bool> {
    let fd = socket.as_raw_fd();
    let mut peer = std::mem::MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or(0);
    // SAFETY: `peer` has room for `length` bytes, and both live over the call.
    match check(unsafe { libc::getpeername(fd, peer.as_mut_ptr().cast(), &raw mut length) }) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
        Err(error) => return Err(error),
    }
    let mut error: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&error)).unwrap_or(0);
    let value = (&raw mut error).cast();
    // SAFETY: `error` has room for `length` bytes, and both live over the call.
    check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, value, &raw mut length) })?;
    if error == 0 { Ok(false) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A TCP listener whose accepting does not wait; as many connections may wait for it.
pub(crate) fn listen_tcp(on: SocketAddr, waiting: i32) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(on)?;
    // The standard library asks for 128.
    // SAFETY: no pointers.
    check(unsafe { libc::listen(listener.as_raw_fd(), waiting) })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_connection_is_made_at_once_or_refused_and_holds_nothing_back() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let at = listener.local_addr().expect("it is bound");
        let socket = connect_tcp(at).expect("somebody listens");
        assert!(is_connected(&socket).expect("it was not refused"));
        let stream = TcpStream::from(OwnedFd::from(socket));
        assert!(stream.nodelay().expect("it is a TCP socket"));
        drop((stream, listener));
        let refused = connect_tcp(at).and_then(|socket| is_connected(&socket));
        assert_eq!(refused.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }
}
