//! The mounts of the user, one after the other, parents first.
//!
//! ```text
//! folder    share ─► target
//! file      share ─► hidden place, its only entry ─bind─► target
//! overlay   share ─► hidden place, below a layer of the machine ─► target
//! tmpfs     memory ─► target
//! disk      disk ─► target, which gets what the image has there where it is new
//! ```
//!
//! Deliberately not here: the check of what was made (`verify`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use smolvm_agent::{DiskBeginning, SetupMount, SetupMountKind};

use crate::beginning::{self, Image};
use crate::places::copy_folder;
use crate::points::{PointKind, make_mount_point};
use crate::root::{LAYERS, OVERLAY_OPTIONS, SHARES};
use crate::storage::mount_disk;
use crate::sys::{self, MountFlags};

/// File system and source of a folder in memory, as the kernel's table names them.
pub(crate) const TMPFS: &str = "tmpfs";

/// What is mounted.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    pub(crate) target: PathBuf,
    pub(crate) device: (u32, u32),
    /// Whether mount points that are made in it are made on the host.
    pub(crate) is_share: bool,
    pub(crate) is_read_only: bool,
    /// Where its share is mounted, where that is not the target.
    hidden: Option<PathBuf>,
}

impl Mounted {
    /// A mount of a test, which is only a folder.
    #[cfg(test)]
    pub(crate) fn for_test(folder: &Path, is_share: bool, is_read_only: bool) -> Self {
        let device = sys::stat_from_server(folder).expect("it is there").device;
        Self { target: folder.to_path_buf(), device, is_share, is_read_only, hidden: None }
    }

    /// Takes the mount away, so that its server hears of the end.
    pub(crate) fn unmount(&self) {
        for place in [Some(&self.target), self.hidden.as_ref()].into_iter().flatten() {
            // Something may still be open there, and the machine ends anyway.
            let _ = sys::unmount_lazily(place);
        }
    }
}

/// Reads the attributes again, from their servers, of what the kernel cannot forget: the roots of shares and the folders
/// on the way to them, which may be those of other shares. (What an overlay saw, it keeps.)
pub(crate) fn refresh(mounts: &[Mounted]) -> io::Result<()> {
    let places: BTreeSet<&Path> = mounts.iter().flat_map(|mounted| mounted.target.ancestors()).collect();
    for place in places {
        match sys::stat_from_server(place) {
            // A step has moved it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => drop(result?),
        }
    }
    Ok(())
}

/// Makes one mount. `before` are those that are there already.
pub(crate) fn make_mount(mount: &SetupMount, before: &[Mounted], image: &Image) -> Result<Mounted, String> {
    let target = Path::new(&mount.target);
    if !target.is_absolute() || target == Path::new("/") {
        return Err("the target must be an absolute path, and not the root".to_owned());
    }
    let point = if matches!(mount.kind, SetupMountKind::File { .. }) { PointKind::File } else { PointKind::Folder };
    // As the image has it: a mount point that is made now is none of it.
    let hidden_folder = match &mount.kind {
        SetupMountKind::Disk { beginning: Some(DiskBeginning { is_filled: true, .. }), .. } => image.folder(target),
        _ => None,
    };
    make_mount_point(target, point, before, mount.is_created_in_share)?;
    let (is_share, is_read_only, hidden) = match &mount.kind {
        SetupMountKind::Folder { tag, is_read_only, .. } => {
            mount_share(tag, target, *is_read_only)?;
            (true, *is_read_only, None)
        }
        SetupMountKind::File { tag, is_read_only } => {
            (true, *is_read_only, Some(mount_file(tag, target, *is_read_only)?))
        }
        SetupMountKind::Overlay { tag, .. } => (false, false, Some(mount_overlay(tag, target)?)),
        SetupMountKind::Tmpfs { size_mib } => {
            mount_tmpfs(target, *size_mib)?;
            (false, false, None)
        }
        SetupMountKind::Disk { serial, is_read_only, beginning } => {
            mount_disk(serial, target, *is_read_only)?;
            if let Some(beginning) = beginning {
                beginning::begin(target, beginning, hidden_folder.as_ref())?;
            }
            (false, *is_read_only, None)
        }
    };
    let found = sys::stat_from_server(target).map_err(|error| format!("it does not answer: {error}"))?;
    Ok(Mounted { target: target.to_path_buf(), device: found.device, is_share, is_read_only, hidden })
}

/// Where a share is mounted that is not itself what is seen at the target.
pub(crate) fn hidden_share(tag: &str) -> PathBuf {
    Path::new(SHARES).join(tag)
}

fn mount_share(tag: &str, target: &Path, is_read_only: bool) -> Result<(), String> {
    let writes = if is_read_only { MountFlags::READ_ONLY } else { MountFlags::NONE };
    sys::mount(tag, target, "virtiofs", MountFlags::NO_DEV.and(writes), "")
        .map_err(|error| format!("the share `{tag}` cannot be mounted: {error}"))
}

fn mount_hidden(tag: &str, is_read_only: bool) -> Result<PathBuf, String> {
    let hidden = hidden_share(tag);
    fs::create_dir(&hidden).map_err(|error| format!("cannot make `{}`: {error}", hidden.display()))?;
    mount_share(tag, &hidden, is_read_only)?;
    Ok(hidden)
}

/// The server gives one node to whatever file has the name, so what is bound here follows the name.
fn mount_file(tag: &str, target: &Path, is_read_only: bool) -> Result<PathBuf, String> {
    let hidden = mount_hidden(tag, is_read_only)?;
    let file = only_entry(&hidden).map_err(|error| format!("the share `{tag}` holds no file: {error}"))?;
    sys::bind(&file, target).map_err(|error| format!("the file of share `{tag}` cannot be mounted: {error}"))?;
    if is_read_only {
        sys::make_bind_read_only(target).map_err(|error| format!("the file cannot be made read-only: {error}"))?;
    }
    Ok(hidden)
}

fn only_entry(folder: &Path) -> io::Result<PathBuf> {
    let mut entries = fs::read_dir(folder)?;
    let first = entries.next().ok_or_else(|| io::Error::other("it is empty"))??;
    match entries.next() {
        None => Ok(first.path()),
        Some(_) => Err(io::Error::other("it holds more than one")),
    }
}

fn mount_overlay(tag: &str, target: &Path) -> Result<PathBuf, String> {
    let lower = mount_hidden(tag, true)?;
    let layer = Path::new(LAYERS).join(tag);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    let made = fs::create_dir(&layer).and_then(|()| fs::create_dir(&work)).and_then(|()| copy_folder(&lower, &upper));
    made.map_err(|error| format!("cannot make a writable layer: {error}"))?;
    let (lower_text, upper, work) = (lower.display(), upper.display(), work.display());
    let options = format!("lowerdir={lower_text},upperdir={upper},workdir={work},{OVERLAY_OPTIONS}");
    sys::mount(tag, target, "overlay", MountFlags::NO_DEV, &options)
        .map_err(|error| format!("a writable layer over the share `{tag}` cannot be mounted: {error}"))?;
    Ok(lower)
}

/// Programs in it may be run, set-id ones only without their ids, as in `/tmp`.
fn mount_tmpfs(target: &Path, size_mib: Option<u64>) -> Result<(), String> {
    let size = size_mib.map_or_else(|| "50%".to_owned(), |size| format!("{size}m"));
    let flags = MountFlags::NO_SUID.and(MountFlags::NO_DEV);
    sys::mount(TMPFS, target, TMPFS, flags, &format!("mode=1777,size={size}"))
        .map_err(|error| format!("memory cannot be mounted: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_file_holds_one_entry() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(only_entry(folder.path()).expect_err("none").to_string(), "it is empty");
        fs::write(folder.path().join("one"), "").expect("it is ours");
        assert_eq!(only_entry(folder.path()).expect("one"), folder.path().join("one"));
        fs::write(folder.path().join("two"), "").expect("it is ours");
        assert_eq!(only_entry(folder.path()).expect_err("two").to_string(), "it holds more than one");
    }
}
