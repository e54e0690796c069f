//! Where a lean kernel's source comes from: the newest `linux-source-*` of APT, or a tar that the user names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::super::tool::Tool;
use super::super::super::waiter::Waiter;
use super::super::apt::{self, Apt, Package};
use super::super::package::{Manager, PackageError};
use super::error::LeanError;

/// Names of the packages that hold the source of a kernel.
const PATTERN: &str = "^linux-source-[0-9]";
const PREFIX: &str = "linux-source-";
/// What is in a tree of the source and no part of any kernel of ours: a third of it, in files that only take room.
const LEFT_OUT: [&str; 4] = [
    "--exclude=*/Documentation/*/*",
    "--exclude=*/arch/[!x]*/*",
    "--exclude=*/drivers/gpu/drm/amd/include/*",
    "--exclude=*/tools/testing/*",
];
/// How deep below its package's folder the source lies, at most.
const DEPTH_MAX: usize = 4;

/// A source that was found.
pub(super) enum Source<'a> {
    /// A package of APT's.
    Apt(Apt<'a>, Package),
    /// A tar of the user's, with the first digits of its digest.
    Tar(PathBuf, String),
}

impl<'a> Source<'a> {
    /// Finds it; `scratch` is an empty folder.
    pub(super) fn find(tar: Option<&Path>, scratch: &'a Path, waiter: &mut dyn Waiter) -> Result<Self, LeanError> {
        if let Some(tar) = tar {
            let digest = digest(tar, waiter)?.ok_or(LeanError::NotWanted)?;
            return Ok(Source::Tar(tar.to_owned(), digest));
        }
        if Manager::find() != Some(Manager::Apt) {
            return Err(LeanError::NoSource {
                why: "only `apt-get` has kernels as a package of their source".to_owned(),
            });
        }
        match apt::with_lists(scratch, waiter, find_newest) {
            Ok((apt, package)) => Ok(Source::Apt(apt, package)),
            Err(_) if waiter.has_left() => Err(LeanError::NotWanted),
            Err(error) => Err(LeanError::NoSource { why: error.to_string() }),
        }
    }

    /// A name for what is made of it, fit for a file.
    pub(super) fn name(&self) -> String {
        match self {
            Source::Apt(_, package) => apt::folder_name(&package.name, &package.version),
            Source::Tar(path, digest) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let stem = name.split(".tar").next().unwrap_or_default();
                apt::folder_name(&stem.chars().take(100).collect::<String>(), digest)
            }
        }
    }

    /// Brings the tree of the source into the folder `tree`, and gives the folder in it that `make` is for.
    pub(super) fn unpack(&self, scratch: &Path, tree: &Path, waiter: &mut dyn Waiter) -> Result<PathBuf, LeanError> {
        let io = |source| LeanError::io("make", tree, source);
        fs::create_dir(tree).map_err(io)?;
        let tar = match self {
            Source::Tar(path, _) => path.clone(),
            Source::Apt(apt, package) => {
                apt.fetch(std::slice::from_ref(package), waiter).map_err(|error| failed(error, waiter))?;
                waiter.tell(&format!("unpacking {}", package.name));
                let root = scratch.join("root");
                apt.unpack(&root, &["./usr/src"], waiter).map_err(|error| failed(error, waiter))?;
                find_tar(&root.join("usr/src"), DEPTH_MAX)
                    .ok_or_else(|| LeanError::NotSource { name: package.name.clone() })?
            }
        };
        waiter.tell("unpacking the source");
        let tool = Tool::new("tar").folder(tree).args(["-x", "--no-same-owner"]).args(LEFT_OUT);
        let path = std::path::absolute(&tar).map_err(io)?;
        let unpacked = tool.args(["-f".as_ref(), path.as_os_str()]).run(waiter);
        unpacked.map_err(|error| failed(error.into(), waiter))?;
        if matches!(self, Source::Apt(..)) {
            // It is unpacked, and takes room that the build needs.
            let _ = fs::remove_file(&tar);
        }
        find_tree(tree, 2).ok_or_else(|| LeanError::NotSource { name: tar.display().to_string() })
    }
}

fn failed(error: PackageError, waiter: &dyn Waiter) -> LeanError {
    if waiter.has_left() {
        return LeanError::NotWanted;
    }
    LeanError::Failed { what: "bringing the source", said: error.to_string(), log: None }
}

fn find_newest(apt: &Apt<'_>, waiter: &dyn Waiter) -> Result<Package, PackageError> {
    let none = || PackageError::NoPackage { names: vec![format!("{PREFIX}*")] };
    let names = apt.names(PATTERN, waiter)?;
    let newest = names.iter().filter_map(|name| Some((version(name)?, name))).max().ok_or_else(none)?;
    apt.show(newest.1, waiter)?.ok_or_else(none)
}

/// The numbers in the name of a source package; those of other things (`linux-source-6.1-rt`) have none.
fn version(name: &str) -> Option<Vec<u32>> {
    name.strip_prefix(PREFIX)?.split('.').map(|number| number.parse().ok()).collect()
}

/// The first digits of a file's digest; nothing where the waiter leaves.
fn digest(path: &Path, waiter: &dyn Waiter) -> Result<Option<String>, LeanError> {
    let read = |source| LeanError::io("read", path, source);
    let mut file = File::open(path).map_err(read)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => hash.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
        if waiter.has_left() {
            return Ok(None);
        }
    }
    Ok(Some(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()))
}

/// The tar of a source below a folder.
fn find_tar(folder: &Path, depth: usize) -> Option<PathBuf> {
    let is_it = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PREFIX) && name.contains(".tar")
    };
    find(folder, depth, &|path| is_it(path) && path.is_file())
}

/// The folder that holds a kernel's `Kconfig` and `Makefile`: this one, or one not far below.
fn find_tree(folder: &Path, depth: usize) -> Option<PathBuf> {
    let is_it = |path: &Path| path.join("Kconfig").is_file() && path.join("Makefile").is_file();
    if is_it(folder) { Some(folder.to_owned()) } else { find(folder, depth, &is_it) }
}

fn find(folder: &Path, depth: usize, is_it: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let here = entries.iter().find(|path| is_it(path)).cloned();
    let is_folder = |path: &&PathBuf| path.is_dir() && !path.is_symlink();
    here.or_else(|| {
        let depth = depth.checked_sub(1)?;
        entries.iter().filter(is_folder).find_map(|path| find(path, depth, is_it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_source_is_that_of_the_highest_numbers() {
        let newest = ["linux-source-6.1", "linux-source-6.12", "linux-source-6.9", "linux-source-6.12-rt"];
        let newest = newest.into_iter().filter_map(|name| Some((version(name)?, name))).max().unwrap();
        assert_eq!(newest.1, "linux-source-6.12");
        assert_eq!(version("linux-source-6.8.0"), Some(vec![6, 8, 0]));
        assert_eq!(version("linux-source"), None);
    }

    #[test]
    fn source_is_found_where_distributions_put_it() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("linux-source-6.8.0/debian");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(find_tar(folder.path(), 4), None);
        let tar = folder.path().join("linux-source-6.8.0/linux-source-6.8.0.tar.bz2");
        fs::write(&tar, "").unwrap();
        assert_eq!(find_tar(folder.path(), 4), Some(tar));
        assert_eq!(find_tree(folder.path(), 2), None);
        for name in ["Kconfig", "Makefile"] {
            fs::write(deep.join(name), "").unwrap();
        }
        assert_eq!(find_tree(folder.path(), 2), Some(deep));
    }

    #[test]
    fn same_name_with_other_content_is_another_source() {
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("linux-6.12.tar.xz");
        let scratch = tempfile::tempdir().unwrap();
        let name = |content: &str| {
            fs::write(&tar, content).unwrap();
            Source::find(Some(&tar), scratch.path(), &mut |_: &str| {}).unwrap().name()
        };
        let first = name("one");
        assert!(first.starts_with("linux-6.12_") && first.len() == "linux-6.12_".len() + 12, "{first}");
        assert_ne!(name("two"), first);
        assert_eq!(name("one"), first);
    }
}
