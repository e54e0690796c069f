//! `inputs` of a step: patterns of host files. Whether they match is for the checks.

use super::super::model::Input;
use super::fields::Fields;
use super::reader::{Reader, TextForm};

impl Reader<'_> {
    /// The patterns, empty where there are none.
    pub(super) fn inputs(&mut self, fields: &Fields) -> Vec<Input> {
        let Some(value) = fields.get("inputs") else { return Vec::new() };
        let mut inputs = Vec::new();
        for item in self.list(value, "`inputs`").unwrap_or_default() {
            let Some(text) = self.text(item, "an entry of `inputs`", TextForm::Strict) else { continue };
            let folder = self.origins.folder(text.span.file).to_path_buf();
            inputs.push(Input { pattern: text.value, folder, span: text.span });
        }
        inputs
    }
}
