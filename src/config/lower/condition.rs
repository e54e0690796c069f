//! `if` of a step: read, then its variables replaced.

use super::super::condition::{Mistake, Operand, parse_condition};
use super::super::interpolate::interpolate;
use super::super::model::Spanned;
use super::super::model::When;
use super::super::tree::{Content, ScalarForm};
use super::fields::Fields;
use super::reader::{Reader, Value, quoted};
use crate::diag::Diagnostic;

/// What GitHub Actions asks there, and what to write here.
const FOREIGN: [(&str, &str); 6] = [
    ("always()", "move the step to `finally:`, whose entries always run"),
    ("failure()", "move the step to `finally:`, whose entries always run"),
    ("cancelled()", "move the step to `finally:`, whose entries always run"),
    ("success()", "take it out: a step runs only after those that it needs have passed"),
    ("github.", "name a variable of the environment, as `${GITHUB_REF_NAME} == main`"),
    ("${{", "write variables as `${NAME}`, without the outer braces"),
];

impl Reader<'_> {
    /// The condition of a step; `None` where there is none, or it could not be read.
    pub(super) fn when(&mut self, fields: &Fields) -> Option<Spanned<When>> {
        let value = fields.get("if")?;
        let Content::Scalar(scalar) = self.content(value) else {
            let diagnostic = self.wrong_type(value, "`if`", "a condition");
            self.report(diagnostic.help("write it as one text, as `if: \"${CI} == true\"`"));
            return None;
        };
        if scalar.form() == ScalarForm::Null {
            let diagnostic = self.wrong_type(value, "`if`", "a condition");
            self.report(diagnostic.help("write one, as `if: \"${CI} == true\"`, or take it out"));
            return None;
        }
        let text = scalar.text.clone();
        if let Some((_, help)) = FOREIGN.iter().find(|(word, _)| text.contains(word)) {
            let diagnostic = self.error(5, value, "`if` holds an expression of GitHub Actions", "not known here");
            self.report(diagnostic.help(*help));
            return None;
        }
        let condition = match parse_condition(&text) {
            Ok(condition) => condition,
            Err(mistake) => {
                let diagnostic = self.unreadable_condition(value, &text, &mistake);
                self.report(diagnostic);
                return None;
            }
        };
        for alone in condition.alone() {
            if !alone.is_quoted && is_bare_name(&alone.text) {
                let diagnostic = self.bare_name(value, &text, alone);
                self.report(diagnostic);
                return None;
            }
        }
        let is_constant = condition.operands().iter().all(|operand| !operand.text.contains('$'));
        let mut is_known = true;
        let holds = condition.holds(&mut |operand| {
            let replaced = self.operand(value, operand);
            is_known &= replaced.is_some();
            replaced.unwrap_or_default()
        });
        // What could not be known was told, or is told of another combination.
        is_known.then_some(Spanned { value: When { holds, is_constant }, span: value.span })
    }

    fn operand(&mut self, value: Value, operand: &Operand) -> Option<String> {
        match interpolate(&operand.text, self.variables) {
            Ok(text) => text,
            Err(mistakes) => {
                self.tell_mistakes(value, mistakes);
                None
            }
        }
    }

    fn unreadable_condition(&self, value: Value, text: &str, mistake: &Mistake) -> Diagnostic {
        let place = if mistake.range.is_empty() { value } else { self.part(value, text, mistake.range.clone()) };
        let diagnostic = self.error(5, place, "`if` cannot be read", mistake.expected);
        let word = &text[mistake.range.clone()];
        diagnostic.help(match word {
            "=" | "&" | "|" => format!("write `{word}{word}`"),
            _ if word.starts_with(['<', '>']) => {
                "only `==` and `!=` compare; a step can compare numbers in its `run`".to_owned()
            }
            _ if text.is_empty() => "write a condition, as `if: \"${CI} == true\"`, or take it out".to_owned(),
            "and" | "AND" => "write `&&`".to_owned(),
            "or" | "OR" => "write `||`".to_owned(),
            _ => "conditions are as `${CI} == true && !${FAST}`; a text with spaces stands in quotes".to_owned(),
        })
    }

    /// A name alone is a text that is always true, and hardly meant so.
    fn bare_name(&self, value: Value, text: &str, operand: &Operand) -> Diagnostic {
        let name = &operand.text;
        let place = self.part(value, text, operand.range.clone());
        let diagnostic = self.error(5, place, format!("`{name}` in `if` is a text, which always holds"), "no variable");
        let is_whole = operand.range == (0..text.len());
        let instead = format!("${{{name}}}");
        let diagnostic = diagnostic.help(format!("write `{instead}` for the variable"));
        if is_whole { self.replace(diagnostic, false, value, quoted(&instead)) } else { diagnostic }
    }
}

fn is_bare_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && !matches!(text, "true" | "false")
        && !text.contains('$')
}
