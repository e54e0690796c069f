//! The initial file system of a guest: the agent as `/init` and the few modules that it loads first.
//!
//! Two archives in one file, the agent's and the modules', uncompressed: unpacking costs more than reading. It is
//! kept under a name made from its content, so that one file serves every machine with the same kernel.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::cache::{Cache, sha256};
use super::cpio::Archive;
use super::kernel::modules::{Module, ModuleTree};
use super::kernel::{Kernel, ModuleError, REQUIRED_MODULES, mark_used};

/// Why there is no initial file system.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The kernel's modules do not do.
    #[error("kernel `{version}` cannot run a machine")]
    Modules {
        /// Version of the kernel.
        version: String,
        /// Why.
        source: ModuleError,
    },
    /// The cache cannot be written.
    #[error("cannot write the initial file system below `{path}`")]
    Write {
        /// Folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a machine needs besides whose root is a disk.
pub const DISK_ROOT_MODULES: [&str; 2] = ["virtio_blk", "erofs"];

/// What a machine needs besides that has a disk of its own.
pub const STORAGE_MODULES: [&str; 2] = ["virtio_blk", "ext4"];

/// What the checksums of ext4 are made by in some kernels, of which no module says that it needs it.
const CHECKSUM_MODULE: &str = "crc32c_generic";

/// Builds the file, or finds it in the cache; `more` modules than every machine's are in it.
pub fn build(kernel: &Kernel, agent: &[u8], more: &[&str], cache: &Path) -> Result<PathBuf, InitramfsError> {
    let written = |source| InitramfsError::Write { path: cache.to_owned(), source };
    let cache = Cache::open(cache).map_err(written)?;
    let names: Vec<&str> = REQUIRED_MODULES.iter().chain(more).copied().collect();
    let question = question(kernel, agent, &names);
    if let Some(name) = cache.recall(&question)
        && cache.path(&name).is_file()
    {
        mark_used(&cache.path(&name));
        return Ok(cache.path(name));
    }
    let modules = match &kernel.modules {
        Some(folder) => {
            let tree = ModuleTree::open(folder);
            let order = tree.and_then(|tree| {
                let has_checksums = names.contains(&"ext4") && tree.first_missing(&[CHECKSUM_MODULE]).is_none();
                let first: Vec<&str> = has_checksums.then_some(CHECKSUM_MODULE).into_iter().chain(names).collect();
                tree.in_load_order(&first)
            });
            order.map_err(|source| InitramfsError::Modules { version: kernel.version.clone(), source })?
        }
        None => Vec::new(),
    };
    let bytes = pack(agent, &modules).map_err(written)?;
    let name = format!("initramfs-{}", sha256(&[&bytes]));
    let (path, ()) = cache.publish_file::<(), io::Error>(&name, |file| file.write_all(&bytes)).map_err(written)?;
    let mut sources: Vec<PathBuf> = modules.into_iter().map(|module| module.path).collect();
    sources.extend(kernel.modules.iter().map(|folder| folder.join("modules.builtin")).filter(|file| file.exists()));
    // Without a memory the next run packs again: slower, not wrong.
    let _ = cache.remember(&question, &name, &sources);
    Ok(path)
}

/// All that decides what is in the file, but for the state of the modules, which the memory itself checks.
fn question(kernel: &Kernel, agent: &[u8], names: &[&str]) -> String {
    let folder = kernel.modules.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
    format!("initramfs {} {} {} {folder}", sha256(&[agent]), kernel.version, names.join(","))
}

fn pack(agent: &[u8], modules: &[Module]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    archive.folder("dev", 0o755)?;
    // The kernel opens it for `/init` before anything is mounted.
    archive.device("dev/console", 0o600, (5, 1))?;
    archive.device("dev/null", 0o666, (1, 3))?;
    archive.device("dev/kmsg", 0o600, (1, 11))?;
    archive.file("init", 0o755, agent)?;
    let mut archive = Archive::new(archive.finish()?);
    archive.folder("modules", 0o755)?;
    for (index, module) in modules.iter().enumerate() {
        archive.file(&format!("modules/{index:02}-{}.ko", module.name), 0o644, &module.bytes)?;
    }
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::super::cpio::tests::read;
    use super::super::kernel::modules::tests::module_folder;
    use super::*;
    use std::fs;

    fn kernel(modules: Option<PathBuf>) -> Kernel {
        Kernel { version: "1.2.3".to_owned(), boot_file: "/none".into(), modules, origin: String::new() }
    }

    fn some_modules(folder: &Path) -> Kernel {
        let modules = [
            ("kernel/virtio_mmio.ko.xz", "virtio,virtio_ring"),
            ("kernel/virtio_pci.ko", "virtio"),
            ("kernel/virtio.ko", "virtio_ring"),
            ("kernel/virtio_ring.ko.zst", ""),
            ("kernel/virtiofs.ko.gz", "fuse"),
            ("kernel/vmw_vsock_virtio_transport.ko", ""),
            ("kernel/unneeded.ko", ""),
        ];
        module_folder(folder, &modules, "kernel/overlay.ko\nkernel/fuse.ko\n");
        kernel(Some(folder.to_owned()))
    }

    #[test]
    fn agent_comes_first_and_then_the_modules_in_load_order() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = some_modules(&folder.path().join("modules"));
        let path = build(&kernel, b"agent", &[], folder.path()).unwrap();
        let entries = read(&fs::read(path).unwrap());
        let names: Vec<_> = entries.iter().map(|entry| entry.0.as_str()).collect();
        let expected = [
            "dev",
            "dev/console",
            "dev/null",
            "dev/kmsg",
            "init",
            "TRAILER!!!",
            "modules",
            "modules/00-virtio_ring.ko",
            "modules/01-virtio.ko",
            "modules/02-virtio_mmio.ko",
            "modules/03-virtio_pci.ko",
            "modules/04-virtiofs.ko",
            "modules/05-vmw_vsock_virtio_transport.ko",
            "TRAILER!!!",
        ];
        assert_eq!(names, expected);
        assert_eq!((entries[4].1, entries[4].3.as_slice()), (0o100_755, b"agent".as_slice()));
        assert!(entries[7..13].iter().all(|entry| entry.3.starts_with(b"\x7fELF")));
    }

    #[test]
    fn same_input_is_the_same_file_and_other_input_another() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("modules");
        let kernel = some_modules(&modules);
        let first = build(&kernel, b"agent", &[], folder.path()).unwrap();
        let made = fs::metadata(&first).unwrap().modified().unwrap();
        assert_eq!(build(&kernel, b"agent", &[], folder.path()).unwrap(), first);
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), made, "it is not written again");
        assert_ne!(build(&kernel, b"agent", &["unneeded"], folder.path()).unwrap(), first);
        assert_ne!(build(&kernel, b"another agent", &[], folder.path()).unwrap(), first);
        let changed = super::super::kernel::elf::tests::module(&["depends=", "author=somebody"]);
        fs::write(modules.join("kernel/virtio_pci.ko"), changed).unwrap();
        assert_ne!(build(&kernel, b"agent", &[], folder.path()).unwrap(), first);
    }

    #[test]
    fn missing_module_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("modules");
        let kernel = some_modules(&modules);
        fs::remove_file(modules.join("kernel/virtiofs.ko.gz")).unwrap();
        let error = build(&kernel, b"agent", &[], folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "kernel `1.2.3` cannot run a machine");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("module `virtiofs` is neither in `"), "{source}");
    }

    #[test]
    fn kernel_with_all_built_in_needs_no_modules() {
        let folder = tempfile::tempdir().unwrap();
        let path = build(&kernel(None), b"agent", &[], folder.path()).unwrap();
        let entries = read(&fs::read(path).unwrap());
        assert_eq!(entries[6].0, "modules");
        assert_eq!(entries.len(), 8);
    }

    #[test]
    fn cpio_itself_reads_the_first_archive() {
        if super::super::tool::find("cpio").is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let kernel = some_modules(&folder.path().join("modules"));
        let path = build(&kernel, b"agent", &[], folder.path()).unwrap();
        // It stops at the end of the first archive.
        let tool = super::super::tool::Tool::new("cpio").args(["-it", "--quiet", "-F"]).args([path]);
        let listed = tool.run(&|_: &str| {}).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), ["dev", "dev/console", "dev/null", "dev/kmsg", "init"]);
    }
}
