//! `smolvm` runs a checked-in `smolvm.yaml`: Linux microVMs, host folders in them, and ordered steps.
//!
//! ```text
//! smolvm.yaml ─text─► config ─Project─► plan ◄─HostFacts─ host      `check` stops after config, `plan` after plan
//!                       │ Diagnostics     │ Plan (printable)
//!                       ▼                 ▼
//!                   diag::render        run ──VmSpec──► engine ──► virtio/share     run ──Request──► guest ⇄ agent (vsock)
//!                                       ▲  ◄──VmExit, console──┘                     ◄──Response, output──┘
//!                                       └─Event─► report ─► terminal / JSON lines      run ─Summary─► cli ─► exit code
//! ```
//!
//! The pure core (`config`, `diag`, `plan`, `event`) does no input or output; the edges each touch one part
//! of the world. Who may use whom is a table in `docs/architecture.md`, and a test compares it with the code.

pub mod cli;
pub mod compose;
pub mod config;
pub mod control;
pub mod diag;
pub mod engine;
pub mod event;
pub mod guest;
pub mod host;
pub mod image;
pub mod lsp;
pub mod net;
pub mod plan;
pub mod report;
pub mod rootfs;
pub mod run;
pub mod sdk;
pub mod share;
pub mod storage;
pub mod sys;
pub mod virtio;

pub use sdk::{
    ExecInput, ExecResult, ExecSpec, Execution, Machine, MachineConfig, MachineError, MountSpec, Network, Output,
    PortSpec, Stream, serve_child, use_program,
};
