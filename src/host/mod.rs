//! Looks at this computer: who runs us, how much of it we may use, what can run machines, and what is missing.
//!
//! [`facts`] is what plans are made from, [`HostFiles`] what a project's file may ask, [`engines`] what can run
//! machines, and [`findings`] all of it in words with commands to copy, for `doctor`. Deliberately not here: what
//! follows from the facts, and anything that changes the computer.

mod accounts;
mod askers;
mod contents;
mod distribution;
mod facts;
pub mod files;
mod findings;
mod holders;
mod images;
mod invoker;
mod kvm;
mod memory;
mod namespaces;
mod ports;
mod processes;
mod qemu;

pub use facts::facts;
pub use files::{FindHeld, HostFiles};
pub use findings::{Finding, Standing, findings};
pub use holders::{Holder, holder};
pub use images::{FindImage, StoredImage};
pub use kvm::{kvm, kvm_words};
pub use namespaces::{NamespaceFacts, namespaces};
pub use processes::{VmProcess, vm_processes};
pub use qemu::{EngineFacts, QemuError, QemuFacts, QemuVersion, engines, find_qemu, qemu_version};

pub use crate::sys::kvm_probe::KvmVerdict;
