//! `run`, what has its form, and `shell`.

use super::super::model::{Command, Spanned};
use super::super::tree::Content;
use super::fields::Fields;
use super::reader::{Reader, TextForm, Value};

/// The shell of scripts where neither step nor machine names one.
const DEFAULT_SHELL: [&str; 2] = ["sh", "-eu"];

impl Reader<'_> {
    /// `run`: a script for `shell`, or a program and its arguments.
    pub(super) fn command(&mut self, value: Value, shell: Option<Vec<String>>) -> Option<Spanned<Command>> {
        self.command_of(value, "`run`", shell)
    }

    /// A key in the form of `run`; `what` is that key.
    pub(super) fn command_of(
        &mut self,
        value: Value,
        what: &str,
        shell: Option<Vec<String>>,
    ) -> Option<Spanned<Command>> {
        if let Content::List(_) = self.content(value) {
            let list = self.texts(value, what, &format!("an entry of {what}"))?;
            return Some(Spanned { value: Command::List(list), span: value.span });
        }
        if matches!(self.content(value), Content::Map(_)) {
            let diagnostic = self.wrong_type(value, what, "text or a list");
            self.report(diagnostic.help("write a script, or a program and its arguments as `[make, test]`"));
            return None;
        }
        let text = self.text(value, what, TextForm::Command)?;
        let shell = shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
        Some(Spanned { value: Command::Script { text: text.value, shell }, span: value.span })
    }

    /// A list of texts that are not interpolated; `None` where one could not be read.
    fn texts(&mut self, value: Value, what: &str, item: &str) -> Option<Vec<String>> {
        let items = self.list(value, what)?;
        let texts: Vec<Option<String>> =
            items.into_iter().map(|value| self.text(value, item, TextForm::Command).map(|text| text.value)).collect();
        texts.into_iter().collect()
    }

    /// `shell`: a program, with arguments after spaces, or a list.
    pub(super) fn shell(&mut self, fields: &Fields) -> Option<Vec<String>> {
        let value = fields.get("shell")?;
        let words: Vec<String> = if let Content::List(items) = self.content(value) {
            let values: Vec<Value> = items.iter().map(|item| self.value(*item, value.span, value.via)).collect();
            let texts: Vec<Option<String>> = values
                .into_iter()
                .map(|value| self.text(value, "an entry of `shell`", TextForm::Strict).map(|text| text.value))
                .collect();
            texts.into_iter().collect::<Option<_>>()?
        } else {
            let text = self.text(value, "`shell`", TextForm::Strict)?;
            text.value.split_whitespace().map(str::to_owned).collect()
        };
        if words.first().is_none_or(String::is_empty) {
            let diagnostic = self.error(5, value, "`shell` is empty", "no program is named");
            self.report(diagnostic.help("write `bash`, or `[bash, -euo, pipefail]`"));
            return None;
        }
        Some(words)
    }
}
