//! Patterns as those of `.gitignore`: what one means, and whether anything is there that it matches.
//!
//! ```text
//! `*.rs`     anywhere below the folder      `src/*.rs`, `/x`   from the folder on
//! `target/`  folders only                   `!…`               takes back
//! ```
//! A folder that matches means all in it; links are not followed. Deliberately not here: what is told (`checks`).

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::files::{FileKind, Files};

/// As many names as a folder is asked for ([`Files::list`]); where there are more nothing is known.
const LISTED_MAX: usize = 4096;
/// Folders within one another.
const DEPTH_MAX: usize = 64;

/// A pattern that can be read.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Whether it takes back what others match.
    pub(super) is_taking_back: bool,
    is_folder_only: bool,
    /// Whether it starts at its folder, rather than anywhere below.
    is_anchored: bool,
    /// The part before the first sign, below the folder.
    start: PathBuf,
    /// The path itself, where the pattern has no sign.
    literal: Option<PathBuf>,
    matcher: GlobMatcher,
}

/// Whether a pattern matches anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Something,
    Nothing,
    /// There was more to look at than is looked at.
    Unknown,
}

/// Reads a pattern; the error is what is wrong with it, and what to write.
pub(super) fn parse_pattern(text: &str) -> Result<Pattern, (&'static str, String)> {
    let (is_taking_back, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        let help = "write a path or pattern, as `src/**`; `!` before one takes it back";
        return Err(("it is empty", help.to_owned()));
    }
    if rest.ends_with('\\') && !rest.ends_with("\\\\") {
        return Err((
            "it ends with a backslash",
            "take the backslash off, or write `\\\\` for one in a name".to_owned(),
        ));
    }
    let (is_folder_only, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
    let is_anchored = rest.contains('/');
    let path = rest.strip_prefix("./").unwrap_or(rest).trim_start_matches('/');
    let is_from_here = rest.starts_with("./");
    if Path::new(path).components().any(|part| part == Component::ParentDir) {
        let help = "name what lies below the folder of this file; move the file up, or mount what lies elsewhere";
        return Err(("it leads out of the folder of this file", help.to_owned()));
    }
    if path.is_empty() || path == "." {
        return Err(("it names the whole folder", "write `**` for all files".to_owned()));
    }
    // Braces are signs to the library, and part of a name to git.
    let escaped = path.replace('{', "[{]").replace('}', "[}]");
    let is_anchored = is_anchored || is_from_here;
    let glob = if is_anchored { escaped } else { format!("**/{escaped}") };
    let matcher = GlobBuilder::new(&glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| (unreadable(error.kind()), "close the bracket, or write `\\[` for one in a name".to_owned()))?
        .compile_matcher();
    let signs = ['*', '?', '[', '\\'];
    let literal = (!path.contains(signs)).then(|| PathBuf::from(path));
    let start = if is_anchored {
        path.split('/').take_while(|part| !part.contains(signs)).collect::<PathBuf>()
    } else {
        PathBuf::new()
    };
    Ok(Pattern { is_taking_back, is_folder_only, is_anchored, start, literal, matcher })
}

fn unreadable(kind: &globset::ErrorKind) -> &'static str {
    match kind {
        globset::ErrorKind::UnclosedClass => "a `[` is not closed",
        globset::ErrorKind::InvalidRange(..) => "a range in `[…]` runs backwards",
        _ => "it is no pattern",
    }
}

impl Pattern {
    /// The path that it names, where it has no signs.
    pub(super) fn named(&self) -> Option<&Path> {
        self.literal.as_deref()
    }

    /// The folder in which it begins to have signs, where that is not the folder of the file.
    pub(super) fn start(&self) -> Option<&Path> {
        Some(self.start.as_path()).filter(|start| !start.as_os_str().is_empty())
    }

    /// Looks for a match below a folder; `budget` is how many names may still be looked at.
    pub(super) fn find(&self, folder: &Path, files: &dyn Files, budget: &mut usize) -> Found {
        if let Some(literal) = &self.literal
            && let Ok(found) = files.link_metadata(&folder.join(literal))
            && (!self.is_folder_only || found.kind == FileKind::Folder)
        {
            return Found::Something;
        }
        if self.is_anchored && self.literal.is_some() {
            return Found::Nothing;
        }
        self.walk(folder, &self.start, files, budget)
    }

    fn walk(&self, folder: &Path, start: &Path, files: &dyn Files, budget: &mut usize) -> Found {
        let mut open = vec![start.to_path_buf()];
        let mut found = Found::Nothing;
        while let Some(inside) = open.pop() {
            let Ok(names) = files.list(&folder.join(&inside)) else { continue };
            if names.len() >= LISTED_MAX || inside.components().count() > DEPTH_MAX {
                found = Found::Unknown;
            }
            for name in names {
                let Some(left) = budget.checked_sub(1) else { return Found::Unknown };
                *budget = left;
                let path = inside.join(name);
                let is_match = self.matcher.is_match(&path);
                if is_match && !self.is_folder_only {
                    return Found::Something;
                }
                let kind = files.link_metadata(&folder.join(&path)).map(|found| found.kind);
                if kind == Ok(FileKind::Folder) {
                    if is_match {
                        return Found::Something;
                    }
                    open.push(path);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MemoryFiles;
    use super::*;

    fn files() -> MemoryFiles {
        MemoryFiles::new()
            .file("/p/src/main.rs", "x")
            .file("/p/src/deep/er/lib.rs", "x")
            .file("/p/.hidden/x.toml", "x")
            .file("/p/a{b}.txt", "x")
            .file("/p/[x].txt", "x")
            .folder("/p/target")
    }

    fn find(pattern: &str) -> Found {
        parse_pattern(pattern).expect("can be read").find(Path::new("/p"), &files(), &mut 1000)
    }

    #[test]
    fn patterns_match_as_those_of_git() {
        for pattern in [
            "*.rs",
            "lib.rs",
            "src",
            "src/",
            "/src/main.rs",
            "./src/*.rs",
            "src/**",
            "**/er",
            "er/",
            "src/**/lib.rs",
            "*",
            "**",
            "x.toml",
            ".hidden",
            "*idden",
            "s?c",
            "[st]rc",
            "a{b}.txt",
            "\\[x\\].txt",
            "!src",
            "src/main.rs",
        ] {
            assert_eq!(find(pattern), Found::Something, "{pattern}");
        }
        for pattern in ["main.rs/", "/main.rs", "deep/*.rs", "*.py", "srcs/**", "/lib.rs", "src/*.toml", "a[bc].txt"] {
            assert_eq!(find(pattern), Found::Nothing, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (pattern, why) in [
            ("", "empty"),
            ("!", "empty"),
            ("[a", "not closed"),
            ("[z-a]", "backwards"),
            ("../x", "leads out"),
            ("src/../../x", "leads out"),
            ("x\\", "backslash"),
            ("/", "whole folder"),
            ("./", "whole folder"),
        ] {
            let (mistake, _) = parse_pattern(pattern).expect_err(pattern);
            assert!(mistake.contains(why), "{pattern}: {mistake}");
        }
    }

    #[test]
    fn past_the_budget_nothing_is_known() {
        let pattern = parse_pattern("*.py").expect("can be read");
        assert_eq!(pattern.find(Path::new("/p"), &files(), &mut 2), Found::Unknown);
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_told(text in "[a./*?!\\[\\]{}\\\\-]{0,12}") {
            if let Ok(pattern) = parse_pattern(&text) {
                pattern.find(Path::new("/p"), &files(), &mut 100);
            }
        }

        /// Names with stars, compared with the plain way.
        #[test]
        fn stars_match_as_they_do_one_by_one(pattern in "[ab*]{1,6}", name in "[ab]{1,6}") {
            prop_assume!(!pattern.contains("**"));
            let files = MemoryFiles::new().file(format!("/q/{name}"), "x");
            let found = parse_pattern(&pattern).expect("can be read").find(Path::new("/q"), &files, &mut 10);
            prop_assert_eq!(found == Found::Something, matches(pattern.as_bytes(), name.as_bytes()));
        }
    }

    fn matches(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
            Some((letter, rest)) => name.first() == Some(letter) && matches(rest, &name[1..]),
        }
    }
}
