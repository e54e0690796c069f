//! What a machine has of the network. Deliberately not here: whether a port is free, and who is linked to (`checks`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::project::Spanned;
use crate::diag::Span;

/// The network of a machine: what it reaches, and from where it is reached.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// What `network` says; `None` is the default, no network.
    pub access: Option<Access>,
    /// Published ports (`ports`) in file order.
    pub ports: Vec<Port>,
    /// Services that it may reach by name (`links`) in file order.
    pub links: Vec<Link>,
}

/// What of the world a machine reaches.
#[derive(Debug, Clone)]
pub struct Access {
    /// Kind of network.
    pub mode: NetworkMode,
    /// What may be reached; `None` is everything that the mode reaches.
    pub allow: Option<Vec<Destination>>,
    /// Where it is written.
    pub span: Span,
}

/// Kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkMode {
    /// No interface but `lo`.
    None,
    /// The host's network behind address translation.
    Nat,
}

/// What `allow` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// A host by its name, in lower case.
    Name(String),
    /// All addresses with this beginning; a single address has all of its bits in it.
    Addresses {
        /// The first of them.
        first: IpAddr,
        /// Bits that they share.
        bits: u8,
    },
}

/// A port of the host behind which a port of the guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Address of the host; an unspecified one is all of them.
    pub address: IpAddr,
    /// Port of the host; 0 is any free one.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
    /// Where it is written.
    pub span: Span,
    /// The alias through which the machine has it.
    pub via: Option<Span>,
}

/// A port of a service that the machine reaches under the service's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The machine.
    pub machine: Spanned<String>,
    /// Its port.
    pub port: u16,
}
