//! `network: nat` of a machine: its server, and what the guest is told of it.
//!
//! Deliberately not here: what is allowed (`net::nat`), when the machine is connected (`run`).

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::words::chain;
use crate::config::model::Destination;
use crate::guest::SetupNetwork;
use crate::net::nat::{
    Allowed, GATEWAY_NAME, GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6, MTU, NatHandle, NatSpec, Resolvers, spawn_nat,
};
use crate::plan::{MachinePlan, NetworkPlan};
use crate::run::{Network, ProvideError};

/// Modules that a machine's network needs in the guest.
pub(super) fn modules(machine: &MachinePlan) -> &'static [&'static str] {
    match machine.network {
        NetworkPlan::None => &[],
        NetworkPlan::Nat { .. } => &["tun"],
    }
}

/// What is to be called for a machine.
pub(super) struct NetworkHooks {
    /// With what was blocked, in words.
    pub(super) warn: Arc<dyn Fn(String) + Send + Sync>,
    /// When its server dies by itself, with why the machine cannot go on.
    pub(super) fail: Arc<dyn Fn(String) + Send + Sync>,
}

/// Starts the server of a machine's network, where it has one.
pub(super) fn serve(
    machine: &MachinePlan,
    resolvers: &Resolvers,
    hooks: NetworkHooks,
) -> Result<Option<Arc<dyn Network>>, ProvideError> {
    let NetworkPlan::Nat { allow } = &machine.network else { return Ok(None) };
    let setup = setup(resolvers, allow.is_some());
    let allow = allow.as_ref().map(|entries| entries.iter().map(allowed).collect());
    let spec = NatSpec { machine: machine.name.clone(), allow, resolvers: resolvers.clone() };
    let NetworkHooks { warn, fail } = hooks;
    let on_news = Box::new(move |news: crate::net::nat::NatNews| warn(news.to_string()));
    let on_death = Box::new(move |how: String| fail(format!("the server of its network died: {how}")));
    let handle = spawn_nat(spec, on_news, on_death).map_err(|error| {
        let message = format!("the network cannot be served: {}", chain(&error).collect::<Vec<_>>().join(": "));
        ProvideError { message, is_host_unfit: false }
    })?;
    Ok(Some(Arc::new(ServedNetwork { handle, setup })))
}

fn allowed(destination: &Destination) -> Allowed {
    match destination {
        Destination::Name(name) => Allowed::Name(name.clone()),
        Destination::Addresses { first, bits } => Allowed::Addresses { first: *first, bits: *bits },
    }
}

/// Where names are limited, none is tried behind another: each would be told as blocked.
fn setup(resolvers: &Resolvers, is_limited: bool) -> SetupNetwork {
    let search = if is_limited { Vec::new() } else { resolvers.search() };
    let mut resolv_conf = format!("nameserver {GATEWAY_V4}\n");
    if !search.is_empty() {
        resolv_conf.push_str(&format!("search {}\n", search.join(" ")));
    }
    SetupNetwork {
        address_v4: GUEST_V4,
        address_v6: GUEST_V6,
        mtu: MTU,
        resolv_conf,
        hosts: format!("{GATEWAY_V4}\t{GATEWAY_NAME}\n{GATEWAY_V6}\t{GATEWAY_NAME}\n"),
    }
}

struct ServedNetwork {
    handle: NatHandle,
    setup: SetupNetwork,
}

impl Network for ServedNetwork {
    fn setup(&self) -> SetupNetwork {
        self.setup.clone()
    }

    fn connect(&self, stream: UnixStream) -> io::Result<()> {
        self.handle.connect(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_asks_the_gateway_for_names() {
        let resolvers = Resolvers::parse("192.0.2.1").unwrap();
        let setup = setup(&resolvers, false);
        assert_eq!(setup.resolv_conf, "nameserver 10.255.254.1\n");
        assert_eq!(setup.hosts.lines().count(), 2);
    }
}
