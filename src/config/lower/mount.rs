//! `mounts`: the short form, and what is neither form; rules 0116 and 0203. The long form is in `mount_long`.

use super::super::model::{Cache, Mount, MountKind, Owner, Spanned};
use super::super::suggest::nearest;
use super::super::tree::{Content, Entry};
use super::reader::{Reader, TextForm, Value};
use crate::diag::Edit;

const SHORT_FORM: &str = "write `SOURCE:TARGET`, `SOURCE:TARGET:ro`, or the long form with `source:` and `target:`";

/// What short mounts may name as volumes.
#[derive(Debug)]
pub(super) struct VolumeNames {
    pub(super) names: Vec<String>,
    /// Whether `volumes` could not be read, or may hold more.
    pub(super) is_open: bool,
}

impl Reader<'_> {
    /// One entry; `None` where it could not be read, or is not run yet.
    pub(super) fn mount(&mut self, value: Value, volumes: &VolumeNames) -> Option<Mount> {
        match self.content(value) {
            Content::Map(map) => match map.entries.as_slice() {
                [only] if only.key.starts_with(['.', '/', '~']) => {
                    self.spaced_mount(value, only);
                    None
                }
                _ => self.long_mount(value),
            },
            Content::Poison | Content::Alias(_) => None,
            Content::Scalar(_) if !self.is_null(value) => self.short_mount(value, volumes),
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

    fn short_mount(&mut self, value: Value, volumes: &VolumeNames) -> Option<Mount> {
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
        let readonly = match parts.get(2).copied() {
            None | Some((_, "rw")) => Some(false),
            Some((_, "ro")) => Some(true),
            Some((place, mode)) => {
                self.unknown_mode(place, &text, mode);
                None
            }
        };
        let source = if parts[0].1.starts_with(['.', '/', '~']) {
            self.host_path(parts[0].0, "the source of the mount", parts[0].1)
        } else {
            self.volume(parts[0].0, &text, parts[0].1, volumes);
            None
        };
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
                format!("take `:{mode}` out: nothing of its kind is needed")
            }
            _ => "a mode is `ro` or `rw`".to_owned(),
        };
        self.report(diagnostic.help(help));
    }

    fn volume(&mut self, value: Value, text: &str, name: &str, volumes: &VolumeNames) {
        if volumes.is_open || volumes.names.iter().any(|known| known == name) {
            self.not_run_yet(
                value.span,
                value.via,
                "mounts of volumes",
                Some("a host folder begins with `.`, `/` or `~`"),
            );
            return;
        }
        let diagnostic =
            self.error(203, value, format!("unknown volume `{name}`"), "a source without `./` names a volume");
        let mut help = format!("for a host folder, write `./{text}`");
        if let Some(near) = nearest(name, volumes.names.iter().map(String::as_str)) {
            help = format!("did you mean the volume `{near}`? {help}");
        }
        let diagnostic = diagnostic.help(help);
        let edit = Edit { span: value.span, text: format!("./{name}") };
        // Only where the label is the name alone does the edit leave the rest as it is.
        let is_name_alone = value.span.end - value.span.start == name.len();
        self.report(if is_name_alone { diagnostic.fix(false, vec![edit]) } else { diagnostic });
    }
}

/// Whether the parts are those of `C:\folder:/target` or `C:/folder:/target`.
fn is_windows_path(parts: &[(Value, &str)]) -> bool {
    let [(_, drive), (_, folder), (_, target), ..] = parts else { return false };
    let is_drive = drive.len() == 1 && drive.starts_with(|letter: char| letter.is_ascii_alphabetic());
    is_drive && folder.starts_with(['/', '\\']) && target.starts_with('/')
}
