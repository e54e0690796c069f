//! Makes the host folders that a mount with `create: true` lacks, with the invoker's rights.
//!
//! The folder itself then belongs to the owner of the mount, where that is another user. Under `sudo` a thread that has
//! only the rights of the calling user makes them, so they are theirs and no link can lead to a place that they could
//! not write themselves. Deliberately not here: mount points in the guest.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fstat, openat};

use crate::plan::{Invoker, MountPlan, MountPlanKind, OwnerPlan};
use crate::sys::identity;

/// Why a folder could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The system refused.
    #[error("cannot make folder `{path}`")]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else has the name.
    #[error("`{path}` is there, but is not a folder")]
    NotFolder {
        /// What is there.
        path: PathBuf,
    },
}

/// Makes what is missing for these mounts.
pub(crate) fn create_missing(mounts: &[MountPlan], invoker: &Invoker) -> Result<(), FolderError> {
    for mount in mounts.iter().filter(|mount| mount.create) {
        let MountPlanKind::Bind { source: path, is_file: false, owner, .. } = &mount.kind else { continue };
        let is_new = !path.exists();
        let result = if invoker.is_process_root && invoker.uid != 0 {
            identity::as_user(invoker.uid, invoker.gid, &invoker.groups, || create(path)).and_then(|made| made)
        } else {
            create(path)
        };
        let result = match (result, owner) {
            (Ok(true), OwnerPlan::Ids { uid, gid, .. }) if is_new && invoker.is_process_root => {
                give(path, invoker.uid, (*uid, *gid)).map(|()| true)
            }
            (result, _) => result,
        };
        match result {
            Ok(true) => {}
            Ok(false) => return Err(FolderError::NotFolder { path: path.clone() }),
            Err(source) => return Err(FolderError::Create { path: path.clone(), source }),
        }
    }
    Ok(())
}

/// Makes a folder and its parents; false where something else has the name.
fn create(path: &Path) -> io::Result<bool> {
    match std::fs::create_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path.is_dir()),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    }
}

/// Gives a folder that was made to the owner of its mount, who acts there with no other rights. What is no longer that
/// folder is left alone.
fn give(path: &Path, maker: u32, owner: (u32, u32)) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(CWD, path, flags, Mode::empty())?;
    if fstat(&folder)?.st_uid == maker {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        chownat(&folder, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Cache, GuestPath};

    fn mount(source: PathBuf, create: bool) -> MountPlan {
        MountPlan {
            target: GuestPath::parse("/out").unwrap(),
            create,
            kind: MountPlanKind::Bind {
                tag: "share0".to_owned(),
                source,
                is_file: false,
                readonly: false,
                owner: OwnerPlan::Invoker,
                guest_owner: None,
                cache: Cache::Auto,
            },
        }
    }

    fn invoker() -> Invoker {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        Invoker { uid, gid, groups: Vec::new(), name: None, home: None, is_process_root: uid == 0 }
    }

    #[test]
    fn only_mounts_that_ask_for_it_get_a_folder() {
        let base = tempfile::tempdir().unwrap();
        let mounts = [mount(base.path().join("a/b"), true), mount(base.path().join("c"), false)];
        create_missing(&mounts, &invoker()).unwrap();
        assert!(base.path().join("a/b").is_dir() && !base.path().join("c").exists());
        create_missing(&mounts, &invoker()).unwrap();
    }

    #[test]
    fn a_file_of_that_name_is_an_error_that_says_so() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("a"), "").unwrap();
        let error = create_missing(&[mount(base.path().join("a"), true)], &invoker()).unwrap_err();
        assert!(matches!(error, FolderError::NotFolder { .. }), "{error}");
    }

    #[test]
    fn under_sudo_the_folder_belongs_to_the_calling_user() {
        use std::os::unix::fs::MetadataExt;
        if !invoker().is_process_root {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(base.path(), Some(1234), Some(1234)).unwrap();
        let sudo = Invoker { uid: 1234, gid: 1234, ..invoker() };
        create_missing(&[mount(base.path().join("a/b"), true)], &sudo).unwrap();
        assert_eq!(std::fs::metadata(base.path().join("a")).unwrap().uid(), 1234);
    }
}
