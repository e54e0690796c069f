//! The library: one machine, started, used and stopped from a program.
//!
//! ```text
//! MachineConfig ─text of the language─► config (every rule of the file) ─► plan ─► run, held ─► exec
//! ```
//!
//! A machine of the library is a run like any other: the same checks, the same file servers, the same disks. It belongs
//! to the value: a [`Machine`] that is dropped takes its VM along. Deliberately not here: several machines that know of
//! each other, steps, services; those are a `smolvm.yaml`.

mod children;
mod command;
mod config;
mod error;
mod execution;
mod lives;
mod machine;
mod once;
mod result;
mod running;

pub use children::{serve_child, use_program};
pub use command::ExecSpec;
pub use config::{MachineConfig, MountSpec, Network, PortSpec};
pub use error::MachineError;
pub use execution::{ExecInput, Execution};
pub use machine::Machine;
pub use result::ExecResult;

pub use crate::guest::{Output, Stream};
