//! Links: a program in one machine connects to a name, and reaches the port of another machine.
//!
//! A guest connects to nothing of the host. Its agent says that a program waits, under a number, and the host comes for
//! it; what the number may be joined with is decided by the plan alone.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use smolvm_agent::{FORWARD_PORT, Forward};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::guest::{Claim, Dial, SetupLink};
use crate::plan::MachinePlan;

/// Addresses of links in the guest: `127.1.0.1` and on, one a name.
const FIRST: [u8; 4] = [127, 1, 0, 0];

/// How long a guest may take to close what is refused.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

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

/// A machine at one end of a link.
#[derive(Clone, Copy)]
pub struct LinkEnd<'a> {
    /// Connects to it.
    pub dial: &'a dyn Dial,
    /// For whom its connection is.
    pub claim: Claim,
}

impl fmt::Debug for LinkEnd<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LinkEnd").field("claim", &self.claim).finish_non_exhaustive()
    }
}

/// Joins the program that waits in one machine under a number with a port of another.
///
/// # Errors
/// Where a machine is gone or has too many connections; [`refuse_link`] is then due.
pub fn join_link(from: LinkEnd<'_>, ticket: u64, to: LinkEnd<'_>, port: u16) -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    to.dial.join(FORWARD_PORT, &Forward::Port(port).opening(), one.into(), to.claim)?;
    from.dial.join(FORWARD_PORT, &Forward::Link(ticket).opening(), other.into(), from.claim)
}

/// Closes the connection of the program that waits under a number, and returns when that is done. Must be called within a
/// tokio runtime.
///
/// # Errors
/// Where the machine is gone or does not answer.
pub async fn refuse_link(from: &dyn Dial, ticket: u64) -> io::Result<()> {
    // Not by `join`: it is also for machines that have as many connections as ports and links may have.
    let stream = from.dial(FORWARD_PORT)?;
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    stream.write_all(&Forward::Refuse(ticket).opening()).await?;
    // Who hangs up before the guest has answered has asked for nothing.
    let mut nothing = [0];
    timeout(REFUSAL_LIMIT, stream.read(&mut nothing)).await.map_err(io::Error::from)?.map(drop)
}
