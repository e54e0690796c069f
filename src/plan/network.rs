//! What a machine reaches and from where it is reached, with everything decided.
//!
//! Deliberately not here: whether a port is free, and who carries the bytes (`net`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::model::{Destination, Machine, NetworkMode};

/// A port of the host behind which a port of the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// Address of the host; an unspecified one is all of them.
    pub address: IpAddr,
    /// Port of the host; 0 is any free one, until one is taken.
    pub host: u16,
    /// Whether any free one will do.
    pub is_any: bool,
    /// Port of the guest.
    pub guest: u16,
}

/// A port of a service that a machine reaches under the service's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPlan {
    /// Name of the service's machine.
    pub machine: String,
    /// Its port.
    pub port: u16,
}

/// What of the world a machine reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPlan {
    /// No interface but `lo`.
    #[default]
    None,
    /// The host's network behind address translation.
    Nat {
        /// What may be reached; `None` is everything.
        allow: Option<Vec<Destination>>,
    },
}

pub(super) fn plan_ports(machine: &Machine) -> Vec<PortPlan> {
    let of = |port: &crate::config::model::Port| PortPlan {
        address: port.address,
        host: port.host,
        guest: port.guest,
        is_any: port.host == 0,
    };
    machine.network.ports.iter().map(of).collect()
}

pub(super) fn plan_links(machine: &Machine) -> Vec<LinkPlan> {
    let of = |link: &crate::config::model::Link| LinkPlan { machine: link.machine.value.clone(), port: link.port };
    machine.network.links.iter().map(of).collect()
}

pub(super) fn plan_network(machine: &Machine) -> NetworkPlan {
    match &machine.network.access {
        Some(access) if access.mode == NetworkMode::Nat => NetworkPlan::Nat { allow: access.allow.clone() },
        _ => NetworkPlan::None,
    }
}
