//! Whether a declared output is there: absolute paths and globs (`*`, `?`, `[…]`, `**`), by a walk with a bound.
//!
//! `*` matches hidden names too, `**` any number of folders (links are not followed). A link counts where it leads
//! somewhere.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use smolvm_agent::{has_wildcard, matches_name};

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
        if !has_wildcard(part) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn relative_pattern_is_refused() {
        assert_eq!(is_there(Path::new("/"), "out"), Err("output `out` is not an absolute path".into()));
    }
}
