//! A kernel from the distribution's packages, downloaded and unpacked below the cache and never installed.
//!
//! Each manager is told to keep its lists and downloads in a scratch folder of ours: an ordinary user can do it, and
//! nothing of the system changes. Signatures are checked as for any other package.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::cache::Cache;
use super::super::tool::{self, ToolError};
use super::super::waiter::Waiter;
use super::stored::{self, Contents};
use super::{apt, dnf, pacman};

/// A kernel's files before they are looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KernelFiles {
    pub(super) image: PathBuf,
    pub(super) modules: Option<PathBuf>,
    /// Where it comes from, for people.
    pub(super) origin: String,
    /// Whether it is the cache's, with all its modules; those of another one are looked for.
    pub(super) is_stored: bool,
}

/// Why a package manager gave no kernel.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackageError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The cache cannot be written.
    #[error("cannot write below `{path}`: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The manager knows no kernel for guests.
    #[error("its sources hold no kernel for guests (looked for {})", names.join(", "))]
    NoPackage { names: Vec<String> },
    /// What was downloaded is not what was expected.
    #[error("package `{package}` holds no kernel image with modules")]
    NoKernel { package: String },
}

/// A package manager that can download without installing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Apt,
    Dnf,
    Pacman,
}

/// What a manager made.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// A tree like that of the root, from packages of one name; `None` where it is here already.
    pub(super) root: Option<PathBuf>,
    /// Name and version, unique and usable as the name of a folder.
    pub(super) package: String,
}

impl Manager {
    /// The one of this host.
    pub(super) fn find() -> Option<Manager> {
        let has = |program| tool::find(program).is_some();
        if has("apt-get") && has("dpkg-deb") {
            Some(Manager::Apt)
        } else if has("dnf") && has("rpm2cpio") {
            Some(Manager::Dnf)
        } else if has("pacman") {
            Some(Manager::Pacman)
        } else {
            None
        }
    }

    /// Name of its program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Pacman => "pacman",
        }
    }

    /// Downloads the newest kernel into the cache, unless it is there; the caller holds the lock. The second value
    /// says whether it is new.
    pub(super) fn download(self, cache: &Cache, waiter: &mut dyn Waiter) -> Result<(KernelFiles, bool), PackageError> {
        let io = |source| PackageError::Io { path: cache.path(""), source };
        let scratch = cache.scratch().map_err(io)?;
        let folder_of = |package: &str| format!("{}{package}", stored::PACKAGE);
        let is_here = |package: &str| stored::files_in(&cache.path(folder_of(package))).is_some();
        let Unpacked { package, root } = match self {
            Manager::Apt => apt::download(scratch.path(), &is_here, waiter)?,
            Manager::Dnf => dnf::download(scratch.path(), waiter)?,
            Manager::Pacman => pacman::download(scratch.path(), waiter)?,
        };
        let name = folder_of(&package);
        let is_new = root.is_some();
        if let Some(root) = root {
            waiter.tell("keeping the kernel in the cache");
            let (image, modules) = find_in(&root).ok_or_else(|| PackageError::NoKernel { package: package.clone() })?;
            let version = modules.file_name().map(|name| name.to_string_lossy().into_owned());
            let origin = format!("package {package}");
            Contents { image, modules: Some(modules), origin, version }.write(&root).map_err(io)?;
            cache.publish_folder(&root, &name).map_err(io)?;
        }
        stored::choose(cache, &name).map_err(io)?;
        let files = stored::files_in(&cache.path(&name)).ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
        Ok((files, is_new))
    }
}

/// Image and modules in an unpacked tree, relative to it: `boot/vmlinuz-V` or `lib/modules/V/vmlinuz`.
pub(super) fn find_in(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let folders = ["lib/modules", "usr/lib/modules"].map(Path::new);
    let mut versions: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| Some((folder, fs::read_dir(root.join(folder)).ok()?)))
        .flat_map(|(folder, entries)| entries.flatten().map(move |entry| folder.join(entry.file_name())))
        .collect();
    versions.sort();
    versions.into_iter().find_map(|modules| {
        let version = modules.file_name()?.to_str()?;
        let images = [Path::new("boot").join(format!("vmlinuz-{version}")), modules.join("vmlinuz")];
        images.into_iter().find(|image| root.join(image).is_file()).map(|image| (image, modules.clone()))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Puts a kernel into the cache as a download would.
    pub(in super::super) fn plant(cache: &Cache, image: &[u8], version: &str) -> PathBuf {
        let scratch = cache.scratch().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(root.join("boot").join(format!("vmlinuz-{version}")), image).unwrap();
        super::super::modules::tests::module_folder(&root.join("lib/modules").join(version), &[], "");
        let (image, modules) = find_in(&root).unwrap();
        let origin = "package made_1".to_owned();
        Contents { image, modules: Some(modules), origin, version: None }.write(&root).unwrap();
        let folder = cache.publish_folder(&root, "package-made_1").unwrap();
        stored::choose(cache, "package-made_1").unwrap();
        folder
    }

    #[test]
    fn cached_kernel_needs_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let cached = |cache| Some(stored::chosen(cache)?.1);
        assert_eq!(cached(&cache), None);
        let planted = plant(&cache, b"image", "1.2.3");
        let found = cached(&cache).unwrap();
        assert_eq!(found.image, planted.join("boot/vmlinuz-1.2.3"));
        assert_eq!(found.modules, Some(planted.join("lib/modules/1.2.3")));
        fs::remove_file(&found.image).unwrap();
        assert_eq!(cached(&cache), None);
    }

    #[test]
    fn image_is_found_beside_the_modules_too() {
        let root = tempfile::tempdir().unwrap();
        let modules = root.path().join("usr/lib/modules/6.1-arch");
        fs::create_dir_all(&modules).unwrap();
        assert_eq!(find_in(root.path()), None);
        fs::write(modules.join("vmlinuz"), "").unwrap();
        let expected = (PathBuf::from("usr/lib/modules/6.1-arch/vmlinuz"), PathBuf::from("usr/lib/modules/6.1-arch"));
        assert_eq!(find_in(root.path()), Some(expected));
    }
}
