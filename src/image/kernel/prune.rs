//! Removes from the cache what nobody has used for long: kernels that were superseded, initial file systems of agents
//! and kernels of the past, uncompressed copies, answers about files.
//!
//! What is used is marked, so a machine that starts now keeps what it boots. Deliberately not
//! here: what killed runs left (it goes without being asked for).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::cache::Cache;
use super::list::bytes_of;
use super::stored;

/// What was used since then is never removed: a run may be about to open it.
const YOUNG: Duration = Duration::from_secs(3600);

/// Files that go when nobody has used them.
const FILES: [&str; 4] = ["initramfs-", "vmlinux-", "memo-", super::lean::LOG];
/// Folders that go when nobody has used them.
const FOLDERS: [&str; 3] = [stored::PACKAGE, stored::LEAN, stored::IMAGE];

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files and folders, sorted.
    pub paths: Vec<PathBuf>,
    /// Room that they took on the disk, in bytes.
    pub bytes: u64,
    /// Whether nothing was looked at, because another smolvm is fetching a kernel.
    pub is_busy: bool,
}

/// Removes what was not used for so long (an hour at least) from a user's cache folder. The kernel of `auto` stays
/// unless `takes_auto`; `is_dry` only tells.
pub fn prune(cache: &Path, unused: Duration, takes_auto: bool, is_dry: bool) -> Pruned {
    let mut pruned = Pruned::default();
    let Some(cache) = Cache::existing(cache) else { return pruned };
    let Ok(mut lock) = cache.lock_file() else { return pruned };
    let Ok(_guard) = lock.try_write() else { return Pruned { is_busy: true, ..pruned } };
    let limit = SystemTime::now().checked_sub(unused.max(YOUNG)).unwrap_or(SystemTime::UNIX_EPOCH);
    let auto = stored::auto(&cache).map(|(folder, _)| folder).filter(|_| !takes_auto);
    let entries = fs::read_dir(cache.path("")).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if !is_unused(&path, limit) || auto.as_ref() == Some(&path) {
            continue;
        }
        let bytes = bytes_of(&path);
        if is_dry || remove(&path) {
            pruned.bytes += bytes;
            pruned.paths.push(path);
        }
    }
    pruned.paths.sort();
    pruned
}

fn is_unused(path: &Path, limit: SystemTime) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let is_one_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let last = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() && is_one_of(&FOLDERS) => stored::last_use_of(path),
        Ok(facts) if facts.is_file() && is_one_of(&FILES) => stored::last_use(path),
        _ => return false,
    };
    // A folder that is no kernel's nobody can use.
    last.is_none_or(|time| time < limit)
}

fn remove(path: &Path) -> bool {
    if path.is_dir() {
        stored::disown(path);
        fs::remove_dir_all(path).is_ok()
    } else {
        fs::remove_file(path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::vmlinux;
    use super::super::lean::tests::plant as plant_lean;
    use super::super::package::tests::plant;
    use super::super::{KernelRequest, resolve};
    use super::*;

    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

    fn age(path: &Path) {
        let long_ago = SystemTime::now() - 2 * MONTH;
        let times = fs::FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
        fs::File::open(path).unwrap().set_times(times).unwrap();
    }

    fn names(pruned: &Pruned) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        pruned.paths.iter().map(name).collect()
    }

    #[test]
    fn what_nobody_used_goes_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let old = plant_lean(&cache, "0123456789abcdef", "5.0");
        let package = plant(&cache, &vmlinux(18), "1.2.3");
        for name in ["initramfs-old", "initramfs-new", "memo-old", "of-somebody-else"] {
            fs::write(cache.path(name), "x").unwrap();
        }
        for path in ["initramfs-old", "memo-old", "of-somebody-else"].map(|name| cache.path(name)) {
            age(&path);
        }
        age(&old.join("contents"));
        age(&package.join("contents"));
        let told = prune(folder.path(), MONTH, false, true);
        assert_eq!(names(&told), ["initramfs-old", "lean-0123456789abcdef-made_5.0", "memo-old"]);
        assert!(old.exists(), "it was only told");
        assert_eq!(prune(folder.path(), MONTH, false, false), told);
        assert!(!old.exists() && package.exists() && cache.path("initramfs-new").exists());
        assert_eq!(names(&prune(folder.path(), MONTH, true, true)), ["package-made_1"]);
        resolve(&KernelRequest::Auto, None, folder.path(), &mut |_: &str| {}).unwrap();
        assert_eq!(prune(folder.path(), MONTH, true, true), Pruned::default(), "a use is a mark");
    }

    #[test]
    fn nothing_is_taken_from_under_a_download() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let mut lock = cache.lock_file().unwrap();
        let _guard = lock.write().unwrap();
        assert!(prune(folder.path(), MONTH, true, false).is_busy);
    }
}
