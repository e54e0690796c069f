//! From a project, what is known of the host and a selection to a printable plan. Decisions are made here;
//! `run` carries them out.
//!
//! ```text
//! Project ─selection─► chosen steps ─build─► machines, steps, operations (sorted graph) ─render─► text, JSON
//! ```

mod build;
mod critical;
mod defaults;
mod graph;
mod members;
mod model;
mod mounts;
mod network;
mod operations;
mod owners;
mod render;
mod render_service;
mod selection;
mod service;
mod single;
#[cfg(test)]
mod tests;
mod turns;

pub use crate::config::model::{
    Cache, Command, Condition, Destination, GuestPath, Image, KernelSource, Restart, Retry,
};
pub(crate) use crate::config::nearest;
pub use build::build;
pub use critical::critical_path;
pub use defaults::{ImageDefaults, NoCommand, ROOT, WorkingDir};
pub use model::{
    DiskPlan, HostFacts, Invoker, Limits, MachinePlan, MountPlan, MountPlanKind, Operation, OperationKind, OwnerPlan,
    Plan, SkippedStep, StepPlan,
};
pub use network::{LinkPlan, NetworkPlan, PortPlan};
pub use render::{render_json, render_size, render_text};
pub use selection::{Selection, SelectionError};
pub use service::{DependencyPlan, HealthPlan, ServicePlan};
pub use single::{SingleCommand, build_single};
