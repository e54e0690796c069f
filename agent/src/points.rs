//! Mount points: what is missing is made, in the machine's own layer always, in a share only where it may.

use std::fs;
use std::io;
use std::path::Path;

use crate::mounts::Mounted;
use crate::sys;

/// What a mount point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    /// For a file of the host.
    File,
    /// For everything else.
    Folder,
}

impl PointKind {
    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
        }
    }
}

/// Makes what is missing of a mount point. `before` are the mounts that are there already.
pub(crate) fn make_mount_point(
    target: &Path,
    kind: PointKind,
    before: &[Mounted],
    is_created_in_share: bool,
) -> Result<(), String> {
    let mut missing = Vec::new();
    let mut above = target;
    loop {
        match fs::metadata(above) {
            Ok(found) => {
                check_type(above, found.is_dir(), if missing.is_empty() { kind } else { PointKind::Folder })?;
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(above).is_ok() {
                    return Err(format!("`{}` is a link that leads nowhere", above.display()));
                }
                missing.push(above);
            }
            Err(error) => return Err(format!("cannot look at `{}`: {error}", above.display())),
        }
        above = above.parent().ok_or("the machine has no root folder")?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let place =
        sys::stat_from_server(above).map_err(|error| format!("cannot look at `{}`: {error}", above.display()))?;
    if let Some(share) = before.iter().find(|mounted| mounted.is_share && mounted.device == place.device) {
        check_share_takes_it(share, target, kind, is_created_in_share)?;
    }
    for path in missing.into_iter().rev() {
        let made = match kind {
            PointKind::File if path == target => fs::File::create_new(path).map(drop),
            _ => fs::create_dir(path),
        };
        made.map_err(|error| format!("cannot make the mount point `{}`: {error}", path.display()))?;
    }
    Ok(())
}

fn check_type(path: &Path, is_folder: bool, kind: PointKind) -> Result<(), String> {
    let path = path.display();
    match (kind, is_folder) {
        (PointKind::Folder, true) | (PointKind::File, false) => Ok(()),
        (PointKind::Folder, false) => Err(format!("`{path}` is not a folder")),
        (PointKind::File, true) => Err(format!("`{path}` is a folder, and the source is a file")),
    }
}

fn check_share_takes_it(share: &Mounted, target: &Path, kind: PointKind, is_created: bool) -> Result<(), String> {
    let (word, target, parent) = (kind.word(), target.display(), share.target.display());
    if share.is_read_only {
        return Err(format!("the {word} `{target}` does not exist in the read-only mount `{parent}`"));
    }
    if !is_created {
        return Err(format!("the {word} `{target}` does not exist in the mount `{parent}`, and `create` is not set"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(folder: &Path, is_share: bool, is_read_only: bool) -> Mounted {
        Mounted::for_test(folder, is_share, is_read_only)
    }

    #[test]
    fn mount_point_is_made_in_a_share_only_where_it_may() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("a/b");
        let make = |is_read_only, is_created| {
            make_mount_point(&target, PointKind::Folder, &[mounted(folder.path(), true, is_read_only)], is_created)
        };
        let refused = make(true, true).expect_err("it is read-only");
        assert!(refused.contains("read-only mount"), "{refused}");
        let refused = make(false, false).expect_err("it is not asked for");
        assert!(refused.contains("`create` is not set"), "{refused}");
        assert!(!folder.path().join("a").exists());
        assert_eq!(make(false, true), Ok(()));
        assert!(target.is_dir());
    }

    #[test]
    fn what_is_in_the_machine_takes_every_mount_point() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("a/file");
        let before = [mounted(folder.path(), false, false)];
        assert_eq!(make_mount_point(&target, PointKind::File, &before, false), Ok(()));
        assert!(target.is_file());
        assert_eq!(make_mount_point(&target, PointKind::File, &before, false), Ok(()));
    }

    #[test]
    fn mount_point_of_the_other_type_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("it is ours");
        let make =
            |target: &Path, kind| make_mount_point(target, kind, &[], true).expect_err("it is of the other type");
        assert!(make(folder.path(), PointKind::File).ends_with("is a folder, and the source is a file"));
        assert!(make(&file, PointKind::Folder).ends_with("is not a folder"));
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).expect("it is ours");
        assert!(make(&folder.path().join("link"), PointKind::File).ends_with("is a link that leads nowhere"));
    }
}
