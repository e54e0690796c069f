//! Vsock listeners that serve the host and nobody else.

#![expect(unsafe_code, reason = "the standard library has no vsock sockets")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{Readiness, check, poll, set_nonblocking};

/// Says that nothing more will be written to a connection.
pub(crate) fn end_writing(stream: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(stream.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Says that nothing more of a connection will be read; the other side's writing fails.
pub(crate) fn end_reading(stream: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(stream.as_raw_fd(), libc::SHUT_RD) }).map(drop)
}

/// Whether the other side of a connection would still be sent something.
pub(crate) fn takes_more(stream: &File) -> bool {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: no byte is read from the null pointer.
    let sent = unsafe { libc::send(stream.as_raw_fd(), std::ptr::null(), 0, flags) };
    sent >= 0 || io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// Lets the other side of a TCP connection see a reset when it is closed; one of another kind is left as it is.
pub(crate) fn reset_when_closed(stream: &File) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).unwrap_or(0);
    let (fd, value) = (stream.as_raw_fd(), (&raw const linger).cast());
    // SAFETY: `linger` has `length` bytes and lives over the call.
    let _ = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, value, length) };
}

/// A vsock socket that listens.
#[derive(Debug)]
pub(crate) struct VsockListener {
    socket: OwnedFd,
}

const ADDRESS_BYTES: usize = size_of::<libc::sockaddr_vm>();

fn address(port: u32) -> libc::sockaddr_vm {
    // SAFETY: all bytes zero is a valid `sockaddr_vm`.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::sa_family_t::try_from(libc::AF_VSOCK).unwrap_or_default();
    address.svm_cid = libc::VMADDR_CID_ANY;
    address.svm_port = port;
    address
}

impl AsFd for VsockListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl VsockListener {
    /// Listens on a port.
    pub(crate) fn bind(port: u32) -> io::Result<Self> {
        Self::bind_with(port, 4)
    }

    /// Listens on a port; as many connections may wait.
    pub(crate) fn bind_with(port: u32, waiting: i32) -> io::Result<Self> {
        // SAFETY: no pointers.
        let raw = check(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the kernel just returned `raw`, and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let address = address(port);
        let length = libc::socklen_t::try_from(ADDRESS_BYTES).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: `address` is a `sockaddr_vm` of that length and lives over the call.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
        // SAFETY: no pointers.
        check(unsafe { libc::listen(socket.as_raw_fd(), waiting) })?;
        Ok(Self { socket })
    }

    /// Makes accepting fail where it would have to wait.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        set_nonblocking(&self.socket)
    }

    /// Waits for a connection of the host; others are closed at once.
    pub(crate) fn accept_host(&self) -> io::Result<File> {
        self.accept_with(0)
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_waiting(&self) -> bool {
        poll([Some(self.socket.as_fd())], Readiness::Input, Some(Duration::ZERO)).is_ok_and(|[is_ready]| is_ready)
    }

    /// The same; calls on the connection do not wait.
    pub(crate) fn accept_host_nonblocking(&self) -> io::Result<File> {
        self.accept_with(libc::SOCK_NONBLOCK)
    }

    fn accept_with(&self, flags: libc::c_int) -> io::Result<File> {
        loop {
            let mut peer = address(0);
            let mut length = libc::socklen_t::try_from(ADDRESS_BYTES).map_err(|_| io::ErrorKind::InvalidInput)?;
            let fd = self.socket.as_raw_fd();
            // SAFETY: `peer` has room for `length` bytes, and both live over the call.
            let accepted = check(unsafe {
                libc::accept4(fd, (&raw mut peer).cast(), &raw mut length, flags | libc::SOCK_CLOEXEC)
            });
            let raw = match accepted {
                Ok(raw) => raw,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            // SAFETY: the kernel just returned `raw`, and nothing else owns it.
            let stream = unsafe { OwnedFd::from_raw_fd(raw) };
            if peer.svm_cid == libc::VMADDR_CID_HOST {
                return Ok(File::from(stream));
            }
        }
    }
}
