//! What plans are made from: CPUs, memory, and who runs us.

use std::num::NonZero;

use super::invoker::invoker;
use super::memory::memory_mib;
use crate::plan::HostFacts;

/// Looks at this computer. Takes well under a millisecond.
pub fn facts() -> HostFacts {
    HostFacts { cpus: cpus(), memory_mib: memory_mib(), invoker: invoker() }
}

/// CPUs that this process may use: its affinity mask, and the quota of its cgroup where that is less.
pub(super) fn cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computer_has_something() {
        let facts = facts();
        assert!(facts.cpus >= 1);
        assert!(facts.memory_mib > 16);
        assert_eq!(facts.invoker.is_process_root, rustix::process::geteuid().is_root());
    }
}
