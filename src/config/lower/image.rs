//! `image` and `kernel` of a machine: which of the forms it is, and whether a reference can be read (0401).
//!
//! Deliberately not here: what is at a path (`checks`).

use super::super::archive::{look, prefix_of};
use super::super::model::{Image, KernelSource, Spanned};
use super::super::reference::{Reference, ReferenceError};
use super::reader::{Reader, Text, TextForm, Value, shown};

/// How other programs say what ours says otherwise.
const FOREIGN_PREFIXES: [(&str, &str); 5] = [
    ("oci-archive:", "oci:"),
    ("docker-daemon:", ""),
    ("containers-storage:", ""),
    ("file:", "dir:"),
    ("directory:", "dir:"),
];

impl Reader<'_> {
    pub(super) fn image(&mut self, value: Value) -> Spanned<Image> {
        let image = self.text(value, "`image`", TextForm::Strict).and_then(|text| self.image_of(value, &text));
        Spanned { value: image.unwrap_or(Image::Unreadable), span: value.span }
    }

    fn image_of(&mut self, value: Value, text: &Text) -> Option<Image> {
        let text = text.value.as_str();
        if text == "host" {
            return Some(Image::Host);
        }
        if text.is_empty() {
            let diagnostic = self.error(5, value, "`image` is empty", "no image is named");
            self.report(diagnostic.help("write `host`, `dir:PATH`, or an image as `alpine:3.20`"));
            return None;
        }
        if let Some(path) = text.strip_prefix("dir:") {
            return Some(Image::Dir(self.host_path(value, "the folder of `image`", path)?.value));
        }
        // `oci://` is how other programs begin the address of a registry.
        if let Some(path) = text.strip_prefix("oci:").filter(|path| !path.starts_with("//")) {
            let path = self.host_path(value, "the path of `image`", path)?.value;
            return Some(Image::Oci(path));
        }
        if let Some(path) = text.strip_prefix("docker-archive:") {
            let path = self.host_path(value, "the path of `image`", path)?.value;
            return Some(Image::DockerArchive(path));
        }
        if text.starts_with(['.', '/', '~']) {
            self.path_without_prefix(value, text);
            return None;
        }
        for (foreign, own) in FOREIGN_PREFIXES {
            if let Some(path) = text.strip_prefix(foreign).map(|path| path.trim_start_matches("//")) {
                let message = format!("{} is no reference to an image: `{foreign}` is not known", shown(text));
                let place = self.part(value, text, 0..foreign.len());
                let diagnostic = self.error(401, place, message, "not a word of smolvm");
                let diagnostic = diagnostic.help(format!("write `{own}{path}`"));
                let diagnostic = self.replace_part(diagnostic, false, value, text, format!("{own}{path}"));
                self.report(diagnostic);
                return None;
            }
        }
        let reference = self.reference(value, text)?;
        Some(Image::Reference(reference))
    }

    /// A path stands where a reference may: the prefix is what it holds.
    fn path_without_prefix(&mut self, value: Value, text: &str) {
        let Some(path) = self.host_path(value, "`image`", text) else { return };
        let contents = look(&path.value, self.files).ok();
        let prefix = contents.as_ref().map_or(Some("dir:"), prefix_of);
        let message = format!("{} is no reference to an image: it is a path", shown(text));
        let diagnostic = self.error(401, value, message, "a path needs a word before it that says what is there");
        self.report(match prefix {
            Some(prefix) => {
                let instead = format!("{prefix}{text}");
                let diagnostic = diagnostic.help(format!("write `{instead}`"));
                self.replace_part(diagnostic, contents.is_some(), value, text, instead)
            }
            None => diagnostic.help("write `dir:FOLDER`, `oci:FOLDER_OR_TAR` or `docker-archive:TAR`"),
        });
    }

    pub(super) fn kernel(&mut self, value: Value) -> Option<Spanned<KernelSource>> {
        let text = self.text(value, "`kernel`", TextForm::Strict)?;
        if text.value == "auto" {
            return Some(Spanned { value: KernelSource::Auto, span: value.span });
        }
        if text.value.is_empty() || text.value.starts_with(['.', '/', '~']) {
            let path = self.host_path(value, "`kernel`", &text.value)?;
            return Some(Spanned { value: KernelSource::Path(path.value), span: path.span });
        }
        let as_file = format!("./{}", text.value);
        let is_file = self.files.metadata(&self.origins.folder(value.span.file).join(&text.value)).is_ok();
        match Reference::parse(&text.value) {
            Ok(_) if is_file => {
                let message = "a file of that name is here".to_owned();
                let error =
                    ReferenceError { message, place: 0..text.value.len(), instead: Some(as_file), is_certain: false };
                self.unreadable_reference(value, &text.value, error, "a kernel");
                None
            }
            Ok(reference) => Some(Spanned { value: KernelSource::Reference(reference), span: value.span }),
            Err(error) if is_file => {
                let error =
                    ReferenceError { place: 0..text.value.len(), instead: Some(as_file), is_certain: false, ..error };
                self.unreadable_reference(value, &text.value, error, "a kernel");
                None
            }
            Err(error) => {
                self.unreadable_reference(value, &text.value, error, "a kernel");
                None
            }
        }
    }

    fn reference(&mut self, value: Value, text: &str) -> Option<Reference> {
        let error = match Reference::parse(text) {
            Ok(reference) => return Some(reference),
            Err(error) => error,
        };
        self.unreadable_reference(value, text, error, "an image");
        None
    }

    fn unreadable_reference(&mut self, value: Value, text: &str, error: ReferenceError, what: &str) {
        let place = self.part(value, text, error.place);
        let message = format!("{} is no reference to {what}: {}", shown(text), error.message);
        let diagnostic = self.error(401, place, message, "cannot be read here");
        self.report(match error.instead {
            Some(instead) => {
                let diagnostic = diagnostic.help(format!("write `{instead}`"));
                self.replace_part(diagnostic, error.is_certain, value, text, instead)
            }
            None if what == "a kernel" => {
                diagnostic.help("write `auto`, the path of a kernel as `./vmlinux`, or `REGISTRY/NAME:TAG`")
            }
            None if text.contains('@') => {
                diagnostic.help("write `NAME@sha256:` and all 64 hexadecimal digits, or a tag, as `alpine:3.20`")
            }
            None => diagnostic.help("write `NAME:TAG`, as `alpine:3.20`, or `REGISTRY/NAME:TAG`"),
        });
    }
}
