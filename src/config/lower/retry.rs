//! `retry` of a step.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::model::Retry;
use super::super::tree::{Content, ScalarForm};
use super::fields::Fields;
use super::keys::RETRY;
use super::reader::{Reader, Value};

/// How many attempts a step may have.
const ATTEMPTS: RangeInclusive<u32> = 1..=100;

impl Reader<'_> {
    /// How often a step is tried; `None` is once.
    pub(super) fn retry(&mut self, fields: &Fields) -> Option<Retry> {
        let value = fields.get("retry")?;
        if !matches!(self.content(value), Content::Map(_) | Content::Poison) {
            self.retry_is_no_map(value);
            return None;
        }
        let fields = self.fields(value, &RETRY)?;
        let attempts = fields.get("attempts").and_then(|value| self.integer(value, "`attempts` of `retry`", &ATTEMPTS));
        let delay = fields.get("delay").and_then(|value| self.duration(value, "`delay` of `retry`"));
        Some(Retry { attempts: attempts.map_or(1, |attempts| attempts.value), delay: delay.unwrap_or(Duration::ZERO) })
    }

    /// A number is what other tools write, which count the attempts after the first one.
    fn retry_is_no_map(&mut self, value: Value) {
        let diagnostic = self.wrong_type(value, "`retry`", "a map");
        let more = match self.content(value) {
            Content::Scalar(scalar) if scalar.form() == ScalarForm::Number => scalar.text.parse::<u32>().ok(),
            _ => None,
        };
        let Some(all) = more.and_then(|more| more.checked_add(1)).filter(|all| ATTEMPTS.contains(all)) else {
            self.report(diagnostic.help("write `{ attempts: 2 }`, or take it out"));
            return;
        };
        let instead = format!("{{ attempts: {all} }}");
        let diagnostic = diagnostic.help(format!("write `{instead}`: the first attempt counts too"));
        let diagnostic = self.replace(diagnostic, false, value, instead);
        self.report(diagnostic);
    }
}
