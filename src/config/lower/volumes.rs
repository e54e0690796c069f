//! `volumes` of the file, and `workspace` of a machine. Mounts of volumes are in `mount`.

use super::super::model::{Spanned, Volume, Workspace};
use super::super::scalars::parse_size_mib;
use super::super::tree::{Content, ScalarForm};
use super::fields::Fields;
use super::keys::VOLUME;
use super::reader::{Reader, TextForm, Value};

/// The least that holds a file system with a journal.
const DISK_MIN_MIB: u64 = 16;

impl Reader<'_> {
    /// The named volumes; `None` where some may be missing.
    pub(super) fn volumes(&mut self, fields: &Fields) -> Option<Vec<Volume>> {
        let Some(value) = fields.get("volumes") else {
            return (!fields.has("volumes")).then(Vec::new);
        };
        let is_incomplete = matches!(self.content(value), Content::Map(map) if map.is_incomplete);
        let entries = self.entries(value, "`volumes`")?;
        let mut volumes = Vec::new();
        for entry in entries {
            let via = value.via.or(entry.via);
            let key = Value { id: value.id, span: entry.key_span, via };
            self.check_name(key, &entry.key, "a volume");
            let name = Spanned { value: entry.key, span: entry.key_span };
            let value = self.value(entry.value, entry.key_span, via);
            let size_mib = self.volume_size(&name.value, value);
            volumes.push(Volume { name, size_mib });
        }
        (!is_incomplete).then_some(volumes)
    }

    fn volume_size(&mut self, name: &str, value: Value) -> Option<Spanned<u64>> {
        if self.is_null(value) {
            return None;
        }
        if self.is_size(value) {
            let diagnostic = self.wrong_type(value, &format!("the volume `{name}`"), "a map");
            if let Some(text) = self.text(value, "`size`", TextForm::Loose) {
                self.report(diagnostic.help(format!("write `{{ size: {} }}`", text.value)));
            }
            return None;
        }
        let fields = self.fields(value, &VOLUME)?;
        let size = fields.get("size")?;
        let mib = self.size_mib(size, "`size`")?;
        self.check_disk_size(size, &format!("`size` of the volume `{name}`"), mib.value);
        Some(mib)
    }

    /// Whether a scalar is a size, as in `cache: 4GiB`.
    fn is_size(&self, value: Value) -> bool {
        matches!(self.content(value), Content::Scalar(scalar) if parse_size_mib(&scalar.text).is_ok())
    }

    /// The disk behind `/workspace`.
    pub(super) fn workspace(&mut self, fields: &Fields) -> Workspace {
        let Some(value) = fields.get("workspace") else { return Workspace::Default };
        let Content::Scalar(scalar) = self.content(value) else {
            self.no_workspace_form(value, None);
            return Workspace::Default;
        };
        if scalar.form() == ScalarForm::Null {
            self.no_workspace_form(value, None);
            return Workspace::Default;
        }
        let Some(text) = self.interpolated(value, scalar) else { return Workspace::Default };
        let is_typed = scalar.is_plain() || text != scalar.text;
        match text.as_str() {
            "false" if is_typed => Workspace::Absent,
            "false" | "no" | "off" | "none" | "No" | "Off" | "None" | "0" => {
                self.no_workspace_form(value, Some("false"));
                Workspace::Absent
            }
            "true" | "yes" | "on" => {
                let diagnostic = self.wrong_type(value, "`workspace`", "a size or `false`");
                self.report(
                    diagnostic.help("take it out: every machine has a workspace; or give its size, as `20GiB`"),
                );
                Workspace::Default
            }
            _ => match self.size_mib(value, "`workspace`") {
                Some(mib) => {
                    self.check_disk_size(value, "`workspace`", mib.value);
                    Workspace::Size(mib)
                }
                None => Workspace::Default,
            },
        }
    }

    fn no_workspace_form(&mut self, value: Value, instead: Option<&str>) {
        let diagnostic = self.wrong_type(value, "`workspace`", "a size or `false`");
        self.report(match instead {
            Some(instead) => {
                let diagnostic = diagnostic.help(format!("write `{instead}`, for a machine without `/workspace`"));
                self.replace(diagnostic, true, value, instead.to_owned())
            }
            None => diagnostic.help("write a size, as `20GiB`, or `false` for none"),
        });
    }

    /// Rule 0803.
    fn check_disk_size(&mut self, value: Value, what: &str, mib: u64) {
        if mib >= DISK_MIN_MIB {
            return;
        }
        let message = format!("{what} is {mib} MiB, too small to hold a file system");
        let diagnostic = self.error(803, value, message, format!("at least {DISK_MIN_MIB} MiB are needed"));
        self.report(diagnostic.help(format!("write `{DISK_MIN_MIB}MiB`, or more")));
    }
}
