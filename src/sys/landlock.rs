//! Landlock domains for a thread and all that it starts, where the kernel has them.
//!
//! Deliberately not here: domains that leave something open, which whoever confines itself makes.

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, Scope};

/// Forbids this thread and all that it starts every file, every TCP port, and signals and abstract sockets of others. A
/// kernel without Landlock, or with less of it, forbids what it knows.
pub fn forbid_all() -> io::Result<()> {
    let abi = ABI::V6;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self);
    restricted.map(drop).map_err(io::Error::other)
}
