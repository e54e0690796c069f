//! VMs in QEMU, by software emulation or hardware virtualization.
//!
//! ```text
//! VmSpec ─► args (pure) ─► process: one QEMU, which gets descriptors by number and no name of ours
//!                             └─► watch: console, QMP, last words and the end ─► VmEvent
//! ```

mod args;
mod confine;
mod console;
mod process;
mod qmp;
mod watch;

pub use process::{QemuEngine, QemuFacts};
