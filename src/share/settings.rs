//! How each kind of tree is served: caches, time-outs, limits, threads.

use std::fs::File;
use std::time::Duration;

use virtiofsd::passthrough::{CachePolicy, Config};

use super::rules::Rules;
use super::spec::ShareTree;

/// Open files that the server needs for itself.
const OWN_FDS: u64 = 256;

/// Below this limit a listing does not look up its entries, each of which would take a descriptor.
const FDS_FOR_LISTINGS: u64 = 32_768;

/// How long the guest may believe what it knows of a folder that the host, or the view, changes.
const SHORT: Duration = Duration::from_secs(1);

/// How long the guest may believe what it knows of an image.
const LONG: Duration = Duration::from_secs(86_400);

/// Threads of a writable share, so that one guest process that syncs does not hold up the others. A read-only one
/// answers faster from the thread that has the queue.
const WRITABLE_THREADS: usize = 4;

/// All that a server needs besides its tree.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) passthrough: Config,
    pub(super) rules: Rules,
    pub(super) threads: usize,
}

/// Settings for a tree, served by root or not, with this many open files allowed. `own_fds` is `/proc/self/fd`.
///
/// Owners in an image folder are those on the disk where root serves it; an ordinary user could unpack it only as its
/// own, and sees all as 0:0.
pub(super) fn settings_for(tree: &ShareTree, is_root: bool, fd_limit: u64, own_fds: File) -> Settings {
    let is_image = !matches!(tree, ShareTree::Folder { .. });
    let is_writable = matches!(tree, ShareTree::Folder { is_read_only: false, .. });
    let timeout = if is_image { LONG } else { SHORT };
    let passthrough = Config {
        entry_timeout: timeout,
        attr_timeout: timeout,
        cache_policy: if is_image { CachePolicy::Always } else { CachePolicy::Auto },
        root_dir: "/".to_owned(),
        xattr: !is_image,
        proc_sfd_rawfd: Some(own_fds),
        // Submounts that are announced are automounts in the guest, over which no overlay can be made.
        announce_submounts: false,
        readdirplus: fd_limit >= FDS_FOR_LISTINGS,
        // Saves the guest a question about file capabilities at each write.
        killpriv_v2: is_writable,
        guest_fd_limit: fd_limit.saturating_sub(OWN_FDS).max(64),
        ..Config::default()
    };
    let rules = Rules {
        is_public_only: *tree == ShareTree::HostRoot,
        are_owners_literal: is_root && matches!(tree, ShareTree::RootFolder { .. }),
        has_xattrs: !is_image,
        absence: timeout,
    };
    Settings { passthrough, rules, threads: if is_writable { WRITABLE_THREADS } else { 0 } }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn settings(tree: &ShareTree, is_root: bool) -> Settings {
        settings_for(tree, is_root, 1 << 20, File::open("/").unwrap())
    }

    #[test]
    fn folders_are_believed_for_a_second_at_most() {
        for is_read_only in [true, false] {
            let share = settings(&ShareTree::Folder { path: PathBuf::from("/x"), is_read_only }, false);
            assert!(share.passthrough.attr_timeout <= SHORT && share.rules.absence <= SHORT);
            assert!(matches!(share.passthrough.cache_policy, CachePolicy::Auto));
            assert!(!share.rules.is_public_only);
        }
    }

    #[test]
    fn host_root_shows_what_is_public_as_owned_by_root() {
        let share = settings(&ShareTree::HostRoot, true);
        assert!(share.rules.is_public_only && !share.rules.are_owners_literal);
    }

    #[test]
    fn image_folder_keeps_its_owners_only_for_root() {
        let tree = ShareTree::RootFolder { path: PathBuf::from("/x") };
        assert!(settings(&tree, true).rules.are_owners_literal);
        assert!(!settings(&tree, false).rules.are_owners_literal);
    }
}
