//! From a project, what is known of the host and a selection to a printable plan. Decisions are made here;
//! `run` carries them out.

mod model;

pub use model::{HostFacts, Invoker, MachinePlan, MountPlan, Operation, OperationKind, Plan, StepPlan};
