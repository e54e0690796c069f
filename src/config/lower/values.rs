//! Values with a form of their own: host paths, guest paths, sizes, durations, users, words of a set.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::model::{GuestPath, Spanned};
use super::super::scalars::{FormError, is_user, parse_duration, parse_size_mib};
use super::super::suggest::nearest;
use super::reader::{Reader, Text, TextForm, Value, shown};
use crate::diag::Diagnostic;

impl Reader<'_> {
    pub(super) fn size_mib(&mut self, value: Value, what: &str) -> Option<Spanned<u64>> {
        let text = self.text_as(value, what, "a size", TextForm::Loose)?;
        match parse_size_mib(&text.value) {
            Ok(mib) if mib > 0 => Some(Spanned { value: mib, span: value.span }),
            Ok(_) => {
                let diagnostic = self
                    .error(5, value, format!("{what} is zero"), "a size is at least 1MiB")
                    .help("write a size, as `512MiB` or `2GiB`");
                self.report(diagnostic);
                None
            }
            Err(error) => {
                self.out_of_form(value, &format!("{what} is {}, which is not a size", shown(&text.value)), error);
                None
            }
        }
    }

    pub(super) fn duration(&mut self, value: Value, what: &str) -> Option<Duration> {
        let text = self.text_as(value, what, "a duration", TextForm::Loose)?;
        match parse_duration(&text.value) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.out_of_form(value, &format!("{what} is {}, which is not a duration", shown(&text.value)), error);
                None
            }
        }
    }

    fn out_of_form(&mut self, value: Value, message: &str, error: FormError) {
        let mut diagnostic = self.error(5, value, message, error.expected);
        if let Some(instead) = error.instead {
            diagnostic = diagnostic.help(format!("write `{instead}`"));
            diagnostic = self.replace(diagnostic, error.is_certain, value, instead);
        }
        self.report(diagnostic);
    }

    /// One of a few words.
    pub(super) fn word(&mut self, value: Value, what: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(value, what, TextForm::Loose)?;
        if let Some(word) = words.iter().find(|word| **word == text.value) {
            return Some(word);
        }
        let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        let diagnostic =
            self.error(5, value, format!("{what} cannot be {}", shown(&text.value)), "not one of the words known here");
        let help = match nearest(&text.value, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known words: {}", list.join(", ")),
            None => format!("known words: {}", list.join(", ")),
        };
        self.report(diagnostic.help(help));
        None
    }

    pub(super) fn user(&mut self, value: Value) -> Option<Text> {
        self.guest_user(value, "`user`")
    }

    /// A user of the guest, in any form of `user`.
    pub(super) fn guest_user(&mut self, value: Value, what: &str) -> Option<Text> {
        let text = self.text(value, what, TextForm::Loose)?;
        if is_user(&text.value) {
            return Some(text);
        }
        let diagnostic = self.error(5, value, format!("{} is not a user", shown(&text.value)), "not a user of a guest");
        self.report(diagnostic.help("write a name, an id, `uid:gid` or `name:group`, as `\"1000:1000\"`"));
        None
    }

    /// An absolute path in the guest; rule 0005.
    pub(super) fn guest_path(&mut self, value: Value, what: &str) -> Option<Spanned<GuestPath>> {
        let text = self.text(value, what, TextForm::Strict)?;
        if let Some(path) = GuestPath::parse(&text.value) {
            return Some(Spanned { value: path, span: value.span });
        }
        let label = guest_path_mistake(&text.value);
        let mut diagnostic = self.error(5, value, format!("{what} must be an absolute path in the guest"), label);
        diagnostic = diagnostic.help(absolute_help(&text.value));
        diagnostic = self.make_absolute(diagnostic, value, &text.value);
        self.report(diagnostic);
        None
    }

    /// Offers what [`absolute_help`] says as an edit. Where the path was absolute, nothing else can be meant.
    pub(super) fn make_absolute(&self, diagnostic: Diagnostic, value: Value, text: &str) -> Diagnostic {
        match absolute_instead(text) {
            Some(instead) => self.replace_part(diagnostic, text.starts_with('/'), value, text, instead),
            None => diagnostic,
        }
    }

    /// A path on the host, made absolute; rule 0005.
    pub(super) fn host_path(&mut self, value: Value, what: &str, text: &str) -> Option<Spanned<PathBuf>> {
        let span = value.span;
        if text.is_empty() {
            let diagnostic = self.error(5, value, format!("{what} is an empty path"), "empty");
            self.report(diagnostic.help("write a path, as `./folder`; `.` is the folder of this file"));
            return None;
        }
        let Some(rest) = text.strip_prefix('~') else {
            return Some(Spanned { value: join(self.origins.folder(span.file), text), span });
        };
        if !rest.is_empty() && !rest.starts_with('/') {
            let diagnostic =
                self.error(5, value, format!("{what} begins with `~` and a name"), "homes of others are not known");
            self.report(diagnostic.help(format!("write the whole path, or `./{text}` for a file of this name")));
            return None;
        }
        let Some(home) = self.files.invoker().home else {
            let diagnostic =
                self.error(5, value, format!("{what} needs a home"), "the invoking user has no home folder");
            self.report(diagnostic.help("write the whole path"));
            return None;
        };
        Some(Spanned { value: join(&home, rest.trim_start_matches('/')), span })
    }
}

/// Joins without `.` components; `..` stays, because links decide where it leads.
fn join(folder: &Path, path: &str) -> PathBuf {
    let joined = folder.join(path);
    let parts = joined.components().filter(|part| *part != Component::CurDir);
    parts.collect()
}

/// What is wrong with a text that is no absolute guest path.
pub(super) fn guest_path_mistake(text: &str) -> &'static str {
    if text.is_empty() {
        "this is empty"
    } else if !text.starts_with('/') {
        "this is relative"
    } else {
        "this has a `..` component"
    }
}

/// What to write in the place of a text that is no absolute guest path.
pub(super) fn absolute_help(text: &str) -> String {
    absolute_instead(text).map_or_else(
        || "write the whole path in the guest, as `/code`".to_owned(),
        |instead| format!("write `{instead}`"),
    )
}

/// The path without `..` and made absolute, where that is what was meant.
fn absolute_instead(text: &str) -> Option<String> {
    if text.is_empty() || text.starts_with('~') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| format!("/{}", parts.join("/")))
}
