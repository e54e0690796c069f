//! The options of `run` as a text of the language, so that they are read and checked by its rules; and remarks on that
//! text as remarks on the options.
//!
//! ```text
//! -v ./out:/output ─► machines: { run: { mounts: ["./out:/output"] } } ─► remarks on bytes of it ─► remarks on `-v`
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use super::args::RunArgs;
use crate::config::{FileRequest, Loaded, is_name};
use crate::diag::{Diagnostic, Diagnostics, FileId, Label, Severity, Source, Span};

/// Name of the text, where a remark is on no option.
const NAME: &str = "<options>";

/// Name of a machine that is given none.
const MACHINE: &str = "run";

/// The text, and where each option is in it.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    text: String,
    options: Vec<Written>,
}

/// An option in the text.
#[derive(Debug)]
struct Written {
    name: &'static str,
    value: String,
    /// The quoted value.
    range: Range<usize>,
    /// Whether each byte between the quotes is one of the value.
    is_plain: bool,
}

impl Overlay {
    /// The whole of a machine that the options describe.
    pub(super) fn of_image(args: &RunArgs, image: &str) -> Self {
        let mut overlay = Self::default();
        overlay.raw("machines:\n  ");
        overlay.scalar("--name", args.name.as_deref().unwrap_or(MACHINE));
        overlay.raw(":\n    image: ");
        overlay.text_of("--image", image);
        overlay.raw("\n");
        overlay.machine(args);
        overlay.volumes(args);
        // Something must use the machine; what really runs is planned apart.
        overlay.raw("steps: [{ run: [\"true\"] }]\n");
        overlay
    }

    /// What the options change of a machine of the file; nothing where they change nothing.
    pub(super) fn of_machine(args: &RunArgs, machine: &str) -> Option<Self> {
        let mut overlay = Self::default();
        overlay.machine(args);
        if overlay.text.is_empty() {
            return None;
        }
        let mut whole = Self::default();
        whole.raw("machines:\n  ");
        whole.scalar("MACHINE", machine);
        whole.raw(":\n");
        let start = whole.text.len();
        whole.raw(&overlay.text);
        let moved = |option: Written| Written { range: option.range.start + start..option.range.end + start, ..option };
        whole.options.extend(overlay.options.into_iter().map(moved));
        Some(whole)
    }

    /// The name of the machine that [`Overlay::of_image`] describes.
    pub(super) fn machine_name(args: &RunArgs) -> &str {
        args.name.as_deref().unwrap_or(MACHINE)
    }

    fn machine(&mut self, args: &RunArgs) {
        let texts = [
            ("--kernel", "kernel", &args.kernel),
            ("-w", "working_dir", &args.workdir),
            ("-u", "user", &args.user),
            ("--memory", "memory", &args.memory),
        ];
        for (option, key, value) in texts {
            let Some(value) = value else { continue };
            let _ = write!(self.text, "    {key}: ");
            if key == "memory" && !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
                self.number(option, value);
            } else {
                self.text_of(option, value);
            }
            self.raw("\n");
        }
        if let Some(cpus) = args.cpus {
            self.raw("    cpus: ");
            self.number("--cpus", &cpus.to_string());
            self.raw("\n");
        }
        self.environment(args);
        self.list("mounts", "-v", args.volumes.iter().map(String::as_str));
        self.list("ports", "--publish", args.publish.iter().map(String::as_str));
    }

    /// Declares the volumes that the options mount: no file does.
    fn volumes(&mut self, args: &RunArgs) {
        let names = args.volumes.iter().filter_map(|volume| volume.split_once(':')).map(|(name, _)| name);
        let names: BTreeSet<&str> = names.filter(|name| is_name(name)).collect();
        if names.is_empty() {
            return;
        }
        self.raw("volumes:\n");
        for name in names {
            self.raw("  ");
            self.scalar("-v", name);
            self.raw(": {}\n");
        }
    }

    fn environment(&mut self, args: &RunArgs) {
        // Without a file, what all verbs take for its variables can only be meant for the command.
        let own = if args.image.is_some() { &args.global.env_files[..] } else { &[] };
        let files: Vec<String> = own.iter().chain(&args.env_from_files).map(|file| relative(file)).collect();
        self.list("env_file", "--env-from-file", files.iter().map(String::as_str));
        let entries =
            args.env.iter().map(|entry| entry.split_once('=').map_or((&**entry, None), |(n, v)| (n, Some(v))));
        let entries: Vec<(&str, Option<&str>)> = entries.collect();
        for (place, (name, value)) in entries.iter().enumerate() {
            if place == 0 {
                self.raw("    env:\n");
            }
            // Of two, the later one counts.
            if entries[place + 1..].iter().any(|(later, _)| later == name) {
                continue;
            }
            self.raw("      ");
            self.scalar("-e", name);
            self.raw(": ");
            match value {
                Some(value) => self.text_of("-e", value),
                None => self.raw("null"),
            }
            self.raw("\n");
        }
    }

    fn list<'a>(&mut self, key: &str, option: &'static str, values: impl Iterator<Item = &'a str>) {
        for (place, value) in values.enumerate() {
            if place == 0 {
                let _ = writeln!(self.text, "    {key}:");
            }
            self.raw("      - ");
            self.text_of(option, value);
            self.raw("\n");
        }
    }

    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A value in which dollars mean nothing: the shell has replaced what was to be replaced.
    fn text_of(&mut self, option: &'static str, value: &str) {
        self.quoted(option, value, &value.replace('$', "$$"));
    }

    /// A key, in which dollars mean nothing anyway.
    fn scalar(&mut self, option: &'static str, value: &str) {
        self.quoted(option, value, value);
    }

    fn quoted(&mut self, option: &'static str, value: &str, written: &str) {
        // What JSON quotes, YAML reads.
        let quoted = serde_json::Value::from(written).to_string();
        let is_plain = quoted.len() == value.len() + 2;
        self.option(option, value, &quoted, is_plain);
    }

    fn number(&mut self, option: &'static str, value: &str) {
        self.option(option, value, value, false);
    }

    fn option(&mut self, name: &'static str, value: &str, written: &str, is_plain: bool) {
        let start = self.text.len();
        self.text.push_str(written);
        self.options.push(Written { name, value: value.to_owned(), range: start..self.text.len(), is_plain });
    }

    /// The text as a file to read, whose relative paths start at `folder`.
    pub(super) fn request(&self, folder: &Path) -> FileRequest {
        FileRequest::Given { name: NAME.to_owned(), text: self.text.clone(), folder: folder.to_path_buf() }
    }

    /// Turns remarks on the text into remarks on the options, and keeps those that matter here: errors, and warnings
    /// about an option. Tells whether all errors are about options.
    pub(super) fn settle(&self, loaded: &mut Loaded) -> bool {
        let text = loaded.sources.iter().find(|(_, source)| source.path.is_none() && source.name == NAME);
        let text = text.map(|(file, _)| file);
        let mut sources: Vec<Option<FileId>> = vec![None; self.options.len()];
        let mut kept = Diagnostics::default();
        let mut are_all_ours = true;
        for diagnostic in loaded.diagnostics.iter() {
            let mut diagnostic = diagnostic.clone();
            let mut is_ours = false;
            for label in &mut diagnostic.labels {
                if Some(label.span.file) == text {
                    is_ours = true;
                    self.relocate(label, &mut sources, &mut loaded.sources);
                }
            }
            if is_ours {
                // There is no file to mend.
                diagnostic.fix = None;
            }
            if is_kept(&diagnostic, is_ours) {
                are_all_ours &= is_ours || diagnostic.severity != Severity::Error;
                kept.push(diagnostic);
            }
        }
        loaded.diagnostics = kept;
        are_all_ours
    }

    fn relocate(&self, label: &mut Label, known: &mut [Option<FileId>], sources: &mut crate::diag::Sources) {
        let Span { start, end, .. } = label.span;
        let is_in = |range: &Range<usize>| range.start <= start && end <= range.end;
        let Some(place) = self.options.iter().position(|option| is_in(&option.range)) else { return };
        let option = &self.options[place];
        let file = *known[place].get_or_insert_with(|| {
            let bytes = option.value.clone().into_bytes();
            sources.add(Source { name: option.name.to_owned(), path: None, bytes })
        });
        let length = option.value.len();
        let shifted = |offset: usize| offset.saturating_sub(option.range.start + 1).min(length);
        let (start, end) = if option.is_plain { (shifted(start), shifted(end)) } else { (0, length) };
        label.span = Span { file, start, end: end.max(start) };
    }
}

/// A warning about the rest of the file was told by `check` and `up`.
fn is_kept(diagnostic: &Diagnostic, is_ours: bool) -> bool {
    match diagnostic.severity {
        Severity::Error => true,
        Severity::Warning => is_ours,
        Severity::Note => false,
    }
}

/// A path as the language takes one.
fn relative(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with(['/', '.', '~']) { text.into_owned() } else { format!("./{text}") }
}
