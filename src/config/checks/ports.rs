//! Rules about published ports: one that is published twice (0701), and one that this host does not give (0702).
//!
//! The cost is one look-up a port: of each number, the first entry at each address and the first at any are kept.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::mend::remove_repeated_item;
use super::world::World;
use crate::config::HostPorts;
use crate::config::addresses::addresses_meet;
use crate::config::model::{Machine, Port, Project};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// A port that a machine asks of this host by its number.
#[derive(Debug, Clone, Copy)]
struct Published<'a> {
    machine: &'a Machine,
    port: &'a Port,
}

/// Checks every published port.
pub(super) fn check_ports(world: &World<'_>, out: &mut Diagnostics) {
    let published = collect(world.project);
    if published.is_empty() {
        return;
    }
    let mut host = world.files.ports();
    if published.iter().any(|found| host.taken.iter().any(|taken| taken.port() == found.port.host)) {
        let own = world.files.held_ports(&world.project.name, &world.project.folder);
        host.taken.retain(|taken| !own.contains(taken));
    }
    let free = Free::new(&published, host);
    let ports: Vec<&Port> = published.iter().map(|found| found.port).collect();
    let doubles = find_doubles(&ports);
    for (found, earlier) in published.iter().zip(doubles) {
        match earlier {
            Some(earlier) => out.push(published_twice(world, &free, published[earlier], *found)),
            None => check_host(world, &free, *found, out),
        }
    }
}

fn collect(project: &Project) -> Vec<Published<'_>> {
    let machines = project.machines.iter();
    let all = machines.flat_map(|machine| machine.network.ports.iter().map(move |port| Published { machine, port }));
    all.filter(|found| found.port.host != 0).collect()
}

/// Of each port, the first one before it that is in its way.
fn find_doubles(ports: &[&Port]) -> Vec<Option<usize>> {
    #[derive(Default)]
    struct Number {
        first: Option<usize>,
        first_of_all: Option<usize>,
        by_address: HashMap<IpAddr, usize>,
    }
    let mut numbers: HashMap<u16, Number> = HashMap::new();
    let mut doubles = Vec::with_capacity(ports.len());
    for (index, port) in ports.iter().enumerate() {
        let address = port.address.to_canonical();
        let number = numbers.entry(port.host).or_default();
        let earlier = if address.is_unspecified() {
            number.first
        } else {
            let same = number.by_address.get(&address).copied();
            same.into_iter().chain(number.first_of_all).min()
        };
        doubles.push(earlier);
        number.first.get_or_insert(index);
        if address.is_unspecified() {
            number.first_of_all.get_or_insert(index);
        }
        number.by_address.entry(address).or_insert(index);
    }
    doubles
}

/// So many ports are looked at to suggest one.
const NEAR_MAX: usize = 100;

/// What this host has, and what is there to be suggested.
struct Free {
    used: HashSet<u16>,
    host: HostPorts,
    taken: HashMap<u16, Vec<IpAddr>>,
}

impl Free {
    fn new(published: &[Published<'_>], host: HostPorts) -> Self {
        let mut taken: HashMap<u16, Vec<IpAddr>> = HashMap::new();
        for address in &host.taken {
            taken.entry(address.port()).or_default().push(address.ip());
        }
        Self { used: published.iter().map(|found| found.port.host).collect(), host, taken }
    }

    /// Another port of the host for an entry, and any free one.
    fn help(&self, port: &Port) -> String {
        let any = show(port, 0);
        match self.near(port.host) {
            Some(near) => {
                format!("write another port of this host, as `{}`, or `{any}` for any free one", show(port, near))
            }
            None => format!("write `{any}` for any free port of this host"),
        }
    }

    /// A port near to a number: for low ones, what they are usually called instead.
    fn near(&self, number: u16) -> Option<u16> {
        let start =
            if number < self.host.first_unprivileged { number.checked_add(8000)? } else { number.checked_add(1)? };
        let is_free = |port: &u16| !self.used.contains(port) && !self.taken.contains_key(port);
        (start..=u16::MAX).take(NEAR_MAX).find(is_free)
    }
}

/// The entry with another port of the host, as short as it can be written.
fn show(port: &Port, host: u16) -> String {
    if port.address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return format!("{host}:{}", port.guest);
    }
    format!("{}:{}", SocketAddr::new(port.address, host), port.guest)
}

fn published_twice(world: &World<'_>, free: &Free, earlier: Published<'_>, later: Published<'_>) -> Diagnostic {
    let (mut first, mut second) = (earlier, later);
    if world.project.origins.is_later(first.port.span, second.port.span) {
        (first, second) = (second, first);
    }
    let (a, b) = (&first.machine.name, &second.machine.name);
    let number = second.port.host;
    let is_one_machine = std::ptr::eq(first.machine, second.machine);
    let is_one_matrix = a.span == b.span && !is_one_machine;
    let mut message = if is_one_matrix {
        let name = first.machine.declared_name();
        format!("the machines of the matrix of `{name}` all publish port {number} of this host")
    } else if is_one_machine {
        format!("machine `{}` publishes port {number} of this host twice", b.value)
    } else {
        format!("machines `{}` and `{}` both publish port {number} of this host", a.value, b.value)
    };
    let (one, other) = (first.port.address, second.port.address);
    if one.to_canonical() != other.to_canonical() {
        let all = if other.is_unspecified() { other } else { one };
        message.push_str(&format!(": `{}` is every address", bracketed(all)));
    }
    let diagnostic = Diagnostic::new(Code(701), Severity::Error, message);
    if first.port.span != second.port.span {
        let of = |found: Published<'_>| {
            if is_one_machine { String::new() } else { format!(", by machine `{}`", found.machine.name.value) }
        };
        let diagnostic = diagnostic
            .label(second.port.span, format!("published again{}", of(second)))
            .label(first.port.span, format!("published first here{}", of(first)));
        let is_repeat = is_one_machine && first.port.guest == second.port.guest && one == other;
        let edits = is_repeat.then(|| remove_repeated_item(world, first.port.span, second.port.span)).flatten();
        return match edits {
            Some(edits) => diagnostic.help("take one of them out").fix(true, edits),
            None => diagnostic.help(free.help(second.port)),
        };
    }
    if is_one_matrix {
        let any = show(second.port, 0);
        let help = format!("write `{any}` for any free port, or a variable of the matrix in the place of {number}");
        return diagnostic.label(second.port.span, "each machine of the matrix would publish it").help(help);
    }
    let labels = [second.port.via.map(|span| (span, b)), first.port.via.map(|span| (span, a))];
    let diagnostic = diagnostic.label(second.port.span, "both machines publish what stands here");
    let used = |diagnostic: Diagnostic, (span, name): (Span, &crate::config::model::Spanned<String>)| {
        diagnostic.label(span, format!("used by machine `{}` here", name.value))
    };
    let diagnostic = labels.into_iter().flatten().fold(diagnostic, used);
    diagnostic.help(format!("write `ports:` in each machine, or `{}` for any free port", show(second.port, 0)))
}

fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

fn check_host(world: &World<'_>, free: &Free, found: Published<'_>, out: &mut Diagnostics) {
    let (port, host) = (found.port, &free.host);
    let name = &found.machine.name.value;
    if port.host < host.first_unprivileged && !host.may_use_all {
        let first = host.first_unprivileged;
        let message = format!("machine `{name}` publishes port {} of this host, without the right to do it", port.host);
        let label = format!("ports below {first} are not for {}", world.invoker_words());
        let setting = format!("sudo sysctl net.ipv4.ip_unprivileged_port_start={}", port.host);
        let help = format!("{}; or give ports from {} on to everybody: `{setting}`", free.help(port), port.host);
        out.push(Diagnostic::new(Code(702), Severity::Error, message).label(port.span, label).help(help));
        return;
    }
    let mut taken = free.taken.get(&port.host).into_iter().flatten();
    let Some(taken) = taken.find(|taken| addresses_meet(**taken, port.address)) else { return };
    let message =
        format!("port {} of this host, which machine `{name}` publishes, is taken by another program", port.host);
    let help = format!("{}; `ss -ltnp 'sport = :{}'` shows who has it", free.help(port), port.host);
    out.push(
        Diagnostic::new(Code(702), Severity::Warning, message)
            .label(port.span, format!("something listens at `{}` now", SocketAddr::new(*taken, port.host)))
            .help(help),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diag::FileId;

    fn port((address, host): (usize, u16)) -> Port {
        let address = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"][address];
        let span = Span { file: FileId(0), start: 0, end: 0 };
        Port { address: address.parse().unwrap(), host, guest: 80, span, via: None }
    }

    proptest! {
        #[test]
        fn what_is_in_the_way_is_what_a_comparison_of_all_pairs_finds(
            entries in proptest::collection::vec((0_usize..6, 1_u16..4), 0..30)
        ) {
            let ports: Vec<Port> = entries.into_iter().map(port).collect();
            let meets = |one: &Port, other: &Port| {
                one.host == other.host && addresses_meet(one.address, other.address)
            };
            let naive: Vec<Option<usize>> =
                (0..ports.len()).map(|at| (0..at).find(|before| meets(&ports[*before], &ports[at]))).collect();
            prop_assert_eq!(find_doubles(&ports.iter().collect::<Vec<_>>()), naive);
        }
    }
}
