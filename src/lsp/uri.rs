//! Names of documents: URIs on the client's side, paths on ours.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lsp_types::Uri;

/// The path of a `file:` URI on this computer; none of another scheme, and of what is no absolute path.
pub(super) fn to_path(uri: &Uri) -> Option<PathBuf> {
    let text = uri.as_str();
    let rest = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("file:")).map(|_| &text[5..])?;
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let start = rest.find('/')?;
            let host = &rest[..start];
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return None;
            }
            &rest[start..]
        }
        None => rest,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let bytes = decode(path);
    if !bytes.starts_with(b"/") || bytes.contains(&0) {
        return None;
    }
    Some(clean(Path::new(OsStr::from_bytes(&bytes))))
}

/// The URI of an absolute path.
pub(super) fn of_path(path: &Path) -> Option<Uri> {
    let mut text = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Uri::from_str(&text).ok()
}

/// A path without `.`, `..` and repeated slashes, by its words alone.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => out.push(name),
            std::path::Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(uri: &str) -> Option<String> {
        to_path(&Uri::from_str(uri).ok()?).map(|path| path.display().to_string())
    }

    #[test]
    fn file_uris_are_paths_and_others_are_not() {
        assert_eq!(path("file:///a/b%20c/%C3%A9.yaml").as_deref(), Some("/a/b c/é.yaml"));
        assert_eq!(path("file://localhost/a/./b/../c").as_deref(), Some("/a/c"));
        assert_eq!(path("FILE:/a").as_deref(), Some("/a"));
        assert_eq!(path("file:///a%zz").as_deref(), None, "no URI at all");
        for other in ["untitled:Untitled-1", "file://server/share/x", "file:a", "git:/a", "file:///a%00b", "file:"] {
            assert_eq!(path(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_path_comes_back(names in proptest::collection::vec("[a-z %#?&é\u{1F600}:+@]{1,8}", 1..4)) {
            let path = PathBuf::from(format!("/{}", names.join("/")));
            let uri = of_path(&path).expect("a path has a URI");
            prop_assert_eq!(to_path(&uri), Some(path));
        }
    }
}
