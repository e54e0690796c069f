//! What of this host the rules compare a file with. `host` finds it out, `MemoryFiles` says it.

use std::net::SocketAddr;

/// What all machines together may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostResources {
    /// CPUs that this process may use; 0 is not known.
    pub cpus: u32,
    /// Memory in MiB, of the host or of the cgroup that we are in; 0 is not known.
    pub memory_mib: u64,
}

/// Ports of this host, in the network namespace that we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPorts {
    /// The first port that an ordinary user may listen on.
    pub first_unprivileged: u16,
    /// Whether this process may listen on those before it too.
    pub may_use_all: bool,
    /// Where something listens already. Until machines publish ports, it is never this project.
    pub taken: Vec<SocketAddr>,
}
