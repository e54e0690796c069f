//! `mounts`: short and long form; rules 0102, 0116, 0203 and the forms of each key.

use super::super::model::{GuestPath, Mount, Owner, Spanned};
use super::super::scalars::is_user;
use super::super::suggest::nearest;
use super::super::tree::{Content, Entry};
use super::fields::Fields;
use super::keys::MOUNT;
use super::reader::{Reader, TextForm, Value, shown};
use super::values::{absolute_help, guest_path_mistake};
use crate::diag::{Code, Diagnostic, Edit, Severity};

const TYPES: [&str; 4] = ["bind", "overlay", "volume", "tmpfs"];
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
        let target = self.mount_target(parts[1].0, parts[1].1);
        let source = if parts[0].1.starts_with(['.', '/', '~']) {
            self.host_path(parts[0].0, "the source of the mount", parts[0].1)
        } else {
            self.volume(parts[0].0, &text, parts[0].1, volumes);
            None
        };
        Some(Mount {
            source: source?,
            target: target?,
            readonly: readonly?,
            create: false,
            owner: Spanned { value: Owner::Invoker, span: value.span },
            span: value.span,
        })
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

    fn long_mount(&mut self, value: Value) -> Option<Mount> {
        let fields = self.fields(value, &MOUNT)?;
        let kind = match fields.get("type") {
            None => Some("bind"),
            Some(kind) => self.word(kind, "`type` of a mount", &TYPES),
        };
        if let Some(kind) = kind {
            self.check_keys_of_type(&fields, kind);
            if let Some(value) = fields.get("type").filter(|_| kind != "bind") {
                let help = "leave this mount out; mounts of host folders run";
                self.not_run_yet(value.span, value.via, &format!("mounts of type `{kind}`"), Some(help));
            }
            if kind != "tmpfs" {
                self.missing(&fields, "source", "the mount", value.span, "write `source: ./folder`");
            }
        }
        self.missing(&fields, "target", "the mount", value.span, "write `target: /folder`");
        let source = match (fields.get("source"), kind) {
            (Some(source), Some("bind" | "overlay")) => {
                let text = self.text(source, "`source`", TextForm::Strict);
                text.and_then(|text| self.host_path(source, "`source`", &text.value))
            }
            _ => None,
        };
        let target = fields.get("target").and_then(|target| {
            let text = self.text(target, "`target`", TextForm::Strict)?;
            self.mount_target(target, &text.value)
        });
        let readonly = self.flag(&fields, "readonly");
        let create = self.flag(&fields, "create");
        let mut owner = Spanned { value: Owner::Invoker, span: value.span };
        if kind == Some("bind") {
            owner = self.owner(&fields);
            self.ownership_view(&fields);
        }
        if let Some(size) = fields.get("size") {
            self.size_mib(size, "`size`");
        }
        if kind != Some("bind") {
            return None;
        }
        Some(Mount { source: source?, target: target?, readonly, create, owner, span: value.span })
    }

    /// A boolean that is false where it is left out or wrong.
    fn flag(&mut self, fields: &Fields, key: &str) -> bool {
        let value = fields.get(key);
        value.and_then(|value| self.boolean(value, &format!("`{key}`"))).is_some_and(|flag| flag.value)
    }

    fn check_keys_of_type(&mut self, fields: &Fields, kind: &str) {
        let allowed: &[&str] = match kind {
            "bind" => &["source", "readonly", "owner", "guest_owner", "cache"],
            "overlay" => &["source", "guest_owner"],
            "volume" => &["source", "readonly"],
            _ => &["size"],
        };
        for key in ["source", "readonly", "owner", "guest_owner", "cache", "size"] {
            let Some(span) = fields.key_span(key).filter(|_| !allowed.contains(&key)) else { continue };
            let message = format!("`{key}` does not go with `type: {kind}`");
            let mut diagnostic =
                Diagnostic::new(Code(6), Severity::Error, message).label(span, "not a key of this type");
            if let Some(value) = fields.get("type") {
                diagnostic = diagnostic.label(value.span, "the type is given here");
            }
            let help = match key {
                "size" => "only `type: tmpfs` has a `size`".to_owned(),
                _ => format!("take `{key}` out, or give another `type`"),
            };
            self.report(diagnostic.help(help));
        }
    }

    fn mount_target(&mut self, value: Value, text: &str) -> Option<Spanned<GuestPath>> {
        if let Some(path) = GuestPath::parse(text) {
            return Some(Spanned { value: path, span: value.span });
        }
        let message = if text.is_empty() {
            "the mount target is empty".to_owned()
        } else {
            format!("the mount target `{text}` is not an absolute path in the guest")
        };
        let mut diagnostic = self.error(102, value, message, guest_path_mistake(text));
        diagnostic = diagnostic.help(absolute_help(text));
        self.report(diagnostic);
        None
    }

    /// `guest_owner` and `cache`: only what is the default runs.
    fn ownership_view(&mut self, fields: &Fields) {
        if let Some(span) = fields.key_span("guest_owner") {
            self.not_run_yet(span, fields.value.via, "`guest_owner` of a mount", None);
        }
        let Some(value) = fields.get("cache") else { return };
        if self.word(value, "`cache`", &["auto", "always", "never"]).is_some_and(|word| word != "auto") {
            self.not_run_yet(value.span, value.via, "`cache` other than `auto`", None);
        }
    }

    fn owner(&mut self, fields: &Fields) -> Spanned<Owner> {
        let default = Spanned { value: Owner::Invoker, span: fields.value.span };
        let Some(value) = fields.get("owner") else { return default };
        let Some(text) = self.text(value, "`owner`", TextForm::Loose) else { return default };
        if text.value == "invoker" {
            return Spanned { value: Owner::Invoker, span: value.span };
        }
        if text.value != "guest" && !is_user(&text.value) {
            let diagnostic = self.error(5, value, format!("{} cannot own files", shown(&text.value)), "not an owner");
            self.report(diagnostic.help("write `invoker`, `guest`, a name, or ids as `\"1000:1000\"`"));
            return default;
        }
        let what = format!("`owner: {}`", text.value);
        self.not_run_yet(value.span, value.via, &what, Some("write `owner: invoker`, or leave it out"));
        Spanned { value: Owner::Unsupported(text.value), span: value.span }
    }
}

/// Whether the parts are those of `C:\folder:/target` or `C:/folder:/target`.
fn is_windows_path(parts: &[(Value, &str)]) -> bool {
    let [(_, drive), (_, folder), (_, target), ..] = parts else { return false };
    let is_drive = drive.len() == 1 && drive.starts_with(|letter: char| letter.is_ascii_alphabetic());
    is_drive && folder.starts_with(['/', '\\']) && target.starts_with('/')
}
