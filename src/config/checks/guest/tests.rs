//! Homes, links and contents of an image, as a guest sees them.

use proptest::prelude::*;

use super::*;
use crate::config::MemoryFiles;

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).expect("an absolute path")
}

fn unpacked() -> Image {
    Image::Dir(PathBuf::from("/image"))
}

/// Where a path leads in an image with these links.
fn leads(links: &[(&str, &str)], at: &str) -> String {
    let image = |path: &str| format!("/image{path}");
    let files =
        links.iter().fold(MemoryFiles::new().folder("/image"), |files, (from, to)| files.link(image(from), *to));
    Guest::new(&unpacked(), None, &files).follow(&path(at), &files).as_str().to_owned()
}

#[test]
fn links_of_an_unpacked_image_lead_inside_it() {
    assert_eq!(leads(&[("/bin", "usr/bin")], "/bin/sh"), "/usr/bin/sh");
    assert_eq!(leads(&[("/bin", "/usr/bin")], "/bin/sh"), "/usr/bin/sh", "absolute, in the image");
    assert_eq!(leads(&[("/var/run", "../run")], "/var/run/x"), "/run/x");
    assert_eq!(leads(&[("/a", "b"), ("/b", "/c"), ("/c", "d")], "/a/x"), "/d/x", "a chain");
    assert_eq!(leads(&[("/opt/x/link", "../../data")], "/opt/x/link/y"), "/data/y", "in the middle of a path");
    assert_eq!(leads(&[("/a", "b"), ("/b", "a")], "/a/x"), "/a/x", "a loop");
    assert_eq!(leads(&[("/a", "../../../etc")], "/a"), "/etc", "there is nothing above the root");
    assert_eq!(leads(&[("/a", "none")], "/a/x"), "/none/x", "what is missing is made there");
}

#[test]
fn places_hidden_on_this_computer_and_what_only_some_may_read_have_no_links_in_a_guest() {
    let files = MemoryFiles::new()
        .link("/srv/www", "/usr/www")
        .link("/opt/private/link", "/usr/x")
        .unreadable("/opt/private")
        .link("/opt/link", "/usr/y");
    let guest = Guest::new(&Image::Host, None, &files);
    let follow = |at: &str| guest.follow(&path(at), &files).as_str().to_owned();
    assert_eq!(follow("/srv/www/a"), "/srv/www/a");
    assert_eq!(follow("/opt/private/link"), "/opt/private/link");
    assert_eq!(follow("/opt/link/z"), "/usr/y/z");
    let unpacked = Guest::new(&Image::Dir(PathBuf::from("/")), None, &files);
    assert_eq!(unpacked.follow(&path("/srv/www/a"), &files).as_str(), "/usr/www/a", "the same tree by its path");
}

#[test]
fn an_image_that_is_not_at_hand_has_the_usual_links_alone() {
    let files = MemoryFiles::new();
    let guest = Guest::new(&unpacked(), None, &files);
    assert!(!guest.is_at_hand() && guest.homes(&files).is_empty() && guest.moved(&files).is_empty());
    assert_eq!(guest.follow(&path("/var/run/x"), &files).as_str(), "/run/x");
    assert!(guest.contents(&path("/etc"), &files, &Cell::new(100)).is_none());
}

#[test]
fn an_image_that_was_brought_is_at_hand() {
    let files =
        MemoryFiles::new().folder("/store/1/etc").link("/store/1/data", "opt/data").image_root("app:1", "/store/1");
    let reference = crate::config::reference::Reference::parse("app:1").expect("a reference");
    let guest = Guest::new(&Image::Reference(reference), None, &files);
    assert!(guest.is_at_hand());
    assert_eq!(guest.follow(&path("/data/x"), &files).as_str(), "/opt/data/x");
}

#[test]
fn homes_are_those_of_root_and_of_people_that_exist() {
    let passwd = "root:x:0:0::/data/root:/bin/sh\nwww:x:33:33::/srv/www:/\napp:x:1000:1000::/app:/bin/sh\n\
        bob:x:1001:1::/gone:/\nnobody:x:65534:1::/nowhere:/\nbroken\neve:x:1002:1::relative:/\ntop:x:1003:1::/:/\n\
        led:x:1004:1::/link:/\n";
    let files = MemoryFiles::new()
        .file("/image/usr/etc/passwd", passwd)
        .link("/image/etc", "usr/etc")
        .link("/image/link", "led")
        .folder("/image/data/root")
        .folder("/image/app")
        .folder("/image/srv/www")
        .folder("/image/nowhere")
        .folder("/image/led");
    let guest = Guest::new(&unpacked(), None, &files);
    let homes: Vec<(&str, &str)> =
        guest.homes(&files).iter().map(|home| (home.user.as_str(), home.path.as_str())).collect();
    assert_eq!(homes, [("root", "/data/root"), ("app", "/app"), ("led", "/led")]);
}

#[test]
fn the_system_is_found_where_links_put_it() {
    let files = MemoryFiles::new()
        .link("/image/bin", "/system/bin")
        .link("/image/lib", "usr/lib")
        .link("/image/lib64", "lib")
        .folder("/image/usr/lib")
        .folder("/image/system/bin");
    let guest = Guest::new(&unpacked(), None, &files);
    assert_eq!(guest.moved(&files), [(path("/system/bin"), "/bin")]);
}

#[test]
fn what_a_folder_holds_is_told_of_folders_alone_and_within_a_budget() {
    let files = MemoryFiles::new()
        .file("/image/opt/a/one", "")
        .file("/image/opt/two", "")
        .folder("/image/empty")
        .link("/image/led", "opt");
    let guest = Guest::new(&unpacked(), None, &files);
    let budget = Cell::new(3);
    let found = guest.contents(&path("/opt"), &files, &budget).expect("it holds something");
    assert_eq!((found.entries, found.files, budget.get()), (2, 2, 0));
    for nothing in ["/empty", "/none", "/opt/two", "/none/below"] {
        assert!(guest.contents(&path(nothing), &files, &budget).is_none(), "{nothing}");
    }
    let host = Guest::new(&Image::Host, None, &files);
    assert!(host.contents(&path("/home"), &files, &Cell::new(9)).is_none(), "hidden");
    assert!(host.contents(&path("/image"), &files, &Cell::new(9)).is_some());
}

/// Follows a path as one would by hand: one link at a time, the whole path anew.
fn follow_by_hand(links: &[(String, String)], at: &str) -> Option<String> {
    let mut current = at.to_owned();
    for _ in 0..=40 {
        let mut parts: Vec<&str> = Vec::new();
        let mut next = None;
        let all: Vec<&str> = current.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        for (index, part) in all.iter().enumerate() {
            if *part == ".." {
                parts.pop();
                continue;
            }
            let parent = format!("/{}", parts.join("/"));
            parts.push(part);
            let here = format!("/{}", parts.join("/"));
            if let Some((_, target)) = links.iter().find(|(from, _)| *from == here) {
                let base = if target.starts_with('/') { String::new() } else { parent };
                next = Some(format!("{base}/{target}/{}", all[index + 1..].join("/")));
                break;
            }
        }
        match next {
            Some(path) => current = path,
            None => return Some(format!("/{}", parts.join("/"))),
        }
    }
    None
}

proptest! {
    #[test]
    fn links_lead_where_they_lead_by_hand(
        farm in proptest::collection::btree_map("(/[abc]){1,3}", "/?([abc]|\\.\\.)(/([abc]|\\.\\.)){0,2}", 0..7),
        at in "(/[abc]){1,4}",
    ) {
        // A link below a link cannot be made: the upper one stands in the place of a folder.
        let is_below = |from: &str, above: &str| from.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
        let links: Vec<(String, String)> = farm
            .iter()
            .filter(|(from, _)| !farm.keys().any(|above| is_below(from, above)))
            .map(|(from, to)| (from.clone(), to.clone()))
            .collect();
        let by_hand = follow_by_hand(&links, &at);
        let pairs: Vec<(&str, &str)> = links.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let expected = by_hand.unwrap_or_else(|| path(&at).as_str().to_owned());
        prop_assert_eq!(leads(&pairs, &at), expected, "{:?}", links);
    }
}
