//! What a machine's network has to tell, each thing once.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::addresses::GATEWAY_NAME;
use super::policy::Denial;

/// Things that are told; past that one more says that there are more.
const TOLD_MAX: usize = 100;

/// Longest name that is told.
const NAME_MAX: usize = 253;

/// A fact worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NatNews {
    /// A name that `allow` does not have was asked for.
    Name(String),
    /// An address was tried that may not be reached.
    Address(SocketAddr, Denial),
    /// This computer names no server of names.
    NoResolver,
    /// This computer lets its users send no echo requests.
    NoEcho,
    /// There are as many connections as may be.
    Full,
    /// No more is told.
    More,
}

impl fmt::Display for NatNews {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What a machine asked for is shown as it is only where it cannot be taken for something else.
            Self::Name(name) => {
                let name: String =
                    name.chars().take(NAME_MAX).map(|letter| if is_plain(letter) { letter } else { '?' }).collect();
                write!(out, "the name `{name}` is blocked: it is not in `allow` of its `network`")
            }
            // Echoes have no port.
            Self::Address(address, denial) if address.port() == 0 => {
                write_denial(out, &address.ip(), address.ip(), *denial)
            }
            Self::Address(address, denial) => write_denial(out, address, address.ip(), *denial),
            Self::NoResolver => out.write_str("no name is found: `/etc/resolv.conf` of this computer names no server"),
            Self::NoEcho => out.write_str(
                "`ping` has no answers: this computer does not let its users send echo requests (`sysctl \
                 net.ipv4.ping_group_range`)",
            ),
            Self::Full => out.write_str("it has as many connections as it may have, and further ones are refused"),
            Self::More => out.write_str("more was blocked, and is not told"),
        }
    }
}

/// Says that `what`, which is at this address, is blocked, and what to do where it should not be.
fn write_denial(out: &mut fmt::Formatter<'_>, what: &impl fmt::Display, at: IpAddr, denial: Denial) -> fmt::Result {
    write!(out, "{what} is blocked: ")?;
    match denial {
        Denial::Host => {
            write!(out, "it is this computer itself; where that is meant, have `{at}` in `allow`")?;
            if at.is_loopback() { write!(out, " and use the name `{GATEWAY_NAME}`") } else { Ok(()) }
        }
        Denial::LinkLocal => write!(
            out,
            "it is of this computer's link, where clouds give out credentials; where that is meant, have `{at}` in `allow`"
        ),
        Denial::Nobody | Denial::NotAllowed => {
            out.write_str("neither this address nor a name that was answered with it is in `allow` of its `network`")
        }
    }
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')
}

/// What was told, and what is yet to be.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: HashSet<NatNews>,
    waiting: Vec<NatNews>,
}

impl Teller {
    /// Tells something, unless it was told before.
    pub(super) fn tell(&mut self, news: NatNews) {
        // An address is one thing, whatever its port.
        let key = match news {
            NatNews::Address(address, denial) => NatNews::Address(SocketAddr::new(address.ip(), 0), denial),
            ref other => other.clone(),
        };
        if self.told.len() > TOLD_MAX || self.told.contains(&key) {
            return;
        }
        let (news, key) = if self.told.len() == TOLD_MAX { (NatNews::More, NatNews::More) } else { (news, key) };
        self.told.insert(key);
        self.waiting.push(news);
    }

    /// What is to be told now.
    pub(super) fn take(&mut self) -> Vec<NatNews> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_not_without_end() {
        let mut teller = Teller::default();
        for number in 0..1000 {
            teller.tell(NatNews::Name(format!("{number}.example")));
            teller.tell(NatNews::Name("0.example".to_owned()));
        }
        let told = teller.take();
        assert_eq!((told.len(), told.last()), (TOLD_MAX + 1, Some(&NatNews::More)));
        teller.tell(NatNews::NoResolver);
        assert!(teller.take().is_empty());
    }

    #[test]
    fn what_a_machine_asked_for_cannot_draw_on_the_terminal() {
        let news = NatNews::Name("a\u{1b}[31m`b\n.example".to_owned());
        assert_eq!(news.to_string(), "the name `a??31m?b?.example` is blocked: it is not in `allow` of its `network`");
    }

    #[test]
    fn a_blocked_address_says_what_to_do() {
        let told = |address: &str, denial| NatNews::Address(address.parse().unwrap(), denial).to_string();
        assert!(told("10.0.0.1:22", Denial::Host).ends_with("have `10.0.0.1` in `allow`"));
        assert!(told("127.0.0.1:80", Denial::Host).ends_with("in `allow` and use the name `host.smolvm.internal`"));
        assert!(told("10.0.0.1:0", Denial::Host).starts_with("10.0.0.1 is blocked"));
        assert!(told("169.254.169.254:80", Denial::LinkLocal).contains("credentials"));
    }
}
