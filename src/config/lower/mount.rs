//! `mounts`: the short form, and what is neither form; rule 0116. The long form is in `mount_long`.

use super::super::model::{Cache, Mount, MountKind, Owner, Spanned};
use super::super::tree::{Content, Entry};
use super::reader::{Reader, TextForm, Value};

const SHORT_FORM: &str = "write `SOURCE:TARGET`, `SOURCE:TARGET:ro`, or the long form with `source:` and `target:`";

impl Reader<'_> {
    /// One entry; `None` where it could not be read, or is not run yet.
    pub(super) fn mount(&mut self, value: Value) -> Option<Mount> {
        match self.content(value) {
            Content::Map(map) => match map.entries.as_slice() {
                [only] if only.key.starts_with(['.', '/', '~']) => {
                    self.spaced_mount(value, only);
                    None
                }
                _ => self.long_mount(value),
            },
            Content::Poison | Content::Alias(_) => None,
            Content::Scalar(_) if !self.is_null(value) => self.short_mount(value),
            Content::Scalar(_) | Content::List(_) => {
                let diagnostic = self.wrong_type(value, "an entry of `mounts`", "text or a map");
                self.report(diagnostic.help(SHORT_FORM));
                None
            }
        }
    }

    /// `- ./src: /code`, which YAML reads as a map.
    fn spaced_mount(&mut self, value: Value, entry: &Entry) {
        let place = Value { span: entry.key_span, ..value };
        let target = self.value(entry.value, entry.key_span, value.via);
        let instead = match self.content(target) {
            Content::Scalar(scalar) if !self.is_null(target) => format!("{}:{}", entry.key, scalar.text),
            _ => entry.key.trim_end_matches(':').to_owned(),
        };
        let message = format!("the mount `{}` cannot be read", entry.key);
        let diagnostic = self.error(116, place, message, "YAML reads this as a key, because a `:` and a space follow");
        self.report(if instead.contains(':') {
            diagnostic.help(format!("write `{instead}`"))
        } else {
            diagnostic.help(SHORT_FORM)
        });
    }

    fn short_mount(&mut self, value: Value) -> Option<Mount> {
        let text = self.text(value, "an entry of `mounts`", TextForm::Strict)?.value;
        if text.is_empty() {
            let diagnostic = self.error(116, value, "an empty mount cannot be read", "this is empty");
            self.report(diagnostic.help(SHORT_FORM));
            return None;
        }
        let parts = self.parts(value, &text);
        if is_windows_path(&parts) {
            let message = format!("the mount `{text}` cannot be read");
            let diagnostic = self.error(116, value, message, "this begins as a path of Windows does");
            self.report(diagnostic.help("name a folder of this host, as `./folder:/target`"));
            return None;
        }
        let mistake = match parts.as_slice() {
            [_] => Some("there is no target"),
            parts if parts.len() > 3 => Some("this has more than three parts"),
            parts if parts.iter().any(|(_, part)| part.is_empty()) => Some("a part is empty"),
            _ => None,
        };
        if let Some(mistake) = mistake {
            let diagnostic = self.error(116, value, format!("the mount `{text}` cannot be read"), mistake);
            self.report(diagnostic.help(SHORT_FORM));
            return None;
        }
        if parts.iter().any(|(_, part)| part.trim() != *part) {
            let trimmed: Vec<&str> = parts.iter().map(|(_, part)| part.trim()).collect();
            let message = format!("the mount `{text}` cannot be read");
            let diagnostic = self.error(116, value, message, "a part begins or ends with a blank");
            self.report(diagnostic.help(format!("write `{}`", trimmed.join(":"))));
            return None;
        }
        let readonly = match parts.get(2).copied() {
            None | Some((_, "rw")) => Some(false),
            Some((_, "ro")) => Some(true),
            Some((place, mode)) => {
                self.unknown_mode(place, &text, mode);
                None
            }
        };
        let (place, source) = parts[0];
        if !source.starts_with(['.', '/', '~']) {
            let target = self.mount_target(parts[1].0, parts[1].1, None);
            let name = Spanned { value: source.to_owned(), span: place.span };
            let kind = MountKind::Volume { name, readonly: readonly? };
            return Some(Mount { kind, target: target?, create: false, span: value.span });
        }
        let source = self.host_path(place, "the source of the mount", source);
        let file = source.as_ref().map(|source| source.value.as_path()).filter(|path| self.is_file(path));
        let target = self.mount_target(parts[1].0, parts[1].1, file);
        let kind = MountKind::Bind {
            is_file: file.is_some(),
            source: source?,
            readonly: readonly?,
            owner: Spanned { value: Owner::Invoker, span: value.span },
            guest_owner: None,
            cache: Spanned { value: Cache::Auto, span: value.span },
        };
        Some(Mount { kind, target: target?, create: false, span: value.span })
    }

    /// The parts between colons, each with its own place.
    fn parts<'t>(&self, value: Value, text: &'t str) -> Vec<(Value, &'t str)> {
        let mut start = 0;
        let parts = text.split(':').map(|part| {
            let range = start..start + part.len();
            start = range.end + 1;
            (self.part(value, text, range), part)
        });
        parts.collect()
    }

    fn unknown_mode(&mut self, value: Value, text: &str, mode: &str) {
        let diagnostic =
            self.error(116, value, format!("the mount `{text}` cannot be read"), format!("`{mode}` is no mode"));
        let help = match mode {
            // SELinux labels and consistency hints of compose.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {
                format!("take `:{mode}` out: smolvm needs no labels or modes of this kind")
            }
            _ => "a mode is `ro` or `rw`".to_owned(),
        };
        self.report(diagnostic.help(help));
    }
}

/// Whether the parts are those of `C:\folder:/target` or `C:/folder:/target`.
fn is_windows_path(parts: &[(Value, &str)]) -> bool {
    let [(_, drive), (_, folder), (_, target), ..] = parts else { return false };
    let is_drive = drive.len() == 1 && drive.starts_with(|letter: char| letter.is_ascii_alphabetic());
    is_drive && folder.starts_with(['/', '\\']) && target.starts_with('/')
}
