//! `mounts`: the long form; rule 0102, the keys of each type (0006), and the forms of each key.

use std::path::Path;

use super::super::files::FileKind;
use super::super::model::{Cache, GuestPath, Mount, MountKind, Owner, Spanned};
use super::super::scalars::{is_below_mib, is_user};
use super::fields::Fields;
use super::keys::MOUNT;
use super::reader::{Reader, TextForm, Value, shown};
use super::values::{absolute_help, guest_path_mistake};
use crate::diag::{Code, Diagnostic, Severity};

const TYPES: [&str; 4] = ["bind", "overlay", "volume", "tmpfs"];

impl Reader<'_> {
    /// A mount as a map.
    pub(super) fn long_mount(&mut self, value: Value) -> Option<Mount> {
        let fields = self.fields(value, &MOUNT)?;
        let word = match fields.get("type") {
            None => Some("bind"),
            Some(kind) => self.word(kind, "`type` of a mount", &TYPES),
        };
        if let Some(word) = word {
            self.check_keys_of_type(&fields, word);
            match word {
                "tmpfs" => {}
                "volume" => {
                    let help = "write `source:` with the name of a volume";
                    self.missing(&fields, "source", "the mount", value.span, help);
                }
                _ => self.missing(&fields, "source", "the mount", value.span, "write `source: ./folder`"),
            }
        }
        self.missing(&fields, "target", "the mount", value.span, "write `target: /folder`");
        let kind = self.mount_kind(&fields, word);
        let file = match &kind {
            Some(MountKind::Bind { source, is_file: true, .. }) => Some(source.value.as_path()),
            _ => None,
        };
        let target = fields.get("target").and_then(|target| {
            let text = self.text(target, "`target`", TextForm::Strict)?;
            self.mount_target(target, &text.value, file)
        });
        let create = self.flag(&fields, "create");
        Some(Mount { kind: kind?, target: target?, create, span: value.span })
    }

    /// What a mount shows; keys of other types (0006 was said) are read for their form all the same.
    fn mount_kind(&mut self, fields: &Fields, word: Option<&str>) -> Option<MountKind> {
        let source = match (fields.get("source"), word) {
            (Some(source), Some("bind" | "overlay")) => {
                let text = self.text(source, "`source`", TextForm::Strict);
                text.and_then(|text| self.host_path(source, "`source`", &text.value))
            }
            _ => None,
        };
        let readonly = self.flag(fields, "readonly");
        let size_mib = fields.get("size").and_then(|size| self.size_mib(size, "`size`"));
        match word? {
            "bind" => {
                let owner = self.owner(fields);
                let guest_owner = self.guest_owner(fields);
                let cache = self.cache(fields, readonly);
                let source = source?;
                let is_file = self.is_file(&source.value);
                Some(MountKind::Bind { source, is_file, readonly, owner, guest_owner, cache })
            }
            "overlay" => {
                let guest_owner = self.guest_owner(fields);
                Some(MountKind::Overlay { source: source?, guest_owner })
            }
            "tmpfs" => {
                if size_mib.is_some() {
                    self.check_tmpfs_size(fields);
                }
                Some(MountKind::Tmpfs { size_mib })
            }
            "volume" => {
                let name = fields.get("source").and_then(|source| self.volume_name(source));
                Some(MountKind::Volume { name: name?, readonly })
            }
            _ => None,
        }
    }

    /// The name of a volume; that there is one of this name is a rule (0203).
    fn volume_name(&mut self, value: Value) -> Option<Spanned<String>> {
        let text = self.text(value, "`source`", TextForm::Strict)?;
        if !text.value.is_empty() && !text.value.starts_with(['.', '/', '~']) {
            return Some(text);
        }
        let diagnostic =
            self.error(5, value, format!("{} cannot be the name of a volume", shown(&text.value)), "not a name");
        let help = if text.value.is_empty() {
            "name a volume that is declared below `volumes` of the file"
        } else {
            "name a volume; for a folder of the host, take `type: volume` out"
        };
        self.report(diagnostic.help(help));
        None
    }

    /// Sizes are rounded up to MiB; one that is far below was not meant so.
    fn check_tmpfs_size(&mut self, fields: &Fields) {
        let Some(value) = fields.get("size") else { return };
        let Some(text) = self.text(value, "`size`", TextForm::Loose).filter(|text| is_below_mib(&text.value)) else {
            return;
        };
        let message = format!("`size` of the tmpfs is `{}`, too small to hold a file system", text.value);
        self.report(self.error(803, value, message, "at least 1MiB is needed").help("write `1MiB`, or more"));
    }

    /// Whether a file of the host is at a path.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        self.files.metadata(path).is_ok_and(|found| found.kind == FileKind::File)
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

    /// An absolute path in the guest, as a mount point; rule 0102. `file` is the source where it is a file.
    pub(super) fn mount_target(&mut self, value: Value, text: &str, file: Option<&Path>) -> Option<Spanned<GuestPath>> {
        if let Some(path) = GuestPath::parse(text) {
            if let Some(file) = file.filter(|_| text.ends_with('/') || text.ends_with("/.")) {
                self.file_into_folder(value, (text, path.as_str()), file);
                return None;
            }
            return Some(Spanned { value: path, span: value.span });
        }
        let message = if text.is_empty() {
            "the mount target is empty".to_owned()
        } else {
            format!("the mount target `{text}` is not an absolute path in the guest")
        };
        let mut diagnostic = self.error(102, value, message, guest_path_mistake(text));
        diagnostic = self.make_absolute(diagnostic.help(absolute_help(text)), value, text);
        self.report(diagnostic);
        None
    }

    /// A file is mounted at its own path, not into a folder. `target` is as written, and normalised.
    fn file_into_folder(&mut self, value: Value, target: (&str, &str), file: &Path) {
        let (text, path) = target;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = path.trim_end_matches('/');
        let instead = if path.ends_with(&format!("/{name}")) { path.to_owned() } else { format!("{path}/{name}") };
        let message = format!("the mount target `{text}` is a folder, and the source is a file");
        let diagnostic = self.error(102, value, message, "this ends as the path of a folder does");
        let diagnostic = diagnostic.help(format!("write `{instead}`"));
        let diagnostic = self.replace(diagnostic, false, value, instead);
        self.report(diagnostic);
    }

    /// The guest's user as whose the files of a mount appear.
    fn guest_owner(&mut self, fields: &Fields) -> Option<Spanned<String>> {
        let value = fields.get("guest_owner")?;
        self.guest_user(value, "`guest_owner`")
    }

    fn cache(&mut self, fields: &Fields, readonly: bool) -> Spanned<Cache> {
        let default = Spanned { value: Cache::Auto, span: fields.value.span };
        let Some(value) = fields.get("cache") else { return default };
        let cache = match self.word(value, "`cache`", &["auto", "always", "never"]) {
            Some("always") => Cache::Always,
            Some("never") => Cache::Never,
            Some(_) => Cache::Auto,
            None => return default,
        };
        if cache == Cache::Always && !readonly {
            let message = "`cache: always` goes with `readonly: true` only";
            let diagnostic = self.error(6, value, message, "the guest would not see what it, or the host, changes");
            self.report(diagnostic.help("write `readonly: true` beside it, or `cache: auto`"));
        }
        Spanned { value: cache, span: value.span }
    }

    fn owner(&mut self, fields: &Fields) -> Spanned<Owner> {
        let default = Spanned { value: Owner::Invoker, span: fields.value.span };
        let Some(value) = fields.get("owner") else { return default };
        let Some(text) = self.text(value, "`owner`", TextForm::Loose) else { return default };
        let owner = match text.value.as_str() {
            "invoker" => Owner::Invoker,
            "guest" => Owner::Guest,
            name if is_user(name) => Owner::Named(text.value),
            name => {
                let diagnostic = self.error(5, value, format!("{} cannot own files", shown(name)), "not an owner");
                self.report(diagnostic.help("write `invoker`, `guest`, a name, or ids as `\"1000:1000\"`"));
                return default;
            }
        };
        if owner == Owner::Guest
            && let Some(shown) = fields.get("guest_owner")
        {
            let message = "`guest_owner` does not go with `owner: guest`";
            let diagnostic = self.error(6, shown, message, "files appear with their own ids there");
            self.report(
                diagnostic.label(value.span, "the guest sees the ids of the disk").help("take one of them out"),
            );
        }
        Spanned { value: owner, span: value.span }
    }
}
