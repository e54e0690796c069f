//! Links: a program in one machine connects to a name, and reaches the port of another machine.
//!
//! A guest connects to nothing of the host. Its agent says that a program waits, under a number, and the host comes for
//! it; what the number may be joined with is decided by the plan alone.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use smolvm_agent::{FORWARD_PORT, Forward};

use crate::guest::{Dial, SetupLink};
use crate::plan::MachinePlan;

/// Addresses of links in the guest: `127.1.0.1` and on, one a name.
const FIRST: [u8; 4] = [127, 1, 0, 0];

/// What the agent is told of the links of a machine, in the order of the plan.
pub fn setup_links(machine: &MachinePlan) -> Vec<SetupLink> {
    let mut known: HashMap<&str, u16> = HashMap::new();
    let mut setup = Vec::with_capacity(machine.links.len());
    for link in &machine.links {
        let next = u16::try_from(known.len() + 1).unwrap_or(u16::MAX);
        let number = *known.entry(&link.machine).or_insert(next);
        let [high, low] = number.to_be_bytes();
        let address = [FIRST[0], FIRST[1], high, low];
        setup.push(SetupLink { name: link.machine.clone(), address, port: link.port });
    }
    setup
}

/// Joins the program that waits in one machine under a number with a port of another.
///
/// # Errors
/// Where a machine is gone or has too many connections; [`refuse_link`] is then due.
pub fn join_link(from: &dyn Dial, ticket: u64, to: &dyn Dial, port: u16) -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let joined = to.join(FORWARD_PORT, &Forward::Port(port).opening(), one.into());
    match joined {
        Ok(()) => from.join(FORWARD_PORT, &Forward::Link(ticket).opening(), other.into()),
        error => error,
    }
}

/// Closes the connection of the program that waits under a number.
///
/// # Errors
/// Where the machine is gone.
pub fn refuse_link(from: &dyn Dial, ticket: u64) -> io::Result<()> {
    // Not by `join`: it is also for machines that have as many connections as ports and links may have.
    let mut stream = from.dial(FORWARD_PORT)?;
    stream.write_all(&Forward::Link(ticket).opening())
}
