//! The control channel: a virtio-vsock device whose host side is ours alone.
//!
//! ```text
//! VsockHandle::dial ─socketpair─► backend (queues, epoll) ◄─virtqueues─► guest
//!                                    └─► muxer ─► connection   pure: packets and bytes in, packets and bytes out
//! ```
//!
//! The host dials, the guest listens. A guest that connects is refused, so that it reaches nothing on the host
//! but what the host opened itself. Everything that a guest can make us keep is bounded: the number of
//! connections by what the host dialled and by who claims them ([`claims`]), each connection's buffers, and the replies that wait for it. The threads that
//! see what the guest sends are confined ([`confine`]).

mod backend;
#[cfg(test)]
mod backend_tests;
mod claims;
mod confine;
mod connection;
mod device;
mod handle;
mod host_end;
mod muxer;
mod owed;
mod packet;
#[cfg(test)]
mod test_driver;

pub use claims::Claim;
pub use handle::{VsockBackend, VsockHandle};
