//! A connected listener without a name in any folder.
//!
//! A vhost-user daemon of the library that we use wants a listener, while its front end is a descriptor that we hand
//! on. The listener's name is abstract, so that nothing stays of it however we end, and nothing is written anywhere.
//! Such a name is open to everyone on the host; who may come first is the caller's own end, or nobody.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use rustix::rand::{GetRandomFlags, getrandom};

/// How often in a row a stranger may be faster.
const TRIES: u32 = 100;

/// A listener, and the only stream that it will accept first.
///
/// # Errors
/// Where the system has no sockets left, or where somebody keeps connecting to every new name.
pub fn connected_listener() -> io::Result<(UnixListener, UnixStream)> {
    for _ in 0..TRIES {
        let address = SocketAddrUnix::new_abstract_name(&random_name()?)?;
        let listener = socket(SocketFlags::empty())?;
        bind(&listener, &address)?;
        // One connection waits and no more: where ours does, nobody else's is before it.
        listen(&listener, 0)?;
        let stream = socket(SocketFlags::NONBLOCK)?;
        match connect(&stream, &address) {
            Ok(()) => {
                let stream = UnixStream::from(stream);
                stream.set_nonblocking(false)?;
                return Ok((UnixListener::from(listener), stream));
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("somebody on this host connects to every new socket before its owner does"))
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | flags, None)?)
}

fn random_name() -> io::Result<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if count < bytes.len() {
        return Err(io::Error::other("the kernel gave too little randomness"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustix::net::getsockname;

    use super::*;

    #[test]
    fn the_stream_reaches_the_listener() {
        let (listener, mut stream) = connected_listener().unwrap();
        stream.write_all(b"hi").unwrap();
        drop(stream);
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi");
    }

    #[test]
    fn nobody_can_connect_before_the_owner() {
        let (listener, _stream) = connected_listener().unwrap();
        let address = SocketAddrUnix::try_from(getsockname(&listener).unwrap()).unwrap();
        assert!(address.path().is_none() && address.abstract_name().is_some());
        let stranger = socket(SocketFlags::NONBLOCK).unwrap();
        assert_eq!(connect(&stranger, &address), Err(Errno::AGAIN));
    }
}
