//! `ports` and `links` of a machine.

use std::net::{IpAddr, Ipv4Addr};

use super::super::addresses::{parse_link_port, parse_port};
use super::super::model::{Link, Port, Spanned};
use super::super::scalars::FormError;
use super::super::tree::Content;
use super::fields::Fields;
use super::reader::{Reader, TextForm, Value, quoted, shown};

const LINK_HELP: &str = "write `MACHINE:PORT`, as `db:5432`";
const PORT_HELP: &str = "write `HOST:GUEST`, as `8080:80`, or `ADDRESS:HOST:GUEST`";

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
        if matches!(self.content(value), Content::List(_)) {
            let diagnostic = self.wrong_type(value, "an entry of `ports`", "text, as `8080:80`");
            self.report(diagnostic.help(PORT_HELP));
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
                self.no_port(value, &text, error);
                None
            }
        }
    }

    fn no_port(&mut self, value: Value, text: &str, error: FormError) {
        let message = format!("{} cannot be read as a port", shown(text));
        let diagnostic = self.error(5, value, message, error.expected);
        let is_alone = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        self.report(match error.instead {
            Some(instead) if is_alone => {
                let help = format!("write `{instead}`, or `0:{text}` for any free port of this host");
                self.replace(diagnostic.help(help), false, value, quoted(&instead))
            }
            Some(instead) if text.contains('-') => {
                diagnostic.help(format!("write an entry for each port; the first is `{instead}`"))
            }
            Some(instead) => {
                let help = format!("write `{instead}`");
                self.replace_part(diagnostic.help(help), error.is_certain, value, text, instead)
            }
            None if text.contains('/') => diagnostic.help("take this entry out, or publish a port of TCP"),
            None => diagnostic.help(PORT_HELP),
        });
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
            None => PORT_HELP.to_owned(),
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
        if !matches!(self.content(value), Content::Scalar(_) | Content::Poison) {
            let diagnostic = self.wrong_type(value, "an entry of `links`", "text, as `db:5432`");
            let help = self.pair(value).map_or_else(|| LINK_HELP.to_owned(), |pair| format!("write `{pair}`"));
            self.report(diagnostic.help(help));
            return None;
        }
        let text = self.text_as(value, "an entry of `links`", "text, as `db:5432`", TextForm::Loose)?.value;
        let split = text.rsplit_once(':').filter(|(name, _)| !name.is_empty());
        if let Some((name, port)) = split
            && (!name.contains(':') || name.ends_with(']'))
            && let Some(port) = parse_link_port(port)
        {
            let place = self.part(value, &text, 0..name.len());
            return Some(Link { machine: Spanned { value: name.to_owned(), span: place.span }, port });
        }
        self.no_link(value, &text, split);
        None
    }

    /// The text of a map with one entry, as YAML reads `db: 5432`.
    fn pair(&self, value: Value) -> Option<String> {
        let Content::Map(map) = self.content(value) else { return None };
        let [entry] = map.entries.as_slice() else { return None };
        match &self.tree.node(self.tree.resolve(entry.value).0).content {
            Content::Scalar(scalar) => parse_link_port(&scalar.text).map(|port| format!("{}:{port}", entry.key)),
            _ => None,
        }
    }

    fn no_link(&mut self, value: Value, text: &str, split: Option<(&str, &str)>) {
        let error =
            |reader: &Self, label| reader.error(5, value, format!("{} cannot be read as a link", shown(text)), label);
        let bare = text.strip_suffix("/tcp").filter(|bare| bare.rsplit_once(':').is_some());
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let diagnostic = if let Some(bare) = bare {
            let diagnostic =
                error(self, "a link is always TCP, and is written without `/tcp`").help(format!("write `{bare}`"));
            self.replace_part(diagnostic, true, value, text, bare.to_owned())
        } else if let Some((name, port)) = split.filter(|(name, port)| name.contains(':') && is_number(port)) {
            let name = name.split(':').next().unwrap_or(name);
            let help =
                format!("write `{name}:{port}`: a machine listens on one port, which is reached under the same number");
            error(self, "a link is `MACHINE:PORT`").help(help)
        } else if let Some((link, name)) = split.and_then(|(link, alias)| {
            let (name, port) = link.rsplit_once(':')?;
            (parse_link_port(port).is_some() && !alias.is_empty()).then_some((link, name))
        }) {
            let help = format!("write `{link}`: the machine is reached as `{name}`, and has no other name");
            self.replace_part(
                error(self, "a link has no name of its own").help(help),
                false,
                value,
                text,
                link.to_owned(),
            )
        } else if let Some((name, port)) = split.filter(|(_, port)| !port.is_empty()) {
            let label = if is_number(port) {
                "ports are numbers from 1 to 65535"
            } else {
                "what stands after the `:` is not a port"
            };
            error(self, label).help(format!("write `{name}:PORT`; a machine is reached under its own name"))
        } else if is_number(text.trim_start_matches(':')) {
            let help = format!("write `MACHINE:{}`", text.trim_start_matches(':'));
            error(self, "the machine is missing").help(help)
        } else if text.trim_end_matches(':').is_empty() {
            error(self, "a machine and a port belong here").help(LINK_HELP)
        } else {
            let help = format!("write the port that it listens on too, as `{}:5432`", text.trim_end_matches(':'));
            error(self, "the port is missing").help(help)
        };
        self.report(diagnostic);
    }
}
