//! Paths as archives write them, and what names mean to layers: whiteouts (OCI image-spec, `layer.md`). Not here: what is at
//! a path.

use crate::rootfs::{MAX_NAME, MAX_PATH, Name};

use super::EntryFault;
use super::stop::Stop;

/// What an entry's name says of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An entry as any other.
    Plain(Vec<Name>),
    /// What lower layers have at the path is hidden.
    Whiteout(Vec<Name>),
    /// What lower layers have in the folder is hidden.
    Opaque(Vec<Name>),
    /// Data of a file system that layers once were made with (AUFS).
    Foreign,
}

const WHITEOUT: &[u8] = b".wh.";
const FOREIGN: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The names of a path from the root on, however it begins.
pub(super) fn names(path: &[u8], what: &'static str) -> Result<Vec<Name>, Stop> {
    if path.len() > MAX_PATH {
        return Err(Stop::value(what, "longer than 4095 bytes"));
    }
    if path.contains(&0) {
        return Err(Stop::value(what, "a NUL in it"));
    }
    let mut names: Vec<Name> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop().ok_or(EntryFault::Outside { what })?),
            name if name.len() > MAX_NAME => return Err(Stop::value(what, "a name of more than 255 bytes")),
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

/// What a path means in a layer.
pub(super) fn meaning(path: &[u8]) -> Result<Meaning, Stop> {
    if path.is_empty() {
        return Err(Stop::value("path", "empty"));
    }
    let mut names = names(path, "path")?;
    let Some((last, parents)) = names.split_last() else { return Ok(Meaning::Plain(names)) };
    if last == OPAQUE {
        names.pop();
        return Ok(Meaning::Opaque(names));
    }
    if names.iter().any(|name| name.starts_with(FOREIGN)) {
        return Ok(Meaning::Foreign);
    }
    if parents.iter().any(|name| name.starts_with(WHITEOUT)) {
        return Err(Stop::value("path", "below a whiteout"));
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Plain(names)),
        Some(b"" | b"." | b"..") => Err(Stop::value("path", "a whiteout of nothing")),
        Some(hidden) => {
            let hidden = hidden.to_vec();
            names.pop();
            names.push(hidden);
            Ok(Meaning::Whiteout(names))
        }
    }
}

/// A path for people: short enough, and without what a terminal would obey.
pub(super) fn shown(path: &[u8]) -> String {
    const LONGEST: usize = 300;
    let text = String::from_utf8_lossy(path);
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() > LONGEST {
            shown.push('…');
            break;
        }
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Name> {
        text.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect()
    }

    #[test]
    fn paths_are_those_of_the_image_however_they_begin() {
        for (text, expected) in
            [("./a/b", "a/b"), ("/a//b/", "a/b"), ("a/./b/../c", "a/c"), (".", ""), ("./", ""), ("/", ""), ("a/..", "")]
        {
            assert_eq!(meaning(text.as_bytes()).unwrap(), Meaning::Plain(path(expected)), "{text}");
        }
        for text in ["..", "../a", "a/../../b", "/../a", "", "a\0b"] {
            assert!(meaning(text.as_bytes()).is_err(), "{text}");
        }
        let long = |length| format!("a/{}", "n".repeat(length));
        assert!(meaning(long(255).as_bytes()).is_ok());
        assert!(meaning(long(256).as_bytes()).is_err());
        assert!(meaning("ab/".repeat(1365).as_bytes()).is_ok());
        assert!(meaning("ab/".repeat(1366).as_bytes()).is_err());
    }

    #[test]
    fn whiteouts_are_told_by_their_names() {
        for (text, expected) in [
            ("a/.wh.b", Meaning::Whiteout(path("a/b"))),
            ("./.wh.b/", Meaning::Whiteout(path("b"))),
            ("a/.wh..b", Meaning::Whiteout(path("a/.b"))),
            ("a/.wh..wh..opq", Meaning::Opaque(path("a"))),
            (".wh..wh..opq", Meaning::Opaque(path(""))),
            (".wh..wh.plnk/7.8", Meaning::Foreign),
            (".wh..wh.aufs", Meaning::Foreign),
            ("a/.wh", Meaning::Plain(path("a/.wh"))),
        ] {
            assert_eq!(meaning(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in [".wh.", "a/.wh..", ".wh...", "a/.wh.b/c"] {
            assert!(meaning(text.as_bytes()).is_err(), "{text}");
        }
    }
}
