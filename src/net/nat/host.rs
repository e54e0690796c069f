//! How this host finds names: its servers, and what it puts behind short names.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::addresses::DNS_PORT;

/// Where a host says it (resolv.conf(5)).
const FILE: &str = "/etc/resolv.conf";

/// As many as a C library uses.
const SERVERS_MAX: usize = 3;

/// More of it is not read.
const FILE_MAX: usize = 64 << 10;

/// As many and as long as a C library takes.
const SEARCH_MAX: usize = 6;
const SEARCH_BYTES_MAX: usize = 256;

/// Where the servers of names are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// From this computer's file, each time anew: networks change.
    OfHost,
    /// These.
    Fixed(Vec<SocketAddr>),
}

impl Resolvers {
    /// Reads servers as a user writes them: addresses, each with or without a port, with commas between. `None` for what
    /// is none.
    pub fn parse(text: &str) -> Option<Self> {
        let one = |text: &str| {
            let text = text.trim();
            text.parse::<SocketAddr>().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS_PORT)))
        };
        text.split(',').map(one).collect::<Option<Vec<_>>>().map(Self::Fixed)
    }

    /// The servers as they are now.
    pub(super) fn servers(&self) -> Vec<SocketAddr> {
        match self {
            Self::Fixed(servers) => servers.clone(),
            Self::OfHost => parse_servers(&read(Path::new(FILE))),
        }
    }

    /// What is put behind short names, for the machine's own file.
    pub fn search(&self) -> Vec<String> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::OfHost => parse_search(&read(&PathBuf::from(FILE))),
        }
    }
}

/// A file that cannot be read names nothing.
fn read(path: &Path) -> String {
    let mut text = std::fs::read(path).unwrap_or_default();
    text.truncate(FILE_MAX);
    String::from_utf8_lossy(&text).into_owned()
}

fn words<'a>(text: &'a str, key: &'static str) -> impl Iterator<Item = std::str::SplitWhitespace<'a>> {
    text.lines().filter_map(move |line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(key)).then_some(words)
    })
}

fn parse_servers(text: &str) -> Vec<SocketAddr> {
    let address = |mut words: std::str::SplitWhitespace<'_>| words.next()?.parse::<IpAddr>().ok();
    let servers = words(text, "nameserver").filter_map(address).map(|address| SocketAddr::new(address, DNS_PORT));
    servers.take(SERVERS_MAX).collect()
}

/// The last line counts.
fn parse_search(text: &str) -> Vec<String> {
    let is_plain =
        |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    let last = words(text, "search").last().map(|words| words.filter(is_plain).take(SEARCH_MAX).collect::<Vec<_>>());
    let mut domains: Vec<String> = last.unwrap_or_default().into_iter().map(str::to_owned).collect();
    while domains.iter().map(|domain| domain.len() + 1).sum::<usize>() > SEARCH_BYTES_MAX {
        domains.pop();
    }
    domains
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn servers_and_domains_are_read_as_a_c_library_does() {
        let text = "# one\nnameserver 10.0.0.1 # two\n nameserver ::1\nnameserver fe80::1%eth0\nnameserver 1.1.1.1\n\
                    nameserver 2.2.2.2\nsearch old.example\nsearch corp.example b.example ;rm\noptions ndots:1\n";
        let expected = ["10.0.0.1:53", "[::1]:53", "1.1.1.1:53"].map(|address| address.parse().unwrap());
        assert_eq!(parse_servers(text), expected);
        assert_eq!(parse_search(text), ["corp.example", "b.example"]);
        assert!(parse_servers("").is_empty() && parse_search("").is_empty());
    }

    #[test]
    fn servers_of_a_user_have_a_port_or_the_usual_one() {
        let fixed = |list: &[&str]| Some(Resolvers::Fixed(list.iter().map(|one| one.parse().unwrap()).collect()));
        assert_eq!(Resolvers::parse("10.0.0.1, [::1]:5353"), fixed(&["10.0.0.1:53", "[::1]:5353"]));
        assert_eq!(Resolvers::parse("::1"), fixed(&["[::1]:53"]));
        for text in ["", "dns.example", "10.0.0.1,", "10.0.0.1:99999"] {
            assert_eq!(Resolvers::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_file_gives_bounded_lists(text in "([a-z#. \n:0-9]|nameserver |search ){0,400}") {
            prop_assert!(parse_servers(&text).len() <= SERVERS_MAX);
            let search = parse_search(&text);
            prop_assert!(search.join(" ").len() <= SEARCH_BYTES_MAX && search.iter().all(|domain| !domain.contains('\n')));
        }
    }
}
