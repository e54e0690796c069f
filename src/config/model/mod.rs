//! The project: what a checked `smolvm.yaml` says, in types that cannot say anything wrong.
//!
//! Input is what `lower` accepted; every place a later rule may point at keeps its span. Deliberately not
//! here: the YAML tree (it may be wrong), defaults that need the host (`plan`), any input or output.

mod excluded;
mod image;
mod input;
mod locks;
mod machine;
mod matrix;
mod mount;
mod names;
mod network;
mod origins;
mod path;
mod project;
mod retry;
mod service;
mod step;
mod volume;

pub use super::reference::Reference;
pub use excluded::{EVERY_PROFILE, Exclusion, exclusions, machines_left_out};
pub(crate) use excluded::{never_run, profiles};
pub use image::{Image, KernelSource};
pub use input::Input;
pub use locks::Locks;
pub use machine::{Machine, MachineGaps};
pub use matrix::Combination;
pub use mount::{Cache, Mount, MountKind, Owner};
pub use names::{MachineNames, StepNames};
pub use network::{Access, Destination, Link, Network, NetworkMode, Port};
pub use origins::Origins;
pub use path::GuestPath;
pub use project::{Project, ProjectGaps, Spanned};
pub use retry::Retry;
pub use service::{Condition, Dependency, Healthcheck, Restart, Service, ServiceGaps, Signal};
pub use step::{Chown, Command, Needs, Step, StepGaps, When};
pub use volume::{Volume, Workspace};
