//! The vsock device of a machine as `guest` and `net` dial it. Not here: the device (`virtio`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::guest::{Claim, Dial, Traffic};
use crate::virtio::vsock::{self, VsockHandle};

#[derive(Debug)]
pub(super) struct VsockDial(pub(super) VsockHandle);

impl Dial for VsockDial {
    fn dial(&self, port: u32) -> io::Result<UnixStream> {
        self.0.dial(port)
    }

    fn join(&self, port: u32, opening: &[u8], stream: OwnedFd, claim: Claim) -> io::Result<()> {
        self.0.join(port, opening.to_vec(), stream, vsock::Claim { by: claim.by, among: claim.among })
    }

    fn traffic(&self) -> Traffic {
        let (received, sent) = self.0.joined_bytes();
        Traffic { received, sent }
    }
}
