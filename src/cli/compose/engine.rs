//! Which engine serves, and why.

use std::sync::Arc;

use crate::cli::args;
use crate::cli::exit::Failure;
use crate::engine::{Accel, Engine};

/// An engine that can run machines here.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// It.
    pub(crate) engine: Arc<dyn Engine>,
    /// How it runs CPUs.
    pub(crate) accel: Accel,
    /// Why it was chosen, in words.
    pub(crate) why: String,
}

/// Chooses.
pub(crate) fn choose(_engine: args::Engine, _accel: args::Accel) -> Result<Chosen, Failure> {
    Err(Failure::new(crate::cli::exit::Class::Host, "no engine"))
}

pub(crate) fn facts() -> crate::plan::HostFacts {
    crate::plan::HostFacts {
        cpus: 2,
        memory_mib: 4096,
        invoker: crate::plan::Invoker {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            groups: Vec::new(),
            name: None,
            home: None,
            is_process_root: rustix::process::getuid().is_root(),
        },
    }
}
