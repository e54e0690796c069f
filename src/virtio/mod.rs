//! Device backends for every engine, each behind a vhost-user socket. No engine and no KVM call is known here.

pub mod block;
pub mod vsock;
