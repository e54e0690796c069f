//! Which names below a share are wanted: patterns of declared outputs, followed name by name.
//!
//! `**` stands for any number of folders; what one name may hold is [`smolvm_agent::matches_name`], as in the guest. No
//! call to the system is made here.

use std::ffi::{CStr, CString};

use smolvm_agent::{has_wildcard, matches_name};

/// A pattern, name by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern<'t>(Vec<&'t [u8]>);

impl<'t> Pattern<'t> {
    /// Reads a path or glob; a trailing `**` needs something below, as in the guest.
    pub(super) fn parse(text: &'t str) -> Self {
        let parts = text.as_bytes().split(|byte| *byte == b'/');
        let mut parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
        // `**/**` says what `**` does.
        parts.dedup_by(|next, part| *next == b"**" && *part == b"**");
        if parts.last() == Some(&b"**".as_slice()) {
            parts.push(b"*");
        }
        Self(parts)
    }

    /// One name, as [`literal`] writes it.
    pub(super) fn of_name(name: &'t [u8]) -> Self {
        Self(vec![name])
    }
}

/// A pattern that matches this name alone.
pub(super) fn literal(name: &[u8]) -> Vec<u8> {
    let escaped = name.iter().flat_map(|byte| {
        let is_special = has_wildcard(&[*byte]);
        is_special.then_some(b'\\').into_iter().chain([*byte])
    });
    escaped.collect()
}

/// What is wanted at one place and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted<'p> {
    /// It and all below.
    All,
    /// What these rests of patterns match; the empty rest has matched.
    Rests(Vec<&'p [&'p [u8]]>),
}

impl<'p> Wanted<'p> {
    /// At the root.
    pub(super) fn of(patterns: &'p [Pattern<'p>]) -> Self {
        let mut rests = Vec::new();
        for Pattern(parts) in patterns {
            add(&mut rests, parts);
        }
        Self::Rests(rests).simplified()
    }

    /// In the folder where this is wanted, under this name.
    pub(super) fn below(&self, name: &CStr) -> Self {
        let Self::Rests(rests) = self else { return Self::All };
        let mut below = Vec::new();
        for rest in rests {
            match rest.split_first() {
                Some((part, _)) if *part == b"**" => add(&mut below, rest),
                Some((part, next)) if matches_name(part, name.to_bytes()) => add(&mut below, next),
                _ => {}
            }
        }
        Self::Rests(below).simplified()
    }

    /// As [`Wanted::below`], name by name.
    pub(super) fn below_path(self, path: &str) -> Self {
        let names = path.split('/').filter(|name| !name.is_empty());
        // A path of a guest holds no zero byte.
        let names = names.filter_map(|name| CString::new(name).ok());
        names.fold(self, |wanted, name| wanted.below(&name))
    }

    fn simplified(self) -> Self {
        match &self {
            Self::Rests(rests) if rests.iter().any(|rest| rest.is_empty()) => Self::All,
            _ => self,
        }
    }

    /// Whether neither this place nor anything below is wanted.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Rests(rests) if rests.is_empty())
    }

    /// Whether this place itself is.
    pub(super) fn is_complete(&self) -> bool {
        *self == Self::All
    }

    /// The only names in this folder that can be wanted; `None` where only a look tells.
    pub(super) fn names(&self) -> Option<Vec<CString>> {
        let Self::Rests(rests) = self else { return None };
        let name = |rest: &&[&[u8]]| {
            let part = rest.first().filter(|part| **part != b"**")?;
            CString::new(unescaped(part)?).ok()
        };
        let mut names: Vec<CString> = rests.iter().map(name).collect::<Option<_>>()?;
        names.sort();
        names.dedup();
        Some(names)
    }
}

/// The one name that a pattern means; `None` where it may mean several.
fn unescaped(pattern: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'\\' => bytes.next().unwrap_or(b'\\'),
            b'*' | b'?' | b'[' => return None,
            byte => byte,
        });
    }
    Some(name)
}

/// Adds a rest, and what it means where its `**` stands for no folder at all.
fn add<'p>(rests: &mut Vec<&'p [&'p [u8]]>, rest: &'p [&'p [u8]]) {
    if rests.contains(&rest) {
        return;
    }
    rests.push(rest);
    if let Some((part, next)) = rest.split_first()
        && *part == b"**"
    {
        add(rests, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a path below the share is given.
    fn gives(outputs: &[&str], path: &str) -> bool {
        let patterns: Vec<Pattern<'_>> = outputs.iter().map(|output| Pattern::parse(output)).collect();
        Wanted::of(&patterns).below_path(path).is_complete()
    }

    #[test]
    fn an_output_is_what_it_names_and_all_below() {
        for (outputs, path, expected) in [
            (["app", "x"], "app", true),
            (["app", "x"], "app/deep/er", true),
            (["app", "x"], "apple", false),
            (["app", "x"], "", false),
            (["", "x"], "", true),
            (["", "x"], "any/thing", true),
            (["dist/*.tar", "x"], "dist/a.tar", true),
            (["dist/*.tar", "x"], "dist", false),
            (["dist/*.tar", "x"], "dist/sub/a.tar", false),
            (["dist/**", "x"], "dist", false),
            (["dist/**", "x"], "dist/sub/a", true),
            (["**/*.xml", "x"], "unit.xml", true),
            (["**/*.xml", "x"], "a/b/c/unit.xml", true),
            (["**/*.xml", "x"], "a/b/c/unit.txt", false),
            (["a/**/b/**/c", "x"], "a/1/b/2/3/c", true),
            (["a/**/b/**/c", "x"], "a/1/2/c", false),
            (["./a//b/", "x"], "a/b", true),
        ] {
            assert_eq!(gives(&outputs, path), expected, "{outputs:?} {path}");
        }
    }

    #[test]
    fn folders_are_listed_only_where_a_name_is_not_known() {
        let patterns = [Pattern::parse("a/b"), Pattern::parse("c")];
        let wanted = Wanted::of(&patterns);
        assert_eq!(wanted.names(), Some(vec![c"a".to_owned(), c"c".to_owned()]));
        assert_eq!(wanted.below(c"a").names(), Some(vec![c"b".to_owned()]));
        assert!(wanted.below(c"other").is_nothing());
        let patterns = [Pattern::parse("a/*"), Pattern::parse("c")];
        assert_eq!(Wanted::of(&patterns).below(c"a").names(), None);
        assert_eq!(Wanted::All.names(), None);
    }

    #[test]
    fn name_with_wildcards_is_taken_literally() {
        let name = literal(b"a*[b]\\?");
        let patterns = [Pattern::of_name(&name)];
        assert!(Wanted::of(&patterns).below(c"a*[b]\\?").is_complete());
        assert!(Wanted::of(&patterns).below(c"ab\\x").is_nothing());
        assert_eq!(Wanted::of(&patterns).names(), Some(vec![c"a*[b]\\?".to_owned()]));
    }

    #[test]
    fn many_wildcards_stay_few_rests() {
        let text = "**/a/**/a/**/a/**/a/**/a/**/b";
        let patterns = [Pattern::parse(text)];
        let mut wanted = Wanted::of(&patterns);
        for _ in 0..1000 {
            wanted = wanted.below(c"a");
        }
        let Wanted::Rests(rests) = wanted else { panic!("nothing has matched") };
        assert!(rests.len() <= 12, "{}", rests.len());
    }
}
