//! `network: nat`: a machine's packets, carried out by sockets of the host.
//!
//! ```text
//!  guest: programs ─► eth0 (TUN) ─► agent ─packets─► vsock, port 1028
//!                                                        │
//!  smolvm: spawn ──what is allowed, servers, stream──► serve ─► confine ─► gateway ─┬─ tcp ──┐
//!            ◄──────── what was blocked ────────────────────                        ├─ udp ──┼─► sockets of the host
//!                                                                                   ├─ echo ─┤    (past policy)
//!                                                                                   └─ dns ──┘
//! ```
//!
//! A process of its own (this program, started anew) is the far end of the machine's wire: it ends the machine's TCP with a
//! stack in user space, and makes for each connection one of the host's that is allowed. No packet of a guest reaches a
//! network. It has no files, listens to nobody and knows its machine by a stream alone, so that all engines have the same
//! network and no privilege is needed for it. Everything that a guest can make it keep is bounded.
//!
//! Pure: `frame`, `packet`, `policy`, `news`, `dns::{message, reply}`, `tcp::{flow, names, budget}`. Not here: the guest's side,
//! which is the agent's.

mod addresses;
mod confine;
mod dns;
mod echo;
mod frame;
mod gate;
mod gateway;
#[cfg(test)]
mod gateway_tests;
mod host;
mod news;
mod packet;
mod policy;
mod poller;
mod serve;
mod sockets;
mod spawn;
#[cfg(test)]
mod stage;
mod tcp;
mod udp;
mod wire;

pub use addresses::{GATEWAY_NAME, GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6};
pub use frame::MTU;
pub use host::Resolvers;
pub use news::NatNews;
pub use policy::{Allowed, Denial};
pub use serve::{confined_main, serve_main};
pub use spawn::{NatError, NatHandle, NatSpec, OnNews, spawn_nat, spawn_nat_from};
