//! Where an image has its kernel and the modules of it. Pure. Not here: copying them.

use std::cmp::Ordering;

use crate::rootfs::{Follow, InodeKind, RootTree};

/// Where a kernel is looked for, in words.
pub(super) const LOOKED: [&str; 7] = [
    "`boot/vmlinuz*`",
    "`boot/vmlinux*`",
    "`lib/modules/*/vmlinuz`",
    "`vmlinuz`, `vmlinux`",
    "`boot/bzImage`",
    "`boot/kernel`",
    "`kernel`",
];
/// Folders of modules, each with one folder a version.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// Kernels without a version in their name.
const PLAIN: [&str; 5] = ["vmlinuz", "vmlinux", "boot/bzImage", "boot/kernel", "kernel"];
/// What lies beside kernels and has nearly their names.
const OTHERS: [&str; 8] = [".old", ".bak", ".gz", ".xz", ".zst", ".bz2", ".hmac", ".sig"];

/// A kernel in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As it was found, links not resolved.
    pub(super) path: String,
    /// Number of the file.
    pub(super) inode: u32,
}

/// The kernel of an image: the newest of those with a version in their name, or else the first without one.
pub(super) fn kernel(tree: &RootTree) -> Option<Found> {
    let mut found: Vec<(String, Found)> = Vec::new();
    for prefix in ["vmlinuz", "vmlinux"] {
        for name in names(tree, "boot") {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let version = rest.strip_prefix('-').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
            let is_other = OTHERS.iter().any(|end| name.ends_with(end));
            let file = (!is_other).then(|| file(tree, &format!("boot/{name}"))).flatten();
            found.extend(file.map(|file| (version.unwrap_or_default().to_owned(), file)));
        }
    }
    for folder in MODULES {
        for version in names(tree, folder) {
            let files = ["vmlinuz", "vmlinux"].map(|name| file(tree, &format!("{folder}/{version}/{name}")));
            found.extend(files.into_iter().flatten().map(|file| (version.to_owned(), file)));
        }
    }
    found.extend(PLAIN.iter().filter_map(|path| Some((String::new(), file(tree, path)?))));
    // Stable: of those of one version the first remains first.
    found.sort_by(|(one, _), (other, _)| compare(other.as_bytes(), one.as_bytes()));
    found.into_iter().next().map(|(_, found)| found)
}

/// Path and number of the folder with the modules of this version.
pub(super) fn modules(tree: &RootTree, version: &str) -> Option<(String, u32)> {
    let paths = MODULES.map(|folder| format!("{folder}/{version}"));
    paths.into_iter().find_map(|path| {
        let number = tree.lookup(path.as_bytes(), Follow::All).ok()?;
        matches!(tree.inode(number)?.kind, InodeKind::Folder { .. }).then_some((path, number))
    })
}

/// Names in a folder that can be shown.
fn names<'a>(tree: &'a RootTree, folder: &str) -> impl Iterator<Item = &'a str> {
    let entries = tree.lookup(folder.as_bytes(), Follow::All).map_or(&[][..], |number| tree.entries(number));
    entries.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok())
}

/// The regular file at a path; links lead where they lead in the image.
fn file(tree: &RootTree, path: &str) -> Option<Found> {
    let inode = tree.lookup(path.as_bytes(), Follow::All).ok()?;
    let is_file = matches!(tree.inode(inode)?.kind, InodeKind::File { .. });
    is_file.then(|| Found { path: path.to_owned(), inode })
}

/// Orders versions: numbers as numbers, `-rc1` before what it is a candidate for, and no version before any.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    if one.is_empty() || other.is_empty() {
        return one.len().cmp(&other.len());
    }
    let (mut one, mut other) = (one, other);
    while !one.is_empty() || !other.is_empty() {
        let (first, second) = (number(&mut one), number(&mut other));
        let order = first.len().cmp(&second.len()).then_with(|| first.cmp(second));
        let is_candidate = |rest: &[u8]| rest.starts_with(b"-rc");
        let order = order.then_with(|| is_candidate(other).cmp(&is_candidate(one)));
        let order = order.then_with(|| one.first().cmp(&other.first()));
        if order.is_ne() {
            return order;
        }
        one = one.get(1..).unwrap_or_default();
        other = other.get(1..).unwrap_or_default();
    }
    Ordering::Equal
}

/// Takes the digits from the start, leading zeros left out.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::{Attributes, Inode};

    /// A tree with these files, folders and links: `path`, `path/`, `path -> target`.
    pub(super) fn tree(lines: &[&str]) -> RootTree {
        let folder = |parent| Inode {
            kind: InodeKind::Folder { parent, entries: Vec::new() },
            attributes: Attributes::default(),
            links: 2,
        };
        let mut tree = RootTree { inodes: vec![folder(0)], packs: 0 };
        for line in lines {
            let (path, target) = line.split_once(" -> ").map_or((*line, None), |(path, target)| (path, Some(target)));
            let is_folder = path.ends_with('/');
            let names: Vec<&str> = path.trim_end_matches('/').split('/').collect();
            let mut here = 0;
            for (place, name) in names.iter().enumerate() {
                let is_last = place + 1 == names.len();
                if let Some(known) = tree.child(here, name.as_bytes()) {
                    here = known;
                    continue;
                }
                let new = u32::try_from(tree.inodes.len()).unwrap();
                let mut inode = folder(here);
                if let (true, Some(target)) = (is_last, target) {
                    inode.kind = InodeKind::Link { target: target.as_bytes().to_vec() };
                } else if is_last && !is_folder {
                    inode.kind = InodeKind::File { size: 0, extents: Vec::new() };
                }
                tree.inodes.push(inode);
                let InodeKind::Folder { entries, .. } = &mut tree.inodes[here as usize].kind else { panic!("{line}") };
                entries.push((name.as_bytes().to_vec(), new));
                entries.sort();
                here = new;
            }
        }
        tree
    }

    fn found(lines: &[&str]) -> Option<String> {
        kernel(&tree(lines)).map(|found| found.path)
    }

    #[test]
    fn newest_version_is_taken_before_names_without_one() {
        let all =
            ["boot/vmlinuz-6.9.1", "boot/vmlinuz-6.12.0", "boot/vmlinuz-6.12.0-rc3", "vmlinuz", "boot/vmlinuz.old"];
        assert_eq!(found(&all).as_deref(), Some("boot/vmlinuz-6.12.0"));
        assert_eq!(found(&["boot/vmlinuz-6.1", "boot/vmlinux-6.1"]).as_deref(), Some("boot/vmlinuz-6.1"));
        assert_eq!(found(&["boot/vmlinux-6.4.xz", "boot/vmlinuz-6.4"]).as_deref(), Some("boot/vmlinuz-6.4"));
        let arch = ["usr/lib/modules/6.18-arch/vmlinuz", "boot/vmlinuz-linux"];
        assert_eq!(found(&arch).as_deref(), Some("usr/lib/modules/6.18-arch/vmlinuz"));
    }

    #[test]
    fn names_without_a_version_have_an_order_and_folders_are_no_kernels() {
        assert_eq!(found(&["kernel", "boot/bzImage", "vmlinux"]).as_deref(), Some("vmlinux"));
        assert_eq!(found(&["kernel", "boot/vmlinuz/"]).as_deref(), Some("kernel"));
        assert_eq!(found(&["boot/kernel/", "boot/initrd.img-6.1", "etc/passwd"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn links_lead_inside_the_image_only() {
        let inside = tree(&["vmlinuz -> /data/k", "data/k", "lib -> usr/lib", "usr/lib/modules/6.1/"]);
        assert_eq!(inside.child(inside.child(0, b"data").unwrap(), b"k"), kernel(&inside).map(|found| found.inode));
        assert_eq!(modules(&inside, "6.1").map(|(path, _)| path).as_deref(), Some("lib/modules/6.1"));
        assert_eq!(modules(&inside, "6.2"), None);
        assert_eq!(found(&["vmlinuz -> ../../../boot/none", "boot/vmlinuz -> vmlinuz"]), None);
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        for (older, newer) in [("6.9", "6.10"), ("6.1.0-9-amd64", "6.1.0-56-amd64"), ("6.12-rc7", "6.12"), ("", "0")] {
            assert_eq!(compare(older.as_bytes(), newer.as_bytes()), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer.as_bytes(), older.as_bytes()), Ordering::Greater, "{older} {newer}");
        }
        assert_eq!(compare(b"6.01", b"6.1"), Ordering::Equal);
    }
}
