//! How each kind of tree is served: caches, time-outs, limits, threads.

use std::fs::File;
use std::thread;
use std::time::Duration;

use super::rules::{Owners, Rules};
use super::spec::{Makers, ShareCache, ShareSpec, ShareTree};
use super::tree::TreeSettings;

/// Open files that the server needs for itself.
const OWN_FDS: u64 = 256;

/// More descriptors than make anything faster.
const OPEN_MAX: u64 = 50_000;

/// How long the guest may believe what it knows of a folder that the host, or the view, changes.
const SHORT: Duration = Duration::from_secs(1);

/// How long the guest may believe what it knows of an image.
pub(super) const LONG: Duration = Duration::from_secs(86_400);

/// Threads of a writable share, so that one guest process that syncs does not hold up the others. A read-only one
/// answers faster from the thread that has the queue.
const WRITABLE_THREADS: usize = 4;

/// How long a server looks for the next request at most.
const PATIENCE: Duration = Duration::from_micros(100);

/// All that a server needs besides its tree.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) tree: TreeSettings,
    pub(super) rules: Rules,
    pub(super) pace: Pace,
}

/// How requests are answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Threads for what may wait for a disk.
    pub(super) threads: usize,
    /// How long to look for the next request before sleeping.
    pub(super) patience: Duration,
}

/// Settings for a share, with this many open files allowed. `own_fds` is `/proc/self/fd`, `sink` is
/// `/dev/null`.
///
/// Owners in an image folder are those on the disk where root serves it; an ordinary user could unpack it only as its
/// own, and sees all as 0:0.
pub(super) fn settings_for(spec: &ShareSpec, fd_limit: u64, own_fds: File, sink: File) -> Settings {
    let (tree, is_root) = (&spec.tree, spec.rights.uid == 0);
    let is_literal = spec.makers == Makers::Guest;
    let is_image = !tree.is_mount();
    let is_writable = tree.is_writable();
    let cache = match tree {
        ShareTree::HostRoot | ShareTree::RootFolder { .. } | ShareTree::Image { .. } => ShareCache::Always,
        ShareTree::Folder { cache, .. } | ShareTree::File { cache, .. } => match cache {
            // What the guest itself changes is not for ever.
            ShareCache::Always | ShareCache::Names if is_writable => ShareCache::Auto,
            cache => *cache,
        },
    };
    let timeout = match (cache, tree) {
        (ShareCache::Always, _) => LONG,
        // The node of a file share means whatever file has the name: what is open and what is opened next may be two,
        // which the guest's kernel tells apart only by asking.
        (ShareCache::Never, _) | (_, ShareTree::File { .. }) => Duration::ZERO,
        (ShareCache::Auto | ShareCache::Names, _) => SHORT,
    };
    let name_timeout = if cache == ShareCache::Names { LONG } else { timeout };
    // A third for files that the guest has open, one for named files, one for files without a name.
    let open_max = (fd_limit.saturating_sub(OWN_FDS) / 3).clamp(64, OPEN_MAX);
    let owners = match tree {
        ShareTree::Folder { .. } | ShareTree::File { .. } if is_literal => Owners::Disk,
        ShareTree::Folder { .. } | ShareTree::File { .. } => Owners::View,
        ShareTree::RootFolder { .. } if is_root => Owners::Disk,
        ShareTree::RootFolder { .. } | ShareTree::HostRoot | ShareTree::Image { .. } => Owners::Root,
    };
    let is_public_only = *tree == ShareTree::HostRoot;
    let rules = Rules { is_public_only, owners, is_literal, has_xattrs: !is_image, absence: timeout };
    let tree = TreeSettings {
        is_read_only: !is_writable,
        cache,
        timeout,
        name_timeout,
        open_max: usize::try_from(open_max).unwrap_or(64),
        own_fds,
        sink,
    };
    Settings { tree, rules, pace: pace_for(is_writable) }
}

/// How requests to a share are answered.
pub(super) fn pace_for(is_writable: bool) -> Pace {
    // With a single processor the guest could not ask while it is waited for.
    let patience =
        if thread::available_parallelism().is_ok_and(|count| count.get() > 1) { PATIENCE } else { Duration::ZERO };
    Pace { threads: if is_writable { WRITABLE_THREADS } else { 0 }, patience }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::spec::{Rights, ShareCache};
    use super::*;

    fn spec(tree: &ShareTree, is_root: bool) -> ShareSpec {
        let id = if is_root { 0 } else { 1000 };
        let rights = Rights { uid: id, gid: id, groups: Vec::new() };
        ShareSpec { tag: "share0".to_owned(), tree: tree.clone(), rights, makers: Makers::Owner }
    }

    fn root() -> File {
        File::open("/").unwrap()
    }

    fn settings(tree: &ShareTree, is_root: bool) -> Settings {
        settings_for(&spec(tree, is_root), 1 << 20, root(), root())
    }

    #[test]
    fn folders_are_believed_for_a_second_at_most() {
        for is_read_only in [true, false] {
            let share = settings(
                &ShareTree::Folder { path: PathBuf::from("/x"), is_read_only, cache: ShareCache::Auto },
                false,
            );
            assert!(share.tree.timeout <= SHORT && share.rules.absence <= SHORT);
            assert!(share.tree.cache == ShareCache::Auto && share.tree.is_read_only == is_read_only);
            assert!(!share.rules.is_public_only);
        }
    }

    #[test]
    fn guests_own_ids_are_those_of_the_disk_with_set_id_bits() {
        let tree = ShareTree::Folder { path: PathBuf::from("/x"), is_read_only: false, cache: ShareCache::Auto };
        let spec = ShareSpec { makers: Makers::Guest, ..spec(&tree, true) };
        let rules = settings_for(&spec, 1024, root(), root()).rules;
        assert!(rules.is_literal && rules.owners == Owners::Disk);
        let rules = settings(&tree, true).rules;
        assert!(!rules.is_literal && rules.owners == Owners::View);
    }

    #[test]
    fn only_what_nobody_changes_is_believed_for_ever() {
        let of = |is_read_only, cache| {
            let tree = ShareTree::Folder { path: PathBuf::from("/x"), is_read_only, cache };
            let tree = settings(&tree, false).tree;
            (tree.cache, tree.timeout)
        };
        assert_eq!(of(true, ShareCache::Always), (ShareCache::Always, LONG));
        assert_eq!(of(false, ShareCache::Always), (ShareCache::Auto, SHORT));
        assert_eq!(of(false, ShareCache::Never), (ShareCache::Never, Duration::ZERO));
    }

    #[test]
    fn host_root_shows_what_is_public_as_owned_by_root() {
        let share = settings(&ShareTree::HostRoot, true);
        assert!(share.tree.is_read_only && share.rules.is_public_only && share.rules.owners == Owners::Root);
    }

    #[test]
    fn image_folder_keeps_its_owners_only_for_root() {
        let tree = ShareTree::RootFolder { path: PathBuf::from("/x") };
        assert_eq!(settings(&tree, true).rules.owners, Owners::Disk);
        assert_eq!(settings(&tree, false).rules.owners, Owners::Root);
    }

    #[test]
    fn a_small_limit_of_open_files_is_enough() {
        let tree = ShareTree::RootFolder { path: PathBuf::from("/x") };
        assert_eq!(settings_for(&spec(&tree, true), 1024, root(), root()).tree.open_max, 256);
    }
}
