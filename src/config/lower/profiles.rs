//! `profiles` of a machine or step: it is left out unless one of them is asked for.

use super::super::model::Spanned;
use super::super::scalars::is_name;
use super::fields::Fields;
use super::reader::{Reader, TextForm};

impl Reader<'_> {
    /// The profiles, empty where there are none.
    pub(super) fn profiles(&mut self, fields: &Fields) -> Vec<Spanned<String>> {
        let Some(value) = fields.get("profiles") else { return Vec::new() };
        let mut profiles: Vec<Spanned<String>> = Vec::new();
        for item in self.list(value, "`profiles`").unwrap_or_default() {
            let Some(text) = self.text(item, "an entry of `profiles`", TextForm::Strict) else { continue };
            self.check_name(item, &text.value, "a profile");
            if is_name(&text.value) {
                profiles.push(text);
            }
        }
        profiles
    }
}
