//! `network` of a machine; rule 0704.

use super::super::addresses::parse_destination;
use super::super::model::{Access, Destination, Network, NetworkMode};
use super::super::tree::Content;
use super::fields::Fields;
use super::keys::NETWORK;
use super::reader::{Reader, TextForm, Value, shown};

const DESTINATION_HELP: &str = "write a host name, an address or a network, as `crates.example` or `10.0.0.0/8`";

impl Reader<'_> {
    /// What a machine reaches, and from where it is reached.
    pub(super) fn network(&mut self, fields: &Fields) -> Network {
        let access = fields.get("network").and_then(|value| self.access(value));
        Network { access, ports: self.ports(fields), links: self.links(fields) }
    }

    fn access(&mut self, value: Value) -> Option<Access> {
        match self.content(value) {
            Content::Map(_) => self.long_access(value),
            Content::List(_) => {
                let diagnostic = self.wrong_type(value, "`network`", "`none`, `nat`, or a map");
                self.report(diagnostic.help("write `nat`, or `{ mode: nat, allow: [HOST] }`"));
                None
            }
            _ => self.network_mode(value, "`network`").map(|mode| Access { mode, allow: None, span: value.span }),
        }
    }

    fn network_mode(&mut self, value: Value, what: &str) -> Option<NetworkMode> {
        let other = match self.content(value) {
            Content::Scalar(scalar) => match scalar.text.as_str() {
                "bridge" | "host" | "default" | "slirp4netns" | "pasta" | "true" | "yes" | "on" => Some("nat"),
                "false" | "no" | "off" | "isolated" => Some("none"),
                _ => None,
            },
            _ => None,
        };
        if let (Some(instead), Content::Scalar(scalar)) = (other, self.content(value)) {
            let message = format!("{what} cannot be `{}`", scalar.text);
            let diagnostic = self.error(5, value, message, "not one of the words known here");
            let diagnostic = diagnostic.help(format!("write `{instead}`; known words: `none`, `nat`"));
            let diagnostic = self.replace(diagnostic, false, value, instead.to_owned());
            self.report(diagnostic);
            return None;
        }
        let word = self.word(value, what, &["none", "nat"])?;
        Some(if word == "nat" { NetworkMode::Nat } else { NetworkMode::None })
    }

    fn long_access(&mut self, value: Value) -> Option<Access> {
        let fields = self.fields(value, &NETWORK)?;
        let mode = match fields.get("mode") {
            Some(mode) => self.network_mode(mode, "`mode` of `network`"),
            None if fields.has("mode") => None,
            None if fields.has("allow") => Some(NetworkMode::None),
            None => {
                self.missing(&fields, "mode", "`network`", value.span, "write `mode: nat`, or `mode: none`");
                None
            }
        };
        let allow = fields.get("allow").map(|value| self.destinations(value));
        if mode == Some(NetworkMode::None)
            && let Some(span) = fields.key_span("allow")
        {
            self.allow_without_nat(&fields, Value { span, ..value });
        }
        Some(Access { mode: mode?, allow, span: value.span })
    }

    /// Rule 0704.
    fn allow_without_nat(&mut self, fields: &Fields, key: Value) {
        let message = "`allow` of `network` goes with `mode: nat` only";
        let diagnostic = self.error(704, key, message, "nothing is reached without a network");
        let Some(mode) = fields.get("mode") else {
            self.report(diagnostic.help("write `mode: nat` beside it, or take `allow` out"));
            return;
        };
        let diagnostic = diagnostic.label(mode.span, "the machine has no network");
        let diagnostic = diagnostic.help("write `mode: nat`, or take `allow` out");
        let diagnostic = self.replace(diagnostic, false, mode, "nat".to_owned());
        self.report(diagnostic);
    }

    fn destinations(&mut self, value: Value) -> Vec<Destination> {
        let items = self.list(value, "`allow`").unwrap_or_default();
        items.into_iter().filter_map(|item| self.destination(item)).collect()
    }

    fn destination(&mut self, value: Value) -> Option<Destination> {
        if matches!(self.content(value), Content::Map(_) | Content::List(_)) {
            let diagnostic = self.wrong_type(value, "an entry of `allow`", "text");
            self.report(diagnostic.help(DESTINATION_HELP));
            return None;
        }
        let text = self.text(value, "an entry of `allow`", TextForm::Loose)?.value;
        match parse_destination(&text) {
            Ok(destination) => Some(destination),
            Err(error) => {
                let message = format!("{} is not a host or a network", shown(&text));
                let diagnostic = self.error(5, value, message, error.expected);
                self.report(match error.instead {
                    Some(instead) => {
                        let diagnostic = diagnostic.help(format!("write `{instead}`"));
                        self.replace_part(diagnostic, error.is_certain, value, &text, instead)
                    }
                    None => diagnostic.help(DESTINATION_HELP),
                });
                None
            }
        }
    }
}
