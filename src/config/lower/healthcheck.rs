//! `healthcheck`, and the forms of its `test` in compose.

use std::time::Duration;

use super::super::model::{Command, Healthcheck, Spanned};
use super::super::tree::{Content, NodeId};
use super::fields::Fields;
use super::keys::HEALTHCHECK;
use super::reader::{Reader, TextForm, Value, quoted};
use crate::diag::{Code, Diagnostic, Edit, Severity, Span};

/// The defaults of compose.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// More than a year of tests, a second apart.
const RETRIES_MAX: u32 = 100_000_000;

impl Reader<'_> {
    /// `healthcheck`; `None` where it is not there, or does not tell when the service is ready.
    pub(super) fn healthcheck(
        &mut self,
        fields: &Fields,
        shell: Option<&Vec<String>>,
        machine: &str,
    ) -> Option<Healthcheck> {
        let (value, key_span) = (fields.get("healthcheck")?, fields.key_span("healthcheck")?);
        if !matches!(self.content(value), Content::Map(_) | Content::Poison) {
            let diagnostic = self.wrong_type(value, "`healthcheck`", "a map");
            let help = match self.content(value) {
                Content::Scalar(scalar) if !self.is_null(value) && !scalar.text.contains('\n') => {
                    format!("write `healthcheck: {{ test: {} }}`", quoted(&scalar.text))
                }
                _ => "write `healthcheck: { test: … }`, or take it out".to_owned(),
            };
            self.report(diagnostic.help(help));
            return None;
        }
        let keys = self.fields(value, &HEALTHCHECK)?;
        let test = keys.get("test").and_then(|value| self.health_test(value, shell));
        let log_line = keys.get("log_line").and_then(|value| self.log_line(value));
        let health = Healthcheck {
            interval: self.lasting(&keys, "interval", INTERVAL),
            timeout: self.lasting(&keys, "timeout", TIMEOUT),
            retries: keys
                .get("retries")
                .and_then(|value| self.integer(value, "`retries`", &(1..=RETRIES_MAX)))
                .map_or(RETRIES, |retries| retries.value),
            start_period: keys
                .get("start_period")
                .and_then(|value| self.duration(value, "`start_period`"))
                .unwrap_or_default(),
            start_interval: self.lasting(&keys, "start_interval", START_INTERVAL),
            test,
            log_line,
            key_span,
        };
        if !keys.has("test") && !keys.has("log_line") {
            let message = format!("the healthcheck of machine `{machine}` has neither `test` nor `log_line`");
            let mut diagnostic =
                Diagnostic::new(Code(6), Severity::Error, message).label(key_span, "this tells of no readiness");
            if let Some(via) = value.via {
                diagnostic = diagnostic.label(via, "used here");
            }
            let help = "write `test:` with a command that ends with 0 when the service is ready, or `log_line:` with \
                        a text that it prints then";
            self.report(diagnostic.help(help));
        }
        (health.test.is_some() || health.log_line.is_some()).then_some(health)
    }

    fn log_line(&mut self, value: Value) -> Option<Spanned<String>> {
        let text = self.text(value, "`log_line`", TextForm::Strict)?;
        if text.value.trim().is_empty() {
            let diagnostic = self.error(5, value, "`log_line` is empty, so that any line fits", "empty");
            self.report(diagnostic.help("write a part of the line that tells that the service is ready"));
            return None;
        }
        Some(text)
    }

    /// The command of a test. Compose's first words of a list are told, and read as what they mean.
    fn health_test(&mut self, value: Value, shell: Option<&Vec<String>>) -> Option<Spanned<Command>> {
        let items = match self.content(value) {
            Content::List(items) => items.as_slice(),
            Content::Scalar(scalar) if scalar.text == "NONE" => return self.no_test(value),
            _ => return self.command_of(value, "`test`", shell.cloned()),
        };
        match (self.scalar_text(items.first()).as_deref(), items) {
            (Some("NONE"), [_]) => self.no_test(value),
            (Some("CMD-SHELL"), [word, script]) => {
                let text = self.scalar_text(Some(script))?;
                let diagnostic = self.compose_test(*word, value, "CMD-SHELL");
                let diagnostic = diagnostic.help(format!("write `test: {}`", quoted(&text)));
                let is_flow = self.flow_gap(*word, *script).is_some();
                let edit = Edit { span: value.span, text: quoted(&text) };
                self.report(if is_flow && value.via.is_none() { diagnostic.fix(true, vec![edit]) } else { diagnostic });
                self.command_of(self.value(*script, value.span, value.via), "`test`", shell.cloned())
            }
            (Some("CMD"), [word, rest @ ..]) => {
                let words: Option<Vec<String>> = rest.iter().map(|item| self.scalar_text(Some(item))).collect();
                let mut diagnostic = self.compose_test(*word, value, "CMD");
                let shown =
                    words.as_ref().map(|words| words.iter().map(|word| flow(word)).collect::<Vec<_>>().join(", "));
                diagnostic = match shown.filter(|shown| !shown.is_empty() && shown.len() <= 200) {
                    Some(shown) => diagnostic.help(format!("leave `CMD` out: `test: [{shown}]`")),
                    None => diagnostic.help("leave `CMD` out: a list is a program and its arguments"),
                };
                if let Some(span) = rest.first().and_then(|next| self.flow_gap(*word, *next)) {
                    diagnostic = diagnostic.fix(true, vec![Edit { span, text: String::new() }]);
                }
                self.report(diagnostic);
                Some(Spanned { value: Command::List(words.filter(|words| !words.is_empty())?), span: value.span })
            }
            _ => self.command_of(value, "`test`", shell.cloned()),
        }
    }

    fn compose_test(&self, word: NodeId, list: Value, said: &str) -> Diagnostic {
        let word = self.value(word, list.span, list.via);
        let message = format!("`test` begins with `{said}`, a word of compose that would be run as a program");
        self.error(5, word, message, "not needed here")
    }

    fn no_test(&mut self, value: Value) -> Option<Spanned<Command>> {
        let message = "`test` is `NONE`, a word of compose for no healthcheck";
        let diagnostic = self.error(5, value, message, "this would be run as a program");
        self.report(diagnostic.help("take `healthcheck` out: an image's own healthcheck is not run by itself"));
        None
    }

    /// From the first word of a flow list up to the second one, where nothing but a comma stands between.
    fn flow_gap(&self, first: NodeId, second: NodeId) -> Option<Span> {
        let (first, second) = (self.tree.node(first).span, self.tree.node(second).span);
        let gap = second.start.checked_sub(first.end)?;
        (gap <= 2 && first.file == second.file).then_some(Span { end: second.start, ..first })
    }

    fn scalar_text(&self, item: Option<&NodeId>) -> Option<String> {
        match &self.tree.node(self.tree.resolve(*item?).0).content {
            Content::Scalar(scalar) => Some(scalar.text.clone()),
            _ => None,
        }
    }
}

/// A word of a flow list, quoted where YAML would read it otherwise.
fn flow(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "./_-+=".contains(c))
        && word.contains(|c: char| c.is_ascii_alphabetic());
    if is_plain { word.to_owned() } else { quoted(word) }
}
