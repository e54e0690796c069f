//! The lock file: which image each reference of a project was when it was written. Its form is in `docs/forms.md`.
//!
//! A line is told where it cannot be read; what a project needs of it is asked in `load`. Deliberately not here: the text
//! as one to be changed (`write`), and the disk.

mod write;

use std::collections::BTreeMap;
use std::ops::Range;

pub use write::LockFile;

use super::model::Locks;
use super::reference::{Reference, is_digest};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Severity, Span};

/// The name of a lock file, which lies beside the first file of its project.
pub const LOCK_NAME: &str = "smolvm.lock";
/// What machines are made of.
pub(super) const PLATFORM: &str = "linux/amd64";
/// What a lock file calls the kernel that `kernel: auto` is; no image can have this name in full.
pub const AUTO_KERNEL: &str = "kernel:auto";
/// The version of the form that is read.
const VERSION: &str = "1";
/// So many lines that cannot be read are told of; a file with more is no lock file, and is written anew in any case.
const REPORTS_MAX: usize = 3;

/// What a lock file says.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// By name in full and platform.
    entries: BTreeMap<(String, String), Entry>,
    /// Whether a part could not be read, so that what is missing may be there.
    pub(super) is_partial: bool,
}

/// One image.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) digest: String,
    /// Where the digest stands.
    pub(super) digest_span: Span,
    /// The whole line.
    pub(super) span: Span,
}

impl Lock {
    /// Reads a lock file; what cannot be read is told and passed over.
    pub(super) fn read(file: FileId, bytes: &[u8], out: &mut Diagnostics) -> Self {
        let mut reader = LockReader { file, lock: Self::default(), has_version: false, reports: 0, out };
        let Ok(text) = std::str::from_utf8(bytes) else {
            reader.tell(0..bytes.len().min(1), "the lock file is not UTF-8", "cannot be read");
            return reader.lock;
        };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let own = line.trim_end();
            if !own.trim_start().starts_with('#') && !own.trim().is_empty() && !reader.line(at, own) {
                break;
            }
            at += line.len();
        }
        if !reader.has_version && !reader.lock.is_partial {
            reader.tell(0..0, "the lock file does not say its version", "expected `version 1`");
        }
        reader.lock
    }

    /// What machines are made of, by name.
    pub(super) fn locks(&self) -> Locks {
        let own = self.entries.iter().filter(|((_, platform), _)| platform == PLATFORM);
        Locks::new(own.map(|((name, _), entry)| (name.clone(), entry.digest.clone())).collect())
    }

    /// The entry of an image.
    pub(super) fn find(&self, name: &str, platform: &str) -> Option<&Entry> {
        self.entries.get(&(name.to_owned(), platform.to_owned()))
    }

    /// An entry of the same name for another platform, or of the same repository with another tag; what it is for.
    pub(super) fn find_similar(&self, reference: &Reference) -> Option<(&Entry, String)> {
        let name = reference.name();
        let repository = format!("{}/{}:", reference.registry(), reference.repository());
        let of = |wanted: &dyn Fn(&str) -> bool| self.entries.iter().find(|((name, _), _)| wanted(name));
        let found = of(&|known| known == name).or_else(|| of(&|known| known.starts_with(&repository)))?;
        let ((known, platform), entry) = found;
        let what =
            if *known == name { platform.clone() } else { known.rsplit(':').next().unwrap_or_default().to_owned() };
        Some((entry, what))
    }
}

struct LockReader<'a> {
    file: FileId,
    lock: Lock,
    has_version: bool,
    reports: usize,
    out: &'a mut Diagnostics,
}

impl LockReader<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span { file: self.file, start: range.start, end: range.end }
    }

    fn tell(&mut self, range: Range<usize>, message: &str, label: &str) {
        self.tell_with(
            range,
            message,
            label,
            "mend the line, or take it out; one is as\n`docker.io/library/alpine:3.20 linux/amd64 sha256:…`",
        );
    }

    fn tell_with(&mut self, range: Range<usize>, message: &str, label: &str, help: &str) {
        self.lock.is_partial = true;
        self.reports += 1;
        if self.reports <= REPORTS_MAX {
            let diagnostic = Diagnostic::new(Code(404), Severity::Error, message).label(self.span(range), label);
            self.out.push(diagnostic.help(help));
        }
    }

    /// Reads a line that says something; false where the rest is of no use.
    fn line(&mut self, at: usize, line: &str) -> bool {
        let words: Vec<(usize, &str)> =
            line.split_whitespace().map(|word| (at + word.as_ptr() as usize - line.as_ptr() as usize, word)).collect();
        let range = |(start, word): (usize, &str)| start..start + word.len();
        let whole = at..at + line.len();
        if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].contains(&words[0].1) {
            let message = "the lock file holds a merge that was not finished";
            self.tell_with(whole, message, "a mark of git", "keep the lines of one side, and take the marks out");
            return false;
        }
        if words[0].1 == "version" && words.len() == 2 {
            self.has_version = true;
            if words[1].1 != VERSION {
                let message =
                    format!("the lock file is of version {}, this smolvm reads version {VERSION}", words[1].1);
                let help = "use the smolvm that wrote it";
                self.tell_with(range(words[1]), &message, "not known", help);
                return false;
            }
            return true;
        }
        let [name, platform, digest] = words.as_slice() else {
            self.tell(whole, "a line of the lock file cannot be read", "expected `IMAGE PLATFORM DIGEST`");
            return true;
        };
        let is_image = Reference::parse(name.1).is_ok_and(|reference| {
            reference.tag().is_some() && reference.digest().is_none() && reference.name() == name.1
        });
        let is_name = is_image || name.1 == AUTO_KERNEL;
        if !is_name {
            let message = format!("`{}` in the lock file is no name of an image in full", name.1);
            self.tell(range(*name), &message, "expected `REGISTRY/NAME:TAG`");
        } else if !platform.1.split('/').all(|part| !part.is_empty()) || !platform.1.contains('/') {
            self.tell(
                range(*platform),
                "a line of the lock file cannot be read",
                "expected a platform as `linux/amd64`",
            );
        } else if !is_digest(digest.1) {
            let message = format!("`{}` in the lock file is no digest", digest.1);
            self.tell(range(*digest), &message, "expected `sha256:` and 64 hexadecimal digits");
        } else {
            let (digest_span, span) = (self.span(range(*digest)), self.span(whole));
            let entry = Entry { digest: digest.1.to_owned(), digest_span, span };
            self.add(name.1, platform.1, entry);
        }
        true
    }

    fn add(&mut self, name: &str, platform: &str, entry: Entry) {
        let key = (name.to_owned(), platform.to_owned());
        let Some(first) = self.lock.entries.get(&key) else {
            self.lock.entries.insert(key, entry);
            return;
        };
        if first.digest == entry.digest {
            return;
        }
        let message = format!("the lock file has two digests of `{name}` for {platform}");
        let diagnostic = Diagnostic::new(Code(404), Severity::Error, message)
            .label(entry.digest_span, "this one comes second")
            .label(first.digest_span, "the first is here")
            .help("keep one of the lines");
        self.out.push(diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Lock, Vec<String>) {
        let mut out = Diagnostics::default();
        let lock = Lock::read(FileId(0), text.as_bytes(), &mut out);
        let told = out.iter().map(|one| {
            let span = one.labels[0].span;
            format!("{}: {}", &text[span.start..span.end], one.message)
        });
        let told = told.collect();
        (lock, told)
    }

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    #[test]
    fn entries_are_found_by_name_and_platform() {
        let (a, b) = (digest('a'), digest('b'));
        let text = format!(
            "# what the images are\r\n\r\nversion 1\r\ndocker.io/library/alpine:3.20 linux/amd64 {a}\r\n\
             docker.io/library/alpine:3.20 linux/arm64/v8 {b}\r\n"
        );
        let (lock, told) = read(&text);
        assert_eq!((told, lock.is_partial), (Vec::<String>::new(), false));
        let find = |platform| lock.find("docker.io/library/alpine:3.20", platform).map(|entry| entry.digest.clone());
        assert_eq!([find("linux/amd64"), find("linux/arm64/v8"), find("linux/arm")], [Some(a), Some(b), None]);
        let similar = |text| lock.find_similar(&Reference::parse(text).unwrap()).map(|(_, what)| what);
        assert_eq!(similar("alpine:3.20").as_deref(), Some("linux/amd64"));
        assert_eq!([similar("alpine:3.21").as_deref(), similar("debian").as_deref()], [Some("3.20"), None]);
    }

    #[test]
    fn every_line_that_cannot_be_read_is_told_at_its_place() {
        let a = digest('a');
        for (line, place) in [
            ("docker.io/library/alpine:3.20 linux/amd64", "docker.io/library/alpine:3.20 linux/amd64"),
            (&*format!("alpine:3.20 linux/amd64 {a}"), "alpine:3.20"),
            (&*format!("docker.io/library/alpine linux/amd64 {a}"), "docker.io/library/alpine"),
            (&*format!("host:5/a:1 amd64 {a}"), "amd64"),
            ("host:5/a:1 linux/amd64 sha256:ab", "sha256:ab"),
            ("version 2", "2"),
            ("<<<<<<< ours", "<<<<<<< ours"),
        ] {
            let (lock, told) = read(&format!("version 1\n{line}\n"));
            assert!(lock.is_partial && told.len() == 1, "{line}: {told:?}");
            assert!(told[0].starts_with(&format!("{place}: ")), "{line}: {told:?}");
        }
        assert_eq!(read("").1, [": the lock file does not say its version"]);
        let (b, name) = (digest('b'), "host:5/a:1 linux/amd64");
        assert_eq!(read(&format!("version 1\n{name} {a}\n{name} {a}\n{name} {b}\n")).1.len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[a-z0-9:/ \\r\\n#ö]{0,80}") {
            for bytes in [bytes, text.into_bytes()] {
                let mut out = Diagnostics::default();
                Lock::read(FileId(0), &bytes, &mut out);
                for diagnostic in out.iter() {
                    prop_assert!(diagnostic.labels[0].span.end <= bytes.len());
                }
            }
        }
    }
}
