//! Engines: from a [`VmSpec`] to a running [`Vm`]. An engine runs vCPUs and plugs sockets in, nothing else.

pub mod qemu;
mod spec;

pub use spec::{Accel, DiskSocket, Engine, EngineError, ShareSocket, Vm, VmEvent, VmExit, VmSpec};
