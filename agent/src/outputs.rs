//! Whether a declared output is there: absolute paths and globs (`*`, `?`, `[…]`, `**`), by a walk with a bound.
//!
//! `*` matches hidden names too, `**` any number of folders (links are not followed). A link counts where it leads
//! somewhere.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most entries that one pattern may look at.
const ENTRIES_MAX: usize = 1_000_000;

/// Deepest folder that `**` goes down to.
const DEPTH_MAX: usize = 256;

/// Whether anything matches `pattern` below `root`. The error says why that cannot be told.
pub(crate) fn is_there(root: &Path, pattern: &str) -> Result<bool, String> {
    let Some(relative) = pattern.strip_prefix('/') else {
        return Err(format!("output `{pattern}` is not an absolute path"));
    };
    let parts: Vec<&[u8]> =
        relative.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    let mut walk = Walk { left: ENTRIES_MAX };
    walk.find(root.to_path_buf(), &parts, 0)
        .ok_or_else(|| format!("output `{pattern}` matches among more than {ENTRIES_MAX} files; name it more closely"))
}

struct Walk {
    left: usize,
}

impl Walk {
    /// `None` when the bound is reached.
    fn find(&mut self, base: PathBuf, parts: &[&[u8]], depth: usize) -> Option<bool> {
        let Some((part, rest)) = parts.split_first() else {
            return Some(base.exists());
        };
        if *part == b"**" {
            return self.find_below(base, parts, depth);
        }
        if !part.iter().any(|byte| b"*?[\\".contains(byte)) {
            return self.find(base.join(OsStr::from_bytes(part)), rest, depth);
        }
        for entry in entries(&base) {
            self.left = self.left.checked_sub(1)?;
            let name = entry.file_name();
            if matches_name(part, name.as_bytes()) && self.find(base.join(name), rest, depth)? {
                return Some(true);
            }
        }
        Some(false)
    }

    fn find_below(&mut self, base: PathBuf, parts: &[&[u8]], depth: usize) -> Option<bool> {
        // A trailing `**` needs something below, as `dir/**` does not mean `dir`.
        let rest = if parts.len() == 1 { &[b"*".as_slice()] } else { &parts[1..] };
        if self.find(base.clone(), rest, depth)? {
            return Some(true);
        }
        if depth >= DEPTH_MAX {
            return Some(false);
        }
        for entry in entries(&base) {
            self.left = self.left.checked_sub(1)?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && self.find_below(entry.path(), parts, depth + 1)? {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// What is in a folder; nothing where it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok)
}

/// Whether a name matches a pattern without slashes. Going back is to the last `*` only, so it is never exponential.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, next));
            at += 1;
        } else if let Some(length) = matches_one(&pattern[at..], name[next]) {
            at += length;
            next += 1;
        } else if let Some((after, tried)) = star {
            at = after;
            next = tried + 1;
            star = Some((after, tried + 1));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// How much of the pattern's begin matches one byte.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => Some(1),
        [b'[', ..] => match class_end(pattern) {
            Some(end) => matches_class(&pattern[1..end], byte).then_some(end + 1),
            None => (byte == b'[').then_some(1),
        },
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [literal, ..] => (literal == byte).then_some(1),
        [] => None,
    }
}

/// Place of the `]` that closes the class at the pattern's begin; a `]` that comes first is a member.
fn class_end(pattern: &[u8]) -> Option<usize> {
    let first = if matches!(pattern.get(1), Some(b'!' | b'^')) { 2 } else { 1 };
    pattern.iter().skip(first + 1).position(|byte| *byte == b']').map(|place| place + first + 1)
}

fn matches_class(class: &[u8], byte: u8) -> bool {
    let (is_negated, mut members) = match class {
        [b'!' | b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut is_member = false;
    while let [first, rest @ ..] = members {
        members = rest;
        let mut last = first;
        if let [b'-', end, rest @ ..] = members {
            last = end;
            members = rest;
        }
        is_member |= (*first..=*last).contains(&byte);
    }
    is_member != is_negated
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for file in ["out/app", "out/.hidden", "out/deep/er/unit.xml", "lib/libx.so.1"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("it has one")).expect("folders are made");
            fs::write(path, "x").expect("files are made");
        }
        fs::create_dir(root.path().join("empty")).expect("folders are made");
        std::os::unix::fs::symlink("nowhere", root.path().join("out/dangling")).expect("links are made");
        root
    }

    #[test]
    fn paths_and_globs_find_what_is_there() {
        let root = tree();
        for (pattern, expected) in [
            ("/out/app", true),
            ("/out", true),
            ("/out/missing", false),
            ("/out/dangling", false),
            ("/out/a*", true),
            ("/out/*.xml", false),
            ("/out/**/*.xml", true),
            ("/**/unit.xml", true),
            ("/lib/lib?.so.[0-9]", true),
            ("/lib/lib?.so.[!0-9]", false),
            ("/out/.h*", true),
            ("/empty/*", false),
            ("/empty/**", false),
            ("/out/**", true),
            ("/out/**/app", true),
            ("/*/../lib", true),
        ] {
            assert_eq!(is_there(root.path(), pattern), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("[a-c]x", "bx", true),
            ("[]]", "]", true),
            ("[^a]", "a", false),
            ("[", "[", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("?", "", false),
        ] {
            assert_eq!(matches_name(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn relative_pattern_is_refused() {
        assert_eq!(is_there(Path::new("/"), "out"), Err("output `out` is not an absolute path".into()));
    }

    proptest! {
        #[test]
        fn matching_never_panics(pattern: Vec<u8>, name: Vec<u8>) {
            let _ = matches_name(&pattern, &name);
        }
    }
}
