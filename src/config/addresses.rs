//! Forms of ports, addresses and host names: text in, value or help out; no places, no files.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::model::{Destination, Port};
use super::scalars::FormError;

const PORT_FORM: &str = "a port is `[HOST_IP:]HOST:GUEST`";

/// The parts of an entry of `ports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortForm {
    /// Address of the host, where one is written.
    pub(super) address: Option<IpAddr>,
    pub(super) host: u16,
    pub(super) guest: u16,
}

/// Reads `[HOST_IP:]HOST:GUEST`.
pub(super) fn parse_port(text: &str) -> Result<PortForm, FormError> {
    if text.contains(char::is_whitespace) {
        let packed = text.split_whitespace().collect::<String>();
        let spaced = instead("there are no spaces in a port", packed, true);
        return Err(if spaced.instead.is_some() { spaced } else { bare(PORT_FORM) });
    }
    if let Some((before, protocol)) = text.rsplit_once('/') {
        return Err(with_protocol(before, protocol));
    }
    let (address, ports) = split_address(text)?;
    let parts: Vec<&str> = ports.split(':').collect();
    if parts.iter().any(|part| part.contains('-')) {
        return Err(range(text, &parts));
    }
    let [host, guest] = parts.as_slice() else { return Err(alone(text)) };
    let host = if address.is_some() && host.is_empty() { return Err(any_free(text)) } else { port_number(host, 0)? };
    Ok(PortForm { address, host, guest: port_number(guest, 1)? })
}

/// The address, and what stands after it.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str), FormError> {
    if let Some(rest) = text.strip_prefix('[') {
        let split = rest.split_once("]:");
        let address = split.and_then(|(address, ports)| Some((address.parse::<Ipv6Addr>().ok()?, ports)));
        let (address, ports) = address.ok_or_else(|| bare("in brackets stands an address of IPv6, as `[::1]`"))?;
        return Ok((Some(usable(IpAddr::V6(address))?), ports));
    }
    let mut parts = text.rsplitn(3, ':');
    let (guest, host, address) = (parts.next(), parts.next(), parts.next());
    let (Some(address), Some(_), Some(_)) = (address, host, guest) else { return Ok((None, text)) };
    let ports = &text[address.len() + 1..];
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(found)) => Ok((Some(usable(IpAddr::V4(found))?), ports)),
        Ok(IpAddr::V6(_)) => {
            Err(instead("an address of IPv6 stands in brackets", format!("[{address}]:{ports}"), false))
        }
        Err(_) if address.eq_ignore_ascii_case("localhost") => {
            Err(instead("this is a name, not an address", format!("127.0.0.1:{ports}"), false))
        }
        Err(_) if address == "*" => {
            Err(instead("every address is written `0.0.0.0`", format!("0.0.0.0:{ports}"), true))
        }
        Err(_) if address.is_empty() => {
            Err(instead("there is no address before the first `:`", ports.to_owned(), false))
        }
        Err(_) => Err(bare("what stands before the ports is not an address of this host, as `127.0.0.1`")),
    }
}

/// An address that a server can be reached under.
fn usable(address: IpAddr) -> Result<IpAddr, FormError> {
    let is_broadcast = matches!(address, IpAddr::V4(found) if found.is_broadcast());
    if address.is_multicast() || is_broadcast {
        return Err(bare("this is an address of many hosts, and TCP needs one"));
    }
    Ok(address)
}

fn port_number(text: &str, least: u16) -> Result<u16, FormError> {
    let number = (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u16>().ok());
    match number {
        Some(Some(number)) if number >= least => Ok(number),
        Some(Some(_)) => Err(bare("a port of the guest is a number from 1 to 65535; only that of the host may be 0")),
        Some(None) => Err(bare("ports are numbers up to 65535")),
        None => Err(bare(PORT_FORM)),
    }
}

/// A port as it is written in full.
pub(super) fn show_port(port: &Port) -> String {
    format!("{}:{}", SocketAddr::new(port.address, port.host), port.guest)
}

/// Reads the port of a link.
pub(super) fn parse_link_port(text: &str) -> Option<u16> {
    port_number(text, 1).ok()
}

fn bare(expected: &'static str) -> FormError {
    FormError { expected, instead: None, is_certain: false }
}

fn instead(expected: &'static str, instead: String, is_certain: bool) -> FormError {
    let is_read = parse_port(&instead).is_ok();
    FormError { expected, instead: is_read.then_some(instead), is_certain }
}

fn with_protocol(before: &str, protocol: &str) -> FormError {
    if protocol.eq_ignore_ascii_case("tcp") {
        return match parse_port(before) {
            Err(error) => FormError { is_certain: false, ..error },
            Ok(_) => instead("a port is always TCP, and is written without `/tcp`", before.to_owned(), true),
        };
    }
    bare("only TCP can be published")
}

/// A guest's port alone, or something else: compose chooses any free port of the host.
fn alone(text: &str) -> FormError {
    let one = instead("a port of this host and one of the guest belong here", format!("{text}:{text}"), false);
    if one.instead.is_some() { one } else { bare(PORT_FORM) }
}

fn any_free(text: &str) -> FormError {
    let any = text.rfind("::").map(|at| format!("{}:0:{}", &text[..at], &text[at + 2..]));
    match any {
        Some(any) => instead("there is no port of this host; 0 is any free one", any, true),
        None => bare(PORT_FORM),
    }
}

/// `8080-8081:80-81`: the first of its entries.
fn range(text: &str, parts: &[&str]) -> FormError {
    let first: Vec<&str> = parts.iter().map(|part| part.split('-').next().unwrap_or_default()).collect();
    let address = &text[..text.len() - parts.join(":").len()];
    let first = if let [port] = first.as_slice() { format!("{port}:{port}") } else { first.join(":") };
    instead("there are no ranges: each port has an entry of its own", format!("{address}{first}"), false)
}

/// Reads what `allow` names: a host, an address, or a network.
pub(super) fn parse_destination(text: &str) -> Result<Destination, FormError> {
    if let Some((address, bits)) = text.split_once('/')
        && let Ok(address) = address.parse::<IpAddr>()
    {
        return parse_network(address, bits);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Destination::Addresses { first: address, bits: width(address) });
    }
    if is_host_name(text) {
        return Ok(Destination::Name(text.to_ascii_lowercase()));
    }
    Err(destination_error(text))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn parse_network(address: IpAddr, bits: &str) -> Result<Destination, FormError> {
    let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
    let Some(bits) = bits.parse::<u8>().ok().filter(|bits| is_number && *bits <= width(address)) else {
        return Err(bare(if address.is_ipv4() {
            "after the `/` stands a number from 0 to 32"
        } else {
            "after the `/` stands a number from 0 to 128"
        }));
    };
    let first = first_address(address, bits);
    if first == address {
        return Ok(Destination::Addresses { first, bits });
    }
    Err(FormError {
        expected: "this is an address in a network, not the network",
        instead: Some(format!("{first}/{bits}")),
        is_certain: false,
    })
}

/// The address with all but its first bits cleared.
fn first_address(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(found) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((found.to_bits() & mask).into())
        }
        IpAddr::V6(found) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((found.to_bits() & mask).into())
        }
    }
}

/// Labels of letters, digits, `_` and inner dashes; the last one is no number, so that it is no address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn destination_error(text: &str) -> FormError {
    let destination = |expected, instead: &str| {
        let is_read = parse_destination(instead).is_ok();
        FormError { expected, instead: is_read.then(|| instead.to_owned()), is_certain: false }
    };
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return destination("only the host is named, not an address of the web", host);
    }
    if let Some(rest) = text.strip_prefix("*.") {
        return destination("each host is named for itself: `*` is not known", rest);
    }
    if let Some((host, port)) = text.split_once(':')
        && parse_link_port(port).is_some()
    {
        return destination("only the host is named: all of its ports are meant", host);
    }
    if let Some((host, _)) = text.split_once('/') {
        return destination("only the host is named, without a path", host);
    }
    if let Some(host) = text.strip_suffix('.') {
        return destination("a name has no `.` at its end", host);
    }
    if !text.is_ascii() {
        return bare("a name is written in ASCII, as `xn--…`");
    }
    bare("neither a host name nor an address")
}

/// Whether who listens at one address is in the way of who would listen at the other, on the same port. Nobody tells
/// whether `[::]` takes the addresses of IPv4 too, so it does.
pub(super) fn addresses_meet(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other || one.is_unspecified() || other.is_unspecified()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn instead(text: &str) -> Option<(String, bool)> {
        let error = parse_port(text).expect_err(text);
        error.instead.map(|instead| (instead, error.is_certain))
    }

    #[test]
    fn ports_are_read_with_addresses_of_both_families() {
        let port =
            |text| parse_port(text).map(|form| (form.address.map(|found| found.to_string()), form.host, form.guest));
        assert_eq!(port("22:22"), Ok((None, 22, 22)));
        assert_eq!(port("0:65535"), Ok((None, 0, 65535)));
        assert_eq!(port("0.0.0.0:0:8080"), Ok((Some("0.0.0.0".to_owned()), 0, 8080)));
        assert_eq!(port("[::1]:80:81"), Ok((Some("::1".to_owned()), 80, 81)));
        for text in ["", ":", "a:1", "1:a", "65536:1", "1:0", "+1:1", "1:-1", "[::1]80:81", "[]:1:1", "1:2:3:4", "1::"]
        {
            assert!(parse_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_of_compose_are_refused_with_the_entry_to_write() {
        for (text, meant, is_certain) in [
            ("5432", "5432:5432", false),
            ("80:80/tcp", "80:80", true),
            ("127.0.0.1::80", "127.0.0.1:0:80", true),
            ("[::1]::80", "[::1]:0:80", true),
            ("::1:80:80", "[::1]:80:80", false),
            ("8000-8009:80-89", "8000:80", false),
            ("127.0.0.1:8000-8009:80-89", "127.0.0.1:8000:80", false),
            ("*:80:80", "0.0.0.0:80:80", true),
            ("localhost:80:80", "127.0.0.1:80:80", false),
            ("80 : 80", "80:80", true),
        ] {
            assert_eq!(instead(text), Some((meant.to_owned(), is_certain)), "{text}");
        }
        assert_eq!([instead("80:80/udp"), instead("0"), instead("x/tcp")], [None, None, None]);
    }

    #[test]
    fn destinations_are_names_addresses_and_whole_networks() {
        let name = |text: &str| Ok(Destination::Name(text.to_owned()));
        assert_eq!(parse_destination("Crates.Example"), name("crates.example"));
        assert_eq!(parse_destination("localhost"), name("localhost"));
        let first = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0));
        assert_eq!(parse_destination("10.0.0.0/8"), Ok(Destination::Addresses { first, bits: 8 }));
        assert_eq!(parse_destination("10.0.0.0"), Ok(Destination::Addresses { first, bits: 32 }));
        for text in ["0.0.0.0/0", "::/0", "::1/128", "fe80::/10", "1.2.3.4/32"] {
            assert!(matches!(parse_destination(text), Ok(Destination::Addresses { .. })), "{text}");
        }
        for text in ["", "a..b", "-a", "a-", "1.2.3", "1.2.3.4/33", "::/129", "10.0.0.0/+8", "10.0.0.0/", "*", "a b"] {
            assert!(parse_destination(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_address_meets_all_and_mapped_ones_are_those_of_the_old_family() {
        let meet = |one: &str, other: &str| addresses_meet(one.parse().unwrap(), other.parse().unwrap());
        assert!(meet("127.0.0.1", "127.0.0.1") && meet("0.0.0.0", "::1") && meet("127.0.0.1", "::"));
        assert!(meet("::ffff:127.0.0.1", "127.0.0.1") && meet("::ffff:0.0.0.0", "10.0.0.1"));
        assert!(!meet("127.0.0.1", "127.0.0.2") && !meet("127.0.0.1", "::1"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_suggested_is_accepted(text in "[0-9a-f:./\\[\\]*x -]{0,24}") {
            if let Err(FormError { instead: Some(instead), .. }) = parse_port(&text) {
                prop_assert!(parse_port(&instead).is_ok(), "{instead}");
            }
            if let Err(FormError { instead: Some(instead), .. }) = parse_destination(&text) {
                prop_assert!(parse_destination(&instead).is_ok(), "{instead}");
            }
        }

        #[test]
        fn what_is_shown_is_read_again(bits in any::<u128>(), is_old in any::<bool>(), host in any::<u16>(), guest in 1..=u16::MAX) {
            let address = if is_old {
                IpAddr::V4(Ipv4Addr::from_bits((bits % (223 << 24)) as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits & (u128::MAX >> 8)))
            };
            let span = crate::diag::Span { file: crate::diag::FileId(0), start: 0, end: 0 };
            let port = Port { address, host, guest, span, via: None };
            prop_assert_eq!(parse_port(&show_port(&port)), Ok(PortForm { address: Some(address), host, guest }));
        }
    }
}
