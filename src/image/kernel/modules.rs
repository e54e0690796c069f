//! A folder of kernel modules: where it is, what it holds, and the order in which some of them must be loaded.
//!
//! Dependencies are read from the modules themselves (`.modinfo`), not from `modules.dep`: a package that is unpacked
//! and not installed has no such file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::decompress::{Compression, decompress};
use super::elf;

/// Largest module that is read.
const MODULE_MAX: u64 = 64 << 20;
/// Deeper folders than any kernel has are not searched.
const DEPTH_MAX: usize = 16;
const SUFFIXES: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// A module, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Name as the kernel knows it: with `_`.
    pub(crate) name: String,
    /// The file that it came from.
    pub(crate) path: PathBuf,
    /// What is loaded.
    pub(crate) bytes: Vec<u8>,
}

/// Why modules cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A folder or a module cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel lacks something that a machine needs.
    #[error("module `{name}` is neither in `{folder}` nor built into the kernel")]
    Missing {
        /// Name of the module.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file is not what its name says.
    #[error("`{path}` is not a kernel module")]
    NotAModule {
        /// The file.
        path: PathBuf,
    },
}

/// The modules of one kernel version.
#[derive(Debug)]
pub(crate) struct ModuleTree {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl ModuleTree {
    /// Lists the folder of one version, the one that holds `modules.builtin`.
    pub(crate) fn open(folder: &Path) -> Result<ModuleTree, ModuleError> {
        let mut files = BTreeMap::new();
        list(folder, DEPTH_MAX, &mut files)?;
        let builtin = match fs::read_to_string(folder.join("modules.builtin")) {
            Ok(text) => text.lines().filter_map(module_name).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(source) => return Err(ModuleError::Read { path: folder.join("modules.builtin"), source }),
        };
        Ok(ModuleTree { folder: folder.to_owned(), files, builtin })
    }

    /// The first of these that is neither here nor built in.
    pub(crate) fn first_missing<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().find(|name| !self.builtin.contains(**name) && !self.files.contains_key(**name)).copied()
    }

    /// These modules and all that they need, what is needed first.
    pub(crate) fn in_load_order(&self, names: &[&str]) -> Result<Vec<Module>, ModuleError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.collect(name, &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn collect(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<Module>) -> Result<(), ModuleError> {
        if self.builtin.contains(name) || !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let missing = || ModuleError::Missing { name: name.to_owned(), folder: self.folder.clone() };
        let path = self.files.get(name).ok_or_else(missing)?;
        let bytes = read_module(path)?;
        let info = elf::modinfo(&bytes).ok_or_else(|| ModuleError::NotAModule { path: path.clone() })?;
        let needs = info.iter().filter(|(key, _)| *key == "depends").flat_map(|(_, names)| names.split(','));
        for need in needs.filter(|need| !need.is_empty()) {
            self.collect(&need.replace('-', "_"), seen, order)?;
        }
        order.push(Module { name: name.to_owned(), path: path.clone(), bytes });
        Ok(())
    }
}

/// Where the modules of a version are, below what the user named or beside the kernel.
///
/// `given` may be the folder of the version itself, or one that holds it; `None` looks in `../lib/modules` as seen
/// from the kernel's folder, and then in `/lib/modules`. The second value are the places that were tried.
pub(super) fn find_folder(given: Option<&Path>, kernel: &Path, version: &str) -> (Option<PathBuf>, Vec<PathBuf>) {
    let places: Vec<PathBuf> = match given {
        Some(given) => {
            let below = ["", "lib/modules", "usr/lib/modules"].map(|below| given.join(below).join(version));
            below.into_iter().chain([given.to_owned()]).collect()
        }
        None => {
            let beside = kernel.parent().and_then(Path::parent).map(|root| root.join("lib/modules").join(version));
            beside.into_iter().chain([Path::new("/lib/modules").join(version)]).collect()
        }
    };
    (places.iter().find(|place| is_version_folder(place)).cloned(), places)
}

/// Whether the folder is that of one version, not one of many versions or something else.
fn is_version_folder(folder: &Path) -> bool {
    ["modules.builtin", "modules.order", "modules.dep", "kernel"].iter().any(|name| folder.join(name).exists())
}

/// `kernel/fs/fuse/virtio-fs.ko.xz` is `virtio_fs`.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix))?;
    Some(stem.replace('-', "_"))
}

/// All modules below a folder; where a name is there twice, `updates` and `extra` come before `kernel`, as in depmod.
fn list(folder: &Path, depth: usize, files: &mut BTreeMap<String, PathBuf>) -> Result<(), ModuleError> {
    let read = |source| ModuleError::Read { path: folder.to_owned(), source };
    let mut entries = fs::read_dir(folder).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    entries.sort_by_key(|entry| (entry.file_name() != "updates", entry.file_name()));
    for entry in entries {
        // Links (`build`, `source`) lead out of the folder.
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() && depth > 0 {
            list(&entry.path(), depth - 1, files)?;
        } else if kind.is_file()
            && let Some(name) = entry.file_name().to_str().and_then(module_name)
        {
            files.entry(name).or_insert_with(|| entry.path());
        }
    }
    Ok(())
}

fn read_module(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let read = |source| ModuleError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(read)?.len() > MODULE_MAX {
        return Err(ModuleError::NotAModule { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(read)?;
    if Compression::of(&bytes).is_none() {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    decompress(&bytes, MODULE_MAX, &mut out).map_err(read)?;
    Ok(out)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::super::decompress::tests::forms;
    use super::super::elf::tests::module;
    use super::*;

    /// A folder of modules: name of the file, its dependencies.
    pub(crate) fn module_folder(folder: &Path, modules: &[(&str, &str)], builtin: &str) {
        for (path, depends) in modules {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = module(&[&format!("depends={depends}")]);
            let packed = match path.extension().unwrap().to_str().unwrap() {
                "gz" => forms(&bytes).remove(0).1,
                "xz" => forms(&bytes).remove(1).1,
                "zst" => forms(&bytes).remove(2).1,
                _ => bytes,
            };
            fs::write(path, packed).unwrap();
        }
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("modules.builtin"), builtin).unwrap();
    }

    fn names(modules: &[Module]) -> Vec<&str> {
        modules.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn dependencies_come_first_and_once_and_builtin_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let modules = [
            ("kernel/fs/virtiofs.ko.xz", "fuse,virtio"),
            ("kernel/fs/fuse.ko.zst", ""),
            ("kernel/drivers/virtio-mmio.ko.gz", "virtio,virtio-ring"),
            ("kernel/drivers/virtio.ko", "virtio_ring"),
            ("kernel/drivers/virtio_ring.ko", ""),
        ];
        module_folder(folder.path(), &modules, "kernel/fs/overlay.ko\n");
        let tree = ModuleTree::open(folder.path()).unwrap();
        let order = tree.in_load_order(&["virtio_mmio", "virtiofs", "overlay"]).unwrap();
        assert_eq!(names(&order), ["virtio_ring", "virtio", "virtio_mmio", "fuse", "virtiofs"]);
        assert!(order.iter().all(|module| module.bytes.starts_with(b"\x7fELF")));
        assert_eq!(tree.first_missing(&["overlay", "fuse", "vsock"]), Some("vsock"));
    }

    #[test]
    fn module_that_is_nowhere_is_named() {
        let folder = tempfile::tempdir().unwrap();
        module_folder(folder.path(), &[("kernel/a.ko", "b")], "");
        let error = ModuleTree::open(folder.path()).unwrap().in_load_order(&["a"]).unwrap_err();
        let expected = format!("module `b` is neither in `{}` nor built into the kernel", folder.path().display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn modules_that_need_each_other_end() {
        let folder = tempfile::tempdir().unwrap();
        module_folder(folder.path(), &[("kernel/a.ko", "b"), ("kernel/b.ko", "a")], "");
        let order = ModuleTree::open(folder.path()).unwrap().in_load_order(&["a"]).unwrap();
        assert_eq!(names(&order), ["b", "a"]);
    }

    #[test]
    fn updated_module_wins() {
        let folder = tempfile::tempdir().unwrap();
        module_folder(folder.path(), &[("kernel/a.ko", ""), ("updates/dkms/a.ko", "")], "");
        let order = ModuleTree::open(folder.path()).unwrap().in_load_order(&["a"]).unwrap();
        assert!(order[0].path.ends_with("updates/dkms/a.ko"));
    }

    #[test]
    fn file_that_is_no_module_is_named() {
        let folder = tempfile::tempdir().unwrap();
        module_folder(folder.path(), &[], "");
        fs::write(folder.path().join("a.ko"), "text").unwrap();
        let error = ModuleTree::open(folder.path()).unwrap().in_load_order(&["a"]).unwrap_err();
        assert!(matches!(error, ModuleError::NotAModule { path } if path.ends_with("a.ko")));
    }

    #[test]
    fn folder_is_found_beside_the_kernel_and_in_what_the_user_names() {
        let root = tempfile::tempdir().unwrap();
        let version = root.path().join("lib/modules/1.2.3-x");
        module_folder(&version, &[("kernel/a.ko", "")], "");
        let kernel = root.path().join("boot/vmlinuz");
        assert_eq!(find_folder(None, &kernel, "1.2.3-x").0.as_ref(), Some(&version));
        let elsewhere = Path::new("/nowhere/kernel");
        for given in [&version, &root.path().join("lib/modules"), root.path()] {
            assert_eq!(find_folder(Some(given), elsewhere, "1.2.3-x").0.as_ref(), Some(&version));
        }
        let (found, tried) = find_folder(None, elsewhere, "1.2.3-x");
        assert_eq!((found, tried.len()), (None, 2));
    }
}
