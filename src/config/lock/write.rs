//! The text of a lock file, to be changed: what people wrote into it stays, and what is not changed stays as it is.
//!
//! ```text
//! # comments before the version      stay where they are
//! version 1
//! # comments before a line           go with the line, wherever it is sorted
//! IMAGE PLATFORM DIGEST
//! # comments after the last line     stay at the end
//! ```
//!
//! Deliberately not here: what is wrong with a lock file (`lock` tells it), and the disk.

use std::fmt;

use super::{PLATFORM, VERSION};

/// What a new lock file begins with.
const HEAD: &str = "# what the images of this project are: written by `smolvm lock`, asked for anew by `smolvm update`";

/// A lock file as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// What stands before the version.
    head: Vec<String>,
    lines: Vec<LockLine>,
    /// What stands after the last line.
    tail: Vec<String>,
    is_crlf: bool,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LockLine {
    /// What stands before it.
    above: Vec<String>,
    name: String,
    platform: String,
    digest: String,
}

impl Default for LockFile {
    fn default() -> Self {
        Self { head: vec![HEAD.to_owned()], lines: Vec::new(), tail: Vec::new(), is_crlf: false }
    }
}

impl LockFile {
    /// Takes a lock file in which nothing is wrong apart. What is no image and no comment is not kept.
    pub fn read(text: &str) -> Self {
        let is_crlf = text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
        let mut file = Self { head: Vec::new(), lines: Vec::new(), tail: Vec::new(), is_crlf };
        let (mut above, mut has_version): (Vec<String>, bool) = (Vec::new(), false);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [first, ..] if first.starts_with('#') => above.push(line.trim_end().to_owned()),
                [] => above.push(String::new()),
                ["version", _] if !has_version => {
                    has_version = true;
                    file.head = std::mem::take(&mut above);
                }
                [name, platform, digest] => {
                    let above = std::mem::take(&mut above);
                    let owned = |word: &str| word.to_owned();
                    let line = LockLine { above, name: owned(name), platform: owned(platform), digest: owned(digest) };
                    let is_known = |known: &LockLine| known.name == line.name && known.platform == line.platform;
                    if !file.lines.iter().any(is_known) {
                        file.lines.push(line);
                    }
                }
                _ => {}
            }
        }
        file.tail = above;
        file
    }

    /// The digest of an image for the platform of machines.
    pub fn digest(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.is(name)).map(|line| line.digest.as_str())
    }

    /// Gives an image a digest for the platform of machines; the one that it had.
    pub fn set(&mut self, name: &str, digest: &str) -> Option<String> {
        if let Some(line) = self.lines.iter_mut().find(|line| line.is(name)) {
            return Some(std::mem::replace(&mut line.digest, digest.to_owned()));
        }
        let (name, platform, digest) = (name.to_owned(), PLATFORM.to_owned(), digest.to_owned());
        self.lines.push(LockLine { above: Vec::new(), name, platform, digest });
        None
    }

    /// Takes out the lines of all other images, of whatever platform; the names that are gone, sorted.
    pub fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let (kept, gone) = std::mem::take(&mut self.lines).into_iter().partition(|line| is_wanted(&line.name));
        self.lines = kept;
        let mut names: Vec<String> = gone.into_iter().map(|line: LockLine| line.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether it holds no image.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl LockLine {
    fn is(&self, name: &str) -> bool {
        self.name == name && self.platform == PLATFORM
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.name, self.platform, self.digest)
    }
}

/// The whole text, with the ends of lines that it had.
impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_crlf { "\r\n" } else { "\n" };
        let version = format!("version {VERSION}");
        let mut lines: Vec<(String, &LockLine)> = self.lines.iter().map(|line| (line.text(), line)).collect();
        lines.sort();
        let body = lines.iter().flat_map(|(text, line)| line.above.iter().chain([text]));
        for line in self.head.iter().chain([&version]).chain(body).chain(&self.tail) {
            write!(f, "{line}{end}")?;
        }
        Ok(())
    }
}

impl PartialOrd for LockLine {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LockLine {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(&other.text())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    #[test]
    fn a_new_file_has_a_head_and_sorted_lines() {
        let mut file = LockFile::default();
        assert_eq!(file.set("docker.io/library/debian:12", &digest('b')), None);
        assert_eq!(file.set("docker.io/library/alpine:3.20", &digest('a')), None);
        let text = format!(
            "{HEAD}\nversion 1\ndocker.io/library/alpine:3.20 linux/amd64 {}\n\
             docker.io/library/debian:12 linux/amd64 {}\n",
            digest('a'),
            digest('b')
        );
        assert_eq!(file.to_string(), text);
        assert_eq!(LockFile::read(&text), LockFile::read(&file.to_string()));
    }

    #[test]
    fn what_people_wrote_goes_with_its_line_and_a_change_changes_one_line() {
        let text = format!(
            "# ours\n\nversion 1\n# why this one\nhost:5/b:1 linux/amd64 {b}\nhost:5/b:1 linux/arm64 {b}\n\
             # needed by ci\nhost:5/a:1 linux/amd64 {a}\n# the end\n",
            a = digest('a'),
            b = digest('b')
        );
        let mut file = LockFile::read(&text);
        assert_eq!(file.digest("host:5/b:1"), Some(&*digest('b')));
        assert_eq!(file.set("host:5/b:1", &digest('c')), Some(digest('b')));
        let after = file.to_string();
        let lines: Vec<&str> = after.lines().collect();
        let (a, b) = (format!("host:5/a:1 linux/amd64 {}", digest('a')), digest('b'));
        let (amd, arm) = (format!("host:5/b:1 linux/amd64 {}", digest('c')), format!("host:5/b:1 linux/arm64 {b}"));
        let expected: [&str; 9] =
            ["# ours", "", "version 1", "# needed by ci", &a, "# why this one", &amd, &arm, "# the end"];
        assert_eq!(lines, expected);
        assert_eq!(file.retain(|name| name == "host:5/a:1"), ["host:5/b:1"]);
        assert_eq!(file.to_string().lines().count(), 6);
        assert!(!file.is_empty());
    }

    #[test]
    fn ends_of_lines_stay_as_they_are() {
        let text = format!("# x\r\nversion 1\r\nhost:5/a:1 linux/amd64 {}\r\n", digest('a'));
        assert_eq!(LockFile::read(&text).to_string(), text);
    }

    proptest! {
        #[test]
        fn a_text_that_was_written_is_read_and_written_as_it_is(
            names in proptest::collection::btree_set("[ab]:[12]", 0..4),
            remarks in proptest::collection::vec("(# [a-z]{0,3})?", 0..3),
            is_crlf in any::<bool>(),
        ) {
            let end = if is_crlf { "\r\n" } else { "\n" };
            let mut text = format!("{end}version 1{end}");
            for name in &names {
                text.push_str(&format!("{}{end}host:5/{name} linux/amd64 {}{end}", remarks.join(end), digest('a')));
            }
            let once = LockFile::read(&text).to_string();
            prop_assert_eq!(&LockFile::read(&once).to_string(), &once);
            prop_assert_eq!(once.matches("linux/amd64").count(), names.len());
        }

        #[test]
        fn no_text_panics(text in "([a-z0-9:/# \\r\\n]|version 1){0,60}") {
            let once = LockFile::read(&text).to_string();
            prop_assert_eq!(LockFile::read(&once).to_string(), once);
        }
    }
}
