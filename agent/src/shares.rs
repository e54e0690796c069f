//! The mounts of the user's folders: made parents first, then each verified as the guest's kernel sees it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use smolvm_agent::SetupMount;

use crate::sys::{self, MountFlags};

/// Largest mount table that is read.
const TABLE_MAX: u64 = 4 << 20;

/// A share that is mounted.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    target: PathBuf,
    device: (u32, u32),
    is_read_only: bool,
}

impl Mounted {
    /// Reads the attributes of the share's root again, from its server.
    pub(crate) fn refresh(&self) -> io::Result<()> {
        sys::stat_from_server(&self.target).map(drop)
    }

    /// Takes the mount away, so that its server hears of the end.
    pub(crate) fn unmount(&self) {
        // Something may still be open there, and the machine ends anyway.
        let _ = sys::unmount_lazily(&self.target);
    }
}

/// Mounts one share. `before` are those that are mounted already.
pub(crate) fn mount_share(mount: &SetupMount, before: &[Mounted]) -> Result<Mounted, String> {
    let target = Path::new(&mount.target);
    if !target.is_absolute() || target == Path::new("/") {
        return Err("the target must be an absolute path, and not the root".to_owned());
    }
    make_mount_point(target, before, mount.is_created_in_share)?;
    let writes = if mount.is_read_only { MountFlags::READ_ONLY } else { MountFlags::NONE };
    sys::mount(&mount.tag, target, "virtiofs", MountFlags::NO_DEV.and(writes), "")
        .map_err(|error| format!("the share `{}` cannot be mounted: {error}", mount.tag))?;
    let found = sys::stat_from_server(target).map_err(|error| format!("the share does not answer: {error}"))?;
    Ok(Mounted { target: target.to_path_buf(), device: found.device, is_read_only: mount.is_read_only })
}

/// Makes what is missing of a mount point: in the machine's own layer always, in a share only where it may.
fn make_mount_point(target: &Path, before: &[Mounted], is_created_in_share: bool) -> Result<(), String> {
    let mut missing = Vec::new();
    let mut above = target;
    loop {
        match fs::metadata(above) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return Err(format!("`{}` is not a folder", above.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(above),
            Err(error) => return Err(format!("cannot look at `{}`: {error}", above.display())),
        }
        above = above.parent().ok_or("the machine has no root folder")?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let place =
        sys::stat_from_server(above).map_err(|error| format!("cannot look at `{}`: {error}", above.display()))?;
    if let Some(share) = before.iter().find(|share| share.device == place.device) {
        check_share_takes_it(share, target, is_created_in_share)?;
    }
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)
            .map_err(|error| format!("cannot make the mount point `{}`: {error}", folder.display()))?;
    }
    Ok(())
}

fn check_share_takes_it(share: &Mounted, target: &Path, is_created: bool) -> Result<(), String> {
    let (target, parent) = (target.display(), share.target.display());
    if share.is_read_only {
        return Err(format!("the folder `{target}` does not exist in the read-only mount `{parent}`"));
    }
    if !is_created {
        return Err(format!("the folder `{target}` does not exist in the mount `{parent}`, and `create` is not set"));
    }
    Ok(())
}

/// The kernel's table of mounts.
pub(crate) fn read_mount_table() -> Result<String, String> {
    use std::io::Read;
    let mut table = String::new();
    fs::File::open("/proc/self/mountinfo")
        .and_then(|file| file.take(TABLE_MAX).read_to_string(&mut table))
        .map_err(|error| format!("cannot read the table of mounts: {error}"))?;
    Ok(table)
}

/// Checks that a mount is what was declared: there, that share, a folder, writable or not.
pub(crate) fn verify_share(mount: &SetupMount, table: &str) -> Result<(), String> {
    let target = fs::canonicalize(&mount.target).map_err(|error| format!("it is not there: {error}"))?;
    let entry = find_mount(table, &target).ok_or("nothing is mounted there")?;
    if entry.kind != "virtiofs" || entry.source != mount.tag {
        return Err(format!("`{}` ({}) is mounted there, not the share `{}`", entry.source, entry.kind, mount.tag));
    }
    let ask = |path: &Path| sys::stat_from_server(path).map_err(|error| format!("its server does not answer: {error}"));
    let found = ask(&target)?;
    if !found.is_folder {
        return Err("it is not a folder".to_owned());
    }
    if found.device == ask(&target.join(".."))?.device {
        return Err("nothing is mounted there".to_owned());
    }
    if let Some(inode) = mount.inode.filter(|inode| *inode != found.inode) {
        return Err(format!("another folder is there: it has inode {}, the source has {inode}", found.inode));
    }
    let system = sys::file_system(&target).map_err(|error| format!("its server does not answer: {error}"))?;
    match (system.is_fuse, system.is_read_only, mount.is_read_only) {
        (false, _, _) => Err("it is not a shared folder".to_owned()),
        (true, false, true) => Err("it is writable, and declared read-only".to_owned()),
        (true, true, false) => Err("it is read-only, and declared writable".to_owned()),
        (true, _, _) => Ok(()),
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
            tag: "share0".into(),
            target: folder.path().to_str().expect("it is text").into(),
            is_read_only: true,
            is_created_in_share: false,
            inode: None,
        };
        assert_eq!(verify_share(&mount, TABLE), Err("nothing is mounted there".into()));
    }

    #[test]
    fn mount_point_is_made_in_a_share_only_where_it_may() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let device = sys::stat_from_server(folder.path()).expect("it is there").device;
        let share = |is_read_only| Mounted { target: folder.path().to_path_buf(), device, is_read_only };
        let target = folder.path().join("a/b");
        let refused = make_mount_point(&target, &[share(true)], true).expect_err("it is read-only");
        assert!(refused.contains("read-only mount"), "{refused}");
        let refused = make_mount_point(&target, &[share(false)], false).expect_err("it is not asked for");
        assert!(refused.contains("`create` is not set"), "{refused}");
        assert!(!folder.path().join("a").exists());
        assert_eq!(make_mount_point(&target, &[share(false)], true), Ok(()));
        assert!(target.is_dir());
    }
}
