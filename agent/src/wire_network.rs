//! What a machine is told of its network. Not here: what goes over it.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The interface of a machine with a network: a wire whose other end is the host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupNetwork {
    /// Its address.
    pub address_v4: Ipv4Addr,
    /// Its address, where the guest's kernel has IPv6.
    pub address_v6: Ipv6Addr,
    /// Longest packet, in bytes.
    pub mtu: u16,
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Lines for `/etc/hosts`.
    pub hosts: String,
}
