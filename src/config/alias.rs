//! Where a path of a guest leads once links are followed, as the guest's kernel does it: pure path algebra.
//!
//! Which path is a link, and where it leads, is asked of the caller: an image, a share, or nothing at all.
//! Deliberately not here: any file access, and host paths.

use std::borrow::Cow;

use super::model::GuestPath;

/// As many links as Linux follows in one path.
const LINKS_MAX: u32 = 40;

/// Follows the links of `path`. `link` gets absolute paths whose parents are free of links and says where the link
/// there leads, or nothing where there is none. A path that never ends (a loop) comes back as it was.
pub(crate) fn follow(path: &GuestPath, link: &mut dyn FnMut(&str) -> Option<String>) -> GuestPath {
    let mut pending: Vec<Cow<'_, str>> = components(path.as_str()).map(Cow::Borrowed).collect();
    let mut done = String::with_capacity(path.as_str().len());
    let mut budget = LINKS_MAX;
    while let Some(part) = pending.pop() {
        let parent = done.len();
        if part == ".." {
            done.truncate(done.rfind('/').unwrap_or(0));
            continue;
        }
        done.push('/');
        done.push_str(&part);
        let Some(target) = link(&done) else { continue };
        let Some(rest) = budget.checked_sub(1) else { return path.clone() };
        budget = rest;
        done.truncate(if target.starts_with('/') { 0 } else { parent });
        pending.extend(components(&target).map(|part| Cow::Owned(part.to_owned())));
    }
    GuestPath::parse(if done.is_empty() { "/" } else { &done }).unwrap_or_else(|| path.clone())
}

/// Components in reverse, so that the first one is popped first; empty ones and `.` say nothing.
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').rev().filter(|part| !part.is_empty() && *part != ".")
}

/// The links that nearly every image has, assumed where the image is not at hand.
pub(crate) fn assumed_link(path: &str) -> Option<String> {
    match path {
        "/var/run" => Some("/run".to_owned()),
        "/var/lock" => Some("/run/lock".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn follow_text(path: &str, links: &[(&str, &str)]) -> String {
        let links: BTreeMap<&str, &str> = links.iter().copied().collect();
        let path = GuestPath::parse(path).expect("an absolute path");
        follow(&path, &mut |at| links.get(at).map(|to| (*to).to_owned())).as_str().to_owned()
    }

    #[test]
    fn a_relative_link_starts_at_its_own_folder() {
        assert_eq!(follow_text("/bin/sh", &[("/bin", "usr/bin")]), "/usr/bin/sh");
        assert_eq!(follow_text("/a/b/c", &[("/a/b", "../x/./y")]), "/x/y/c");
    }

    #[test]
    fn an_absolute_link_starts_at_the_root() {
        assert_eq!(follow_text("/var/run/app", &[("/var/run", "/run")]), "/run/app");
    }

    #[test]
    fn links_lead_to_links() {
        assert_eq!(follow_text("/a/x", &[("/a", "b"), ("/b", "/c/d"), ("/c", "e")]), "/e/d/x");
    }

    #[test]
    fn nothing_leaves_the_root() {
        assert_eq!(follow_text("/a", &[("/a", "../../../etc")]), "/etc");
        assert_eq!(follow_text("/a", &[("/a", "/..")]), "/");
    }

    #[test]
    fn a_loop_comes_back_as_it_was() {
        assert_eq!(follow_text("/a/x", &[("/a", "b"), ("/b", "a")]), "/a/x");
    }

    #[test]
    fn both_assumed_links_are_followed() {
        let path = GuestPath::parse("/var/lock/x").expect("an absolute path");
        assert_eq!(follow(&path, &mut assumed_link).as_str(), "/run/lock/x");
    }

    /// The slow and plain way: replace the first link in the path by where it leads, and begin again.
    fn follow_naively(path: &str, links: &BTreeMap<String, String>) -> Option<String> {
        let mut path = path.to_owned();
        'again: for _ in 0..=LINKS_MAX {
            let mut done: Vec<&str> = Vec::new();
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            for (index, part) in parts.iter().enumerate() {
                if *part == ".." {
                    done.pop();
                    continue;
                }
                let parent = format!("/{}", done.join("/"));
                done.push(part);
                if let Some(to) = links.get(&format!("/{}", done.join("/"))) {
                    let rest = parts[index + 1..].join("/");
                    path = if to.starts_with('/') { format!("{to}/{rest}") } else { format!("{parent}/{to}/{rest}") };
                    continue 'again;
                }
            }
            return Some(format!("/{}", done.join("/")));
        }
        None
    }

    proptest! {
        #[test]
        fn following_equals_replacing_link_by_link(
            path in "(/[abc]){1,5}",
            links in proptest::collection::btree_map("(/[abc]){1,3}", "/?([abc]|\\.\\.|\\.)(/([abc]|\\.\\.)){0,2}", 0..4),
        ) {
            let start = GuestPath::parse(&path).expect("an absolute path");
            let found = follow(&start, &mut |at| links.get(at).cloned());
            let expected = follow_naively(&path, &links).unwrap_or(path);
            prop_assert_eq!(found.as_str(), expected.as_str());
        }

        #[test]
        fn what_was_followed_has_no_links_left(
            path in "(/[abc]){1,5}",
            links in proptest::collection::btree_map("(/[abc]){1,3}", "/[xyz](/[xyz]){0,2}", 0..4),
        ) {
            let start = GuestPath::parse(&path).expect("an absolute path");
            let once = follow(&start, &mut |at| links.get(at).cloned());
            let twice = follow(&once, &mut |at| links.get(at).cloned());
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn parsing_a_normal_path_again_changes_nothing(text in "/[a/.]{0,12}") {
            if let Some(path) = GuestPath::parse(&text) {
                prop_assert_eq!(GuestPath::parse(path.as_str()), Some(path.clone()));
                prop_assert!(path.is_at_or_below(&path));
            }
        }
    }
}
