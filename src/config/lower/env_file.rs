//! `env_file`: files of `NAME=value` lines; a later one overrides, and `env` beside it overrides all.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::files::FileError;
use super::super::tree::Content;
use super::fields::Fields;
use super::keys::ENV_FILE;
use super::reader::{Reader, TextForm, Value};
use crate::diag::Diagnostic;

impl Reader<'_> {
    /// The variables of `env_file`, empty where there is none.
    pub(super) fn env_files(&mut self, fields: &Fields) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        let Some(value) = fields.get("env_file") else { return environment };
        for item in self.list(value, "`env_file`").unwrap_or_default() {
            let (path, is_required) = match self.content(item) {
                Content::Map(_) => match self.env_file_map(item) {
                    Some(read) => read,
                    None => continue,
                },
                _ => (item, true),
            };
            let Some(text) = self.text(path, "an entry of `env_file`", TextForm::Strict) else { continue };
            let Some(file) = self.host_path(path, "an entry of `env_file`", &text.value) else { continue };
            let Some(env_files) = self.env_files else { continue };
            match env_files.get(&file.value) {
                Ok(set) => environment.extend(set.iter().map(|(name, value)| (name.clone(), value.clone()))),
                Err(FileError::Missing) if !is_required => {}
                Err(error) => {
                    let diagnostic = self.unreadable_env_file(path, &file.value, &error);
                    self.report(diagnostic);
                }
            }
        }
        environment
    }

    /// `{ path, required }`.
    fn env_file_map(&mut self, item: Value) -> Option<(Value, bool)> {
        let fields = self.fields(item, &ENV_FILE)?;
        self.missing(&fields, "path", "this entry of `env_file`", item.span, "write `path: ./ci.env`");
        let required = fields.get("required").and_then(|value| self.boolean(value, "`required`"));
        Some((fields.get("path")?, required.is_none_or(|flag| flag.value)))
    }

    fn unreadable_env_file(&self, place: Value, path: &Path, error: &FileError) -> Diagnostic {
        let name = self.env_files.map_or_else(|| path.display().to_string(), |files| files.display(path));
        let near = self.env_files.filter(|_| *error == FileError::Missing).and_then(|files| {
            let near = files.nearest(path)?;
            Some(files.display(&near))
        });
        let (message, label) = match error {
            FileError::Missing => (format!("the env file `{name}` does not exist"), "no such file".to_owned()),
            FileError::NotRegular => (format!("the env file `{name}` is not a file"), "not a regular file".to_owned()),
            error => (format!("the env file `{name}` cannot be read: {error}"), "cannot be read".to_owned()),
        };
        self.error(304, place, message, label).help(match (near, error) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, FileError::Missing) => {
                "make it, or where it may be missing write `{ path: FILE, required: false }`".to_owned()
            }
            (None, FileError::NotRegular) => "name a file of `NAME=value` lines".to_owned(),
            _ => "give the right to read it, or name another".to_owned(),
        })
    }
}
