//! `ports` and `links` of a machine.

use std::net::{IpAddr, Ipv4Addr};

use super::super::addresses::{parse_link_port, parse_port};
use super::super::model::{Link, Port, Spanned};
use super::super::tree::Content;
use super::fields::Fields;
use super::reader::{Reader, TextForm, Value, shown};

impl Reader<'_> {
    /// `ports`: entries that cannot be read are left out.
    pub(super) fn ports(&mut self, fields: &Fields) -> Vec<Port> {
        let Some(value) = fields.get("ports") else { return Vec::new() };
        let items = self.list(value, "`ports`").unwrap_or_default();
        items.into_iter().filter_map(|item| self.port(item)).collect()
    }

    fn port(&mut self, value: Value) -> Option<Port> {
        if matches!(self.content(value), Content::Map(_)) {
            self.long_port(value);
            return None;
        }
        let text = self.text_as(value, "an entry of `ports`", "text, as `8080:80`", TextForm::Loose)?.value;
        match parse_port(&text) {
            Ok(form) => Some(Port {
                address: form.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                host: form.host,
                guest: form.guest,
                span: value.span,
                via: value.via,
            }),
            Err(error) => {
                let diagnostic =
                    self.error(5, value, format!("the port {} cannot be read", shown(&text)), error.expected);
                let is_alone = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                self.report(match error.instead {
                    Some(instead) if is_alone => {
                        let help = format!("write `{instead}`, or `0:{text}` for any free port of this host");
                        self.replace(diagnostic.help(help), false, value, format!("\"{instead}\""))
                    }
                    Some(instead) => {
                        let help = format!("write `{instead}`");
                        self.replace_part(diagnostic.help(help), error.is_certain, value, &text, instead)
                    }
                    None if text.contains('/') => diagnostic.help("take this entry out, or publish a port of TCP"),
                    None => diagnostic.help("write `HOST:GUEST`, as `8080:80`, or `ADDRESS:HOST:GUEST`"),
                });
                None
            }
        }
    }

    /// The long form of compose.
    fn long_port(&mut self, value: Value) {
        let scalar = |key: &str| match self.content(value) {
            Content::Map(map) => map.entries.iter().find(|entry| entry.key == key).and_then(|entry| {
                match &self.tree.node(self.tree.resolve(entry.value).0).content {
                    Content::Scalar(scalar) => Some(scalar.text.clone()),
                    _ => None,
                }
            }),
            _ => None,
        };
        let (target, published) = (scalar("target"), scalar("published").unwrap_or_else(|| "0".to_owned()));
        let address = scalar("host_ip")
            .map(|address| if address.contains(':') { format!("[{address}]:") } else { format!("{address}:") });
        let short = target.map(|target| format!("{}{published}:{target}", address.unwrap_or_default()));
        let help = match short.filter(|short| parse_port(short).is_ok()) {
            Some(short) => format!("write `{short}`"),
            None => "write `HOST:GUEST`, as `8080:80`".to_owned(),
        };
        let diagnostic = self.wrong_type(value, "an entry of `ports`", "text, as `8080:80`");
        self.report(diagnostic.help(help));
    }

    /// `links`: entries that cannot be read are left out.
    pub(super) fn links(&mut self, fields: &Fields) -> Vec<Link> {
        let Some(value) = fields.get("links") else { return Vec::new() };
        let items = self.list(value, "`links`").unwrap_or_default();
        items.into_iter().filter_map(|item| self.link(item)).collect()
    }

    fn link(&mut self, value: Value) -> Option<Link> {
        let text = self.text_as(value, "an entry of `links`", "text, as `db:5432`", TextForm::Strict)?.value;
        let split = text.rsplit_once(':').filter(|(name, _)| !name.is_empty());
        let port = split.and_then(|(_, port)| parse_link_port(port));
        if let (Some((name, _)), Some(port)) = (split, port) {
            let place = self.part(value, &text, 0..name.len());
            return Some(Link { machine: Spanned { value: name.to_owned(), span: place.span }, port });
        }
        let (label, help) = match split {
            _ if text.ends_with("/tcp") || text.ends_with("/udp") => {
                ("links are of TCP, and nothing says so", "write `MACHINE:PORT`, as `db:5432`".to_owned())
            }
            None if !text.is_empty() && !text.starts_with(':') => (
                "the port is missing",
                format!("write the port that it listens on too, as `{}:5432`", text.trim_end_matches(':')),
            ),
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
                ("ports are numbers from 1 to 65535", format!("write `{name}:PORT` with the port that it listens on"))
            }
            Some((name, _)) => (
                "what stands after the `:` is not a port",
                format!("write `{name}:PORT`; a machine is reached under its own name"),
            ),
            None => ("a machine and a port belong here", "write `MACHINE:PORT`, as `db:5432`".to_owned()),
        };
        let diagnostic = self.error(5, value, format!("the link {} cannot be read", shown(&text)), label);
        self.report(diagnostic.help(help));
        None
    }
}
