//! `env`: a map of variables; null passes smolvm's own variable on.

use std::collections::BTreeMap;

use super::super::scalars::is_variable_name;
use super::super::tree::Content;
use super::fields::Fields;
use super::reader::{Reader, TextForm, Value, quoted, shown};

impl Reader<'_> {
    /// The variables of `env_file` and `env`, empty where there is none.
    pub(super) fn environment(&mut self, fields: &Fields) -> BTreeMap<String, String> {
        let mut environment = self.env_files(fields);
        let Some(value) = fields.get("env") else { return environment };
        if let Content::List(_) = self.content(value) {
            self.environment_list(value);
            return environment;
        }
        let Some(entries) = self.entries(value, "`env`") else { return environment };
        for entry in entries {
            let (key, via) = (entry.key, value.via.or(entry.via));
            if !is_variable_name(&key) {
                let place = Value { id: entry.value, span: entry.key_span, via };
                let message = format!("{} cannot be a variable's name", shown(&key));
                let diagnostic = self.error(5, place, message, "empty, or holds `=`");
                self.report(diagnostic.help("write `NAME: value`"));
                continue;
            }
            let value = self.value(entry.value, entry.key_span, via);
            let text = if self.is_null(value) {
                self.files.variable(&key)
            } else {
                self.text(value, "a variable of `env`", TextForm::Loose).map(|text| text.value)
            };
            if let Some(text) = text {
                environment.insert(key, text);
            }
        }
        environment
    }

    /// The list form of compose: told with the map to write.
    fn environment_list(&mut self, value: Value) {
        let diagnostic = self.wrong_type(value, "`env`", "a map");
        let Content::List(items) = self.content(value) else { return };
        let pairs: Option<Vec<String>> = items
            .iter()
            .map(|item| match &self.tree.node(self.tree.resolve(*item).0).content {
                Content::Scalar(scalar) => {
                    let (name, text) = scalar.text.split_once('=')?;
                    Some(format!("{name}: {}", quoted(text)))
                }
                _ => None,
            })
            .collect();
        let help = match pairs {
            Some(pairs) if !pairs.is_empty() && pairs.len() <= 8 => format!("write `{{ {} }}`", pairs.join(", ")),
            _ => "write `NAME: value`, a line each, without dashes".to_owned(),
        };
        self.report(diagnostic.help(help));
    }
}
