//! `include`: which files a file brings. Deliberately not here: reading them (`load`).

use std::path::PathBuf;

use super::super::tree::{Content, ScalarForm};
use super::reader::{Reader, TextForm, Value};

/// One entry of `include`.
#[derive(Debug, Clone)]
pub(in crate::config) struct Included {
    /// Absolute path of the file.
    pub(in crate::config) path: PathBuf,
    /// As it is written, variables replaced.
    pub(in crate::config) text: String,
    /// The entry.
    pub(in crate::config) value: Value,
}

impl<'a> Reader<'a> {
    /// The files that the root of a file includes; none in the place of one that cannot be read.
    pub(in crate::config) fn includes(&mut self, root: Value) -> Vec<Option<Included>> {
        let Some(value) = self.value_of(root, "include") else { return Vec::new() };
        let Some(items) = self.list(value, "`include`") else { return vec![None] };
        items.into_iter().map(|item| self.included(item)).collect()
    }

    fn included(&mut self, value: Value) -> Option<Included> {
        if let Content::Map(_) = self.content(value) {
            let diagnostic = self.wrong_type(value, "an entry of `include`", "text");
            self.report(diagnostic.help("write the path of the file alone, as `- ./ci/base.yaml`"));
            return None;
        }
        let text = self.text(value, "an entry of `include`", TextForm::Strict)?.value;
        // That no file has the name of a number would only follow.
        if !self.is_text(value) {
            return None;
        }
        let path = self.host_path(value, "an entry of `include`", &text)?.value;
        Some(Included { path, text, value })
    }

    fn is_text(&self, value: Value) -> bool {
        matches!(self.content(value), Content::Scalar(scalar) if scalar.form() == ScalarForm::Text)
    }

    /// The value of a key of a map, without a look at the others.
    pub(in crate::config) fn value_of(&self, map: Value, key: &str) -> Option<Value> {
        let Content::Map(content) = self.content(map) else { return None };
        let entry = content.entries.iter().find(|entry| entry.key == key)?;
        Some(self.value(entry.value, entry.key_span, map.via.or(entry.via)))
    }
}
