//! What all that a machine opens goes through: where it leads, whether it may, and who hears of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::addresses::behind_gateway;
use super::frame::Outbox;
use super::news::{NatNews, Teller};
use super::packet::Undelivered;
use super::policy::{Denial, Policy};
use super::poller::Poller;
use super::sockets::is_own;

/// What everything in one process works with.
#[derive(Debug)]
pub(super) struct Gate {
    /// On the way to the machine.
    pub(super) out: Outbox,
    pub(super) poller: Poller,
    pub(super) policy: Policy,
    pub(super) teller: Teller,
    /// Sockets that may be open in all.
    pub(super) sockets_max: usize,
}

/// Why something is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It may not be.
    Denied,
    /// It cannot be.
    Undelivered(Undelivered),
}

impl Gate {
    /// Where an address of the machine's packets leads on the host, where it may lead anywhere.
    pub(super) fn enter(&mut self, world: SocketAddr, now: Instant) -> Result<SocketAddr, Refused> {
        let home = behind_gateway(world.ip());
        let target = SocketAddr::new(home.unwrap_or(world.ip()), world.port());
        let may = self.judge(target.ip(), home.is_some(), now);
        match may {
            Ok(Ok(())) => Ok(target),
            Ok(Err(denial)) => {
                if denial != Denial::Nobody {
                    self.teller.tell(NatNews::Address(target, denial));
                }
                Err(Refused::Denied)
            }
            Err(_) => Err(Refused::Undelivered(Undelivered::NoRoute)),
        }
    }

    /// The host's own answer comes last: what is not allowed is not looked up.
    fn judge(&self, address: IpAddr, is_home: bool, now: Instant) -> rustix::io::Result<Result<(), Denial>> {
        // The loopback behind the gateway has its name there and nowhere else.
        if !is_home && self.policy.judge(address, false, now) == Ok(()) && address.is_loopback() {
            return Ok(Err(Denial::Nobody));
        }
        if let Err(denial) = self.policy.judge(address, is_home, now) {
            return Ok(Err(denial));
        }
        if is_home {
            return Ok(Ok(()));
        }
        Ok(self.policy.judge(address, is_own(address)?, now))
    }
}
