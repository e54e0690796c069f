//! What the cache holds of kernels: which, since when, how large, and which one `auto` takes.
//!
//! Deliberately not here: words for people (`cli`), and what could be fetched ([`super::describe_auto`]).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::cache::Cache;
use super::stored;
use super::{lean, resolve};

/// Size of the blocks in which a file system counts.
const BLOCK: u64 = 512;

/// How a kernel got into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// Made by `smolvm kernel build`.
    Lean {
        /// Whether with the configuration of this smolvm.
        is_current: bool,
    },
    /// Unpacked from packages of the distribution.
    Package,
    /// Taken out of an image that holds it.
    Image,
}

/// A kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKernel {
    /// Its folder.
    pub folder: PathBuf,
    /// How it got there.
    pub kind: StoredKind,
    /// What `uname -r` will say, where it is known without looking into it.
    pub version: Option<String>,
    /// Where it comes from, for people.
    pub origin: String,
    /// Room that its folder takes on the disk, in bytes.
    pub bytes: u64,
    /// When it was made or fetched.
    pub since: SystemTime,
    /// Whether `auto` takes it.
    pub is_auto: bool,
}

/// All that the cache holds of kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelList {
    /// The kernels, that of `auto` first, then the newest first.
    pub kernels: Vec<StoredKernel>,
    /// How many initial file systems are kept.
    pub initramfs_count: usize,
    /// Room that they take, in bytes.
    pub initramfs_bytes: u64,
    /// Room that uncompressed copies of kernels take, in bytes.
    pub extracted_bytes: u64,
}

impl KernelList {
    /// Room that all takes, in bytes.
    pub fn bytes(&self) -> u64 {
        let kernels = self.kernels.iter().map(|kernel| kernel.bytes);
        kernels.chain([self.initramfs_bytes, self.extracted_bytes]).fold(0, u64::saturating_add)
    }
}

/// Looks into the kernels of a user's cache folder; nothing is made or changed.
pub fn in_cache(cache: &Path) -> KernelList {
    let Some(cache) = Cache::existing(cache) else { return KernelList::default() };
    let auto = stored::auto(&cache).map(|(folder, _)| folder);
    let mut list = KernelList::default();
    for folder in stored::folders(&cache, "") {
        let Some(kind) = kind_of(&folder) else { continue };
        let Some(files) = stored::files_in(&folder) else { continue };
        list.kernels.push(StoredKernel {
            kind,
            version: stored::version_in(&folder),
            origin: files.origin,
            bytes: bytes_of(&folder),
            since: stored::since(&folder),
            is_auto: auto.as_ref() == Some(&folder),
            folder,
        });
    }
    list.kernels.sort_by_key(|kernel| (!kernel.is_auto, std::cmp::Reverse(kernel.since)));
    for entry in fs::read_dir(cache.path("")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("initramfs-") {
            list.initramfs_count += 1;
            list.initramfs_bytes += bytes_of(&entry.path());
        } else if name.starts_with("vmlinux-") {
            list.extracted_bytes += bytes_of(&entry.path());
        }
    }
    list
}

/// The file of this host's own kernel if `auto` could take it, or why it cannot.
pub fn host_kernel() -> Result<PathBuf, String> {
    resolve::host_kernel().map(|files| files.image)
}

fn kind_of(folder: &Path) -> Option<StoredKind> {
    let name = folder.file_name()?.to_str()?;
    if let Some(rest) = name.strip_prefix(stored::LEAN) {
        let is_current = rest.split('-').next() == Some(lean::key().as_str());
        return Some(StoredKind::Lean { is_current });
    }
    let others = [(stored::PACKAGE, StoredKind::Package), (stored::IMAGE, StoredKind::Image)];
    others.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| kind)
}

/// Room on the disk of a file, or of a folder and all below it. What vanishes meanwhile counts as nothing.
pub(super) fn bytes_of(path: &Path) -> u64 {
    let Ok(facts) = fs::symlink_metadata(path) else { return 0 };
    let own = facts.blocks() * BLOCK;
    if !facts.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_of(&entry.path())).fold(own, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::vmlinux;
    use super::super::lean::tests::plant as plant_lean;
    use super::super::package::tests::plant;
    use super::super::{AutoChoice, describe_auto};
    use super::*;

    #[test]
    fn a_lean_kernel_comes_before_a_package_and_one_of_another_configuration_after() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        assert_eq!(in_cache(folder.path()), KernelList::default());
        plant(&cache, &vmlinux(18), "1.2.3-cloud");
        plant_lean(&cache, "0123456789abcdef", "9.0");
        let of = |list: &KernelList| -> Vec<(StoredKind, Option<String>, bool)> {
            list.kernels.iter().map(|kernel| (kernel.kind, kernel.version.clone(), kernel.is_auto)).collect()
        };
        let package = |is_auto| (StoredKind::Package, Some("1.2.3-cloud".to_owned()), is_auto);
        let old = (StoredKind::Lean { is_current: false }, Some("9.0-lean".to_owned()), false);
        let list = in_cache(folder.path());
        assert_eq!(of(&list)[0], package(true));
        assert!(of(&list).contains(&old));
        assert!(list.bytes() > 0);
        plant_lean(&cache, &lean::key(), "6.0");
        let list = in_cache(folder.path());
        assert_eq!(of(&list)[0], (StoredKind::Lean { is_current: true }, Some("6.0-lean".to_owned()), true));
        assert!(of(&list).contains(&package(false)));
        let origin = "lean kernel 6.0-lean, made from made_6.0".to_owned();
        assert_eq!(describe_auto(folder.path()), AutoChoice::Cached { origin });
    }
}
