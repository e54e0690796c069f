//! The check of each mount, as the guest's kernel sees it: there, what was declared, of its type, writable or not.

use std::fs;
use std::path::Path;

use smolvm_agent::{SetupMount, SetupMountKind};

use crate::disk::find_disk;
use crate::mounts::{TMPFS, hidden_share};
use crate::storage::EXT4;
use crate::sys::{self, FileSystemKind, Stat};

/// Largest mount table that is read.
const TABLE_MAX: u64 = 4 << 20;

/// The kernel's table of mounts.
pub(crate) fn read_mount_table() -> Result<String, String> {
    use std::io::Read;
    let mut table = String::new();
    fs::File::open("/proc/self/mountinfo")
        .and_then(|file| file.take(TABLE_MAX).read_to_string(&mut table))
        .map_err(|error| format!("cannot read the table of mounts: {error}"))?;
    Ok(table)
}

/// What must be at a place.
struct Expected<'a> {
    /// Words of the table of mounts: file system and source.
    table: (&'a str, &'a str),
    file_system: FileSystemKind,
    is_file: bool,
    is_read_only: bool,
    inode: Option<u64>,
}

impl<'a> Expected<'a> {
    fn share(tag: &'a str, is_read_only: bool, inode: Option<u64>) -> Self {
        Self { table: ("virtiofs", tag), file_system: FileSystemKind::Fuse, is_file: false, is_read_only, inode }
    }
}

/// Checks that a mount is what was declared.
pub(crate) fn verify_mount(mount: &SetupMount, table: &str) -> Result<(), String> {
    let target = Path::new(&mount.target);
    let in_machine = |table, file_system| Expected { table, file_system, ..Expected::share("", false, None) };
    match &mount.kind {
        SetupMountKind::Folder { tag, is_read_only, inode } => {
            verify(target, &Expected::share(tag, *is_read_only, *inode), table)
        }
        SetupMountKind::File { tag, is_read_only } => {
            verify(target, &Expected { is_file: true, ..Expected::share(tag, *is_read_only, None) }, table)
        }
        SetupMountKind::Overlay { tag, inode } => {
            verify(&hidden_share(tag), &Expected::share(tag, true, *inode), table)?;
            verify(target, &in_machine(("overlay", tag), FileSystemKind::Overlay), table)
        }
        SetupMountKind::Disk { serial, is_read_only, .. } => {
            let device = find_disk(serial).map_err(|error| format!("its disk is not there: {error}"))?;
            let device = device.to_str().ok_or("its disk has no name")?;
            let expected = in_machine((EXT4, device), FileSystemKind::Ext4);
            verify(target, &Expected { is_read_only: *is_read_only, ..expected }, table)
        }
        SetupMountKind::Tmpfs { .. } => verify(target, &in_machine((TMPFS, TMPFS), FileSystemKind::Tmpfs), table),
    }
}

fn verify(target: &Path, expected: &Expected<'_>, table: &str) -> Result<(), String> {
    let target = fs::canonicalize(target).map_err(|error| format!("it is not there: {error}"))?;
    let entry = find_mount(table, &target).ok_or("nothing is mounted there")?;
    let (kind, source) = expected.table;
    if (entry.kind.as_str(), entry.source.as_str()) != (kind, source) {
        let what = match kind {
            _ if kind == source => format!("a {kind}"),
            EXT4 => format!("the disk `{source}`"),
            _ => format!("the share `{source}`"),
        };
        return Err(format!("`{}` ({}) is mounted there, not {what}", entry.source, entry.kind));
    }
    let ask = |path: &Path| sys::stat_from_server(path).map_err(|error| format!("its server does not answer: {error}"));
    let found = ask(&target)?;
    check_type(&found, expected.is_file)?;
    let above = target.parent().ok_or("it is the root")?;
    if found.device == ask(above)?.device {
        return Err("nothing is mounted there".to_owned());
    }
    if let Some(inode) = expected.inode.filter(|inode| *inode != found.inode) {
        return Err(format!("another folder is there: it has inode {}, the source has {inode}", found.inode));
    }
    let system = sys::file_system(&target).map_err(|error| format!("its server does not answer: {error}"))?;
    if system.kind != expected.file_system {
        return Err(format!("another file system is there, not {kind}"));
    }
    match (system.is_read_only, expected.is_read_only) {
        (false, true) => Err("it is writable, and declared read-only".to_owned()),
        (true, false) => Err("it is read-only, and declared writable".to_owned()),
        (false, false) | (true, true) => Ok(()),
    }
}

fn check_type(found: &Stat, is_file: bool) -> Result<(), String> {
    match (is_file, found.is_folder, found.is_file) {
        (false, true, _) | (true, _, true) => Ok(()),
        (false, false, _) => Err("it is not a folder".to_owned()),
        (true, _, false) => Err("it is not a file".to_owned()),
    }
}

/// One line of the table of mounts.
#[derive(Debug, PartialEq, Eq)]
struct MountEntry {
    kind: String,
    source: String,
}

/// The mount that is seen at `target`: the last one there.
fn find_mount(table: &str, target: &Path) -> Option<MountEntry> {
    table.lines().rev().find_map(|line| {
        let mut fields = line.split(' ');
        if unescape(fields.nth(4)?) != target.as_os_str().as_encoded_bytes() {
            return None;
        }
        let mut after = line.split_once(" - ")?.1.split(' ');
        let kind = after.next()?.to_owned();
        let source = String::from_utf8(unescape(after.next()?)).ok()?;
        Some(MountEntry { kind, source })
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        22 1 0:20 / / rw,relatime - overlay root rw,lowerdir=/lower\n\
        23 22 0:21 / /proc rw - proc proc rw\n\
        40 22 0:30 / /code ro,nodev shared:1 - virtiofs share0 ro\n\
        41 22 0:31 / /my\\040data rw,nodev - virtiofs share1 rw\n\
        42 22 0:32 / /code rw - tmpfs other rw\n";

    fn entry(kind: &str, source: &str) -> Option<MountEntry> {
        Some(MountEntry { kind: kind.into(), source: source.into() })
    }

    #[test]
    fn last_mount_at_a_place_is_the_one_that_is_seen() {
        assert_eq!(find_mount(TABLE, Path::new("/code")), entry("tmpfs", "other"));
    }

    #[test]
    fn escaped_places_are_found() {
        assert_eq!(find_mount(TABLE, Path::new("/my data")), entry("virtiofs", "share1"));
        assert_eq!(find_mount(TABLE, Path::new("/my")), None);
    }

    #[test]
    fn folder_that_is_no_mount_is_named_so() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = SetupMount {
            target: folder.path().to_str().expect("it is text").into(),
            is_created_in_share: false,
            kind: SetupMountKind::Folder { tag: "share0".into(), is_read_only: true, inode: None },
        };
        assert_eq!(verify_mount(&mount, TABLE), Err("nothing is mounted there".into()));
    }

    #[test]
    fn what_is_mounted_instead_is_named() {
        let at = |kind| SetupMount { target: "/proc".into(), is_created_in_share: false, kind };
        let table = "22 1 0:20 / /proc rw - proc proc rw\n";
        let folder = SetupMountKind::Folder { tag: "share0".into(), is_read_only: true, inode: None };
        let wrong = verify_mount(&at(folder), table);
        assert_eq!(wrong, Err("`proc` (proc) is mounted there, not the share `share0`".into()));
        let wrong = verify_mount(&at(SetupMountKind::Tmpfs { size_mib: None }), table);
        assert_eq!(wrong, Err("`proc` (proc) is mounted there, not a tmpfs".into()));
    }
}
