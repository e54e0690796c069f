//! From the kernel's start to a place where the agent can listen: `/dev` and `/proc` of the initramfs, standard
//! descriptors, limits, modules. No udev, nothing is waited for.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::Path;

use crate::sys::{self, MountFlags};
use crate::wire::eprint_kernel;

/// Where the initramfs holds the kernel's modules, named so that they load in the order of their names.
const MODULES: &str = "/modules";

/// Folders of the initramfs that are only for the way to the real root.
pub(crate) const EARLY_MOUNTS: &[&str] = &["/proc", "/dev"];

/// Open files of the agent: each connection to a program of the guest takes two.
const OPEN_FILES: u64 = 524_288;

/// Prepares the machine as far as the agent itself needs it.
pub(crate) fn prepare() -> io::Result<()> {
    for (target, kind) in EARLY_MOUNTS.iter().zip(["proc", "devtmpfs"]) {
        make_folder(Path::new(target))?;
        match sys::mount(kind, Path::new(target), kind, MountFlags::NONE, "") {
            // A kernel that mounts devtmpfs by itself.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            result => result?,
        }
    }
    fill_standard_descriptors()?;
    sys::ignore_broken_pipes();
    // The kernel ends other processes first when memory runs out.
    fs::write("/proc/self/oom_score_adj", "-1000")?;
    sys::set_open_files_limit(OPEN_FILES)?;
    load_modules();
    Ok(())
}

/// A folder, made where it is missing.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// A kernel without a console starts its first process with no descriptor at all; later ones must not become
/// standard output by chance.
fn fill_standard_descriptors() -> io::Result<()> {
    loop {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        // It stays open for the life of the agent.
        let _ = null.into_raw_fd();
    }
}

/// Loads every module, then frees their memory. One that fails is named in the kernel's log: what needs it fails
/// later, and says what is missing.
fn load_modules() {
    let mut modules: Vec<_> = fs::read_dir(MODULES).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in &modules {
        let loaded = File::open(module).and_then(|file| sys::load_module(&file));
        if let Err(error) = loaded {
            eprint_kernel(&format!("cannot load module `{}`: {error}", module.display()));
        }
        // The initramfs is memory.
        let _ = fs::remove_file(module);
    }
}
