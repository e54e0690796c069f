//! What a machine may reach: names, networks, and the addresses that names were answered with.
//!
//! Not here: asking, and whether an address is the host's own, which whoever asks the kernel knows.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Addresses of names that are kept; past that the one that ends first goes.
const PINS_MAX: usize = 4096;

/// How much longer than a name server says an address may be used: programs keep theirs.
const KEPT: Duration = Duration::from_secs(3600);

/// No name server is believed longer than this.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);

/// An entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allowed {
    /// A host by its name, in lower case.
    Name(String),
    /// All addresses with this beginning.
    Addresses {
        /// The first of them.
        first: IpAddr,
        /// Bits that they share.
        bits: u8,
    },
}

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Denial {
    /// Nobody is reached there from anywhere: many hosts, or none.
    Nobody,
    /// It is the host's own, or its loopback.
    Host,
    /// It is of the link, as the services of a cloud are that give out the host's credentials.
    LinkLocal,
    /// `allow` does not have it.
    NotAllowed,
}

/// What a machine may reach.
#[derive(Debug)]
pub(super) struct Policy {
    allow: Option<Allow>,
    /// Addresses of allowed names, and until when.
    pins: HashMap<IpAddr, Instant>,
}

#[derive(Debug, Default)]
struct Allow {
    names: HashSet<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Policy {
    /// Without a list everything may be reached but the host itself and its links.
    pub(super) fn new(allowed: Option<Vec<Allowed>>) -> Self {
        let allow = allowed.map(|entries| {
            let mut allow = Allow::default();
            for entry in entries {
                match entry {
                    Allowed::Name(name) => drop(allow.names.insert(name)),
                    Allowed::Addresses { first, bits } => allow.networks.push((first, bits)),
                }
            }
            allow
        });
        Self { allow, pins: HashMap::new() }
    }

    /// Whether a name may be asked for, in lower case and without a dot at its end. A list with a network of all
    /// addresses has all names.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.allow
            .as_ref()
            .is_none_or(|allow| allow.names.contains(name) || allow.networks.iter().any(|(_, bits)| *bits == 0))
    }

    /// Remembers an address that a name that may be asked for was answered with.
    pub(super) fn pin(&mut self, address: IpAddr, ttl: Duration, now: Instant) {
        if self.allow.is_none() {
            return;
        }
        if self.pins.len() >= PINS_MAX && !self.pins.contains_key(&address) {
            let first = self.pins.iter().min_by_key(|(_, until)| **until).map(|(address, _)| *address);
            first.map(|first| self.pins.remove(&first));
        }
        let until = self.pins.entry(address).or_insert(now);
        *until = (*until).max(now + ttl.min(TTL_MAX) + KEPT);
    }

    /// Whether an address may be reached. `is_own` says that it is one of the host's own.
    pub(super) fn judge(&self, address: IpAddr, is_own: bool, now: Instant) -> Result<(), Denial> {
        if is_nobody(address) {
            return Err(Denial::Nobody);
        }
        // A network does not mean the host that happens to be in it, and no name leads to it: names are others' to
        // answer.
        if (is_own || is_loopback(address)) && !self.has_exactly(address) {
            return Err(Denial::Host);
        }
        if is_link_local(address) && !self.has_within_link(address) {
            return Err(Denial::LinkLocal);
        }
        let Some(allow) = &self.allow else { return Ok(()) };
        let is_in = allow.networks.iter().any(|(first, bits)| is_within(address, *first, *bits))
            || self.pins.get(&address).is_some_and(|until| *until > now);
        if is_in { Ok(()) } else { Err(Denial::NotAllowed) }
    }

    fn networks(&self) -> &[(IpAddr, u8)] {
        self.allow.as_ref().map_or(&[], |allow| &allow.networks)
    }

    fn has_exactly(&self, address: IpAddr) -> bool {
        let width = if address.is_ipv4() { 32 } else { 128 };
        self.networks().contains(&(address, width))
    }

    fn has_within_link(&self, address: IpAddr) -> bool {
        let mut networks = self.networks().iter();
        networks.any(|(first, bits)| is_link_local(*first) && *bits >= 10 && is_within(address, *first, *bits))
    }
}

/// An address of many hosts or of none, or one of IPv4 in the form of the other family, which a kernel would take for what
/// it holds.
fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(found) => found.octets()[0] == 0 || found.octets()[0] >= 224,
        IpAddr::V6(found) => found.is_unspecified() || found.is_multicast() || found.to_ipv4_mapped().is_some(),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(found) => found.is_loopback(),
        // Also the form of IPv4 addresses that came before the mapped one.
        IpAddr::V6(found) => found.is_loopback() || found.to_ipv4().is_some_and(|inner| inner.is_loopback()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(found) => found.is_link_local(),
        IpAddr::V6(found) => {
            found.is_unicast_link_local() || found == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

fn is_within(address: IpAddr, first: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let rest = width.saturating_sub(u32::from(bits));
        one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    };
    match (address, first) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), Ipv4Addr::BITS),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), Ipv6Addr::BITS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(entries: &[&str]) -> Policy {
        let parse = |entry: &&str| match entry.split_once('/') {
            Some((first, bits)) => Allowed::Addresses { first: first.parse().unwrap(), bits: bits.parse().unwrap() },
            None => Allowed::Name((*entry).to_owned()),
        };
        Policy::new(Some(entries.iter().map(parse).collect()))
    }

    fn judge(policy: &Policy, address: &str) -> Result<(), Denial> {
        policy.judge(address.parse().unwrap(), false, Instant::now())
    }

    #[test]
    fn without_a_list_all_but_the_host_and_its_links_is_reached() {
        let open = Policy::new(None);
        for address in ["1.2.3.4", "10.0.0.1", "192.168.1.1", "2001:db8::1", "fd00::1"] {
            assert_eq!(judge(&open, address), Ok(()), "{address}");
        }
        for address in ["127.0.0.1", "127.255.0.1", "::1", "::127.0.0.1"] {
            assert_eq!(judge(&open, address), Err(Denial::Host), "{address}");
        }
        for address in ["0.0.0.0", "0.1.2.3", "224.0.0.251", "255.255.255.255", "::", "ff02::1", "::ffff:127.0.0.1"] {
            assert_eq!(judge(&open, address), Err(Denial::Nobody), "{address}");
        }
        for address in ["169.254.169.254", "fe80::1", "fd00:ec2::254"] {
            assert_eq!(judge(&open, address), Err(Denial::LinkLocal), "{address}");
        }
        let own = "192.168.1.5".parse().unwrap();
        assert_eq!(open.judge(own, true, Instant::now()), Err(Denial::Host));
        assert!(open.has_name("anything"));
    }

    #[test]
    fn a_list_has_its_networks_and_the_addresses_of_its_names() {
        let mut policy = policy(&["10.0.0.0/8", "2001:db8::/32", "crates.example"]);
        assert_eq!(judge(&policy, "10.255.0.1"), Ok(()));
        assert_eq!(judge(&policy, "2001:db8:1::1"), Ok(()));
        assert_eq!(judge(&policy, "11.0.0.1"), Err(Denial::NotAllowed));
        assert_eq!(judge(&policy, "2001:db9::1"), Err(Denial::NotAllowed));
        assert!(
            policy.has_name("crates.example") && !policy.has_name("a.crates.example") && !policy.has_name("example")
        );
        let now = Instant::now();
        let address = "11.0.0.1".parse().unwrap();
        policy.pin(address, Duration::from_secs(5), now);
        assert_eq!(policy.judge(address, false, now + KEPT), Ok(()));
        assert_eq!(policy.judge(address, false, now + KEPT + Duration::from_secs(6)), Err(Denial::NotAllowed));
        policy.pin(address, Duration::MAX, now);
        assert_eq!(policy.judge(address, false, now + TTL_MAX + KEPT), Err(Denial::NotAllowed));
        assert_eq!(judge(&Policy::new(Some(Vec::new())), "1.1.1.1"), Err(Denial::NotAllowed));
    }

    #[test]
    fn the_host_is_reached_where_its_very_address_is_allowed() {
        let own: IpAddr = "10.1.2.3".parse().unwrap();
        let now = Instant::now();
        let mut wide = policy(&["10.0.0.0/8", "0.0.0.0/0"]);
        wide.pin(own, KEPT, now);
        assert_eq!(wide.judge(own, true, now), Err(Denial::Host));
        assert_eq!(policy(&["10.1.2.3/32"]).judge(own, true, now), Ok(()));
        assert_eq!(judge(&policy(&["127.0.0.1/32"]), "127.0.0.1"), Ok(()));
        assert_eq!(judge(&policy(&["127.0.0.0/8"]), "127.0.0.1"), Err(Denial::Host));
        // A name that somebody answers with an address of the host does not lead there.
        let mut named = policy(&["rebound.example"]);
        for address in ["127.0.0.1", "169.254.169.254"] {
            named.pin(address.parse().unwrap(), KEPT, now);
            assert!(judge(&named, address).is_err(), "{address}");
        }
    }

    #[test]
    fn the_link_is_reached_where_a_part_of_it_is_allowed() {
        assert_eq!(judge(&policy(&["0.0.0.0/0"]), "169.254.169.254"), Err(Denial::LinkLocal));
        assert_eq!(judge(&policy(&["169.254.0.0/16"]), "169.254.169.254"), Ok(()));
        assert!(policy(&["0.0.0.0/0"]).has_name("a.example"));
    }

    #[test]
    fn pins_are_bounded_and_the_oldest_goes() {
        let mut policy = policy(&["a.example"]);
        let now = Instant::now();
        for number in 0..u32::try_from(PINS_MAX).unwrap() + 10 {
            policy.pin(Ipv4Addr::from_bits(0x0100_0000 + number).into(), Duration::from_secs(number.into()), now);
        }
        assert_eq!(policy.pins.len(), PINS_MAX);
        assert_eq!(judge(&policy, "1.0.0.0"), Err(Denial::NotAllowed));
        assert_eq!(judge(&policy, "1.0.16.0"), Ok(()));
    }

    proptest! {
        #[test]
        fn a_network_has_what_shares_its_bits(address: u32, first: u32, bits in 0_u8..=32) {
            let rest = 32 - u32::from(bits);
            let is_same = u64::from(address) >> rest == u64::from(first) >> rest;
            prop_assert_eq!(is_within(Ipv4Addr::from(address).into(), Ipv4Addr::from(first).into(), bits), is_same);
        }

        #[test]
        fn no_address_of_the_old_family_hides_in_the_new(address: u32) {
            let mapped = IpAddr::V6(Ipv4Addr::from(address).to_ipv6_mapped());
            prop_assert!(policy(&["::/0", "0.0.0.0/0"]).judge(mapped, false, Instant::now()).is_err());
        }
    }
}
