//! Which kernel a machine boots, in one order: the cache, the distribution's package, the host's own.

use std::path::{Path, PathBuf};

use super::super::Digest;
use super::super::cache::{self, Cache};
use super::super::waiter::Waiter;
use super::KernelError;
use super::modules::{ModuleTree, find_folder};
use super::package::{KernelFiles, Manager};
use super::stored;
use super::vmlinux::inspect;

/// What every machine needs: its buses, its shares, its control channel, its root.
pub(crate) const REQUIRED_MODULES: [&str; 5] =
    ["virtio_mmio", "virtio_pci", "virtiofs", "vmw_vsock_virtio_transport", "overlay"];

/// Which kernel is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelRequest {
    /// The best that can be had.
    Auto,
    /// A bzImage or a vmlinux of the user's.
    Path(PathBuf),
}

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -r` will say.
    pub version: String,
    /// What an engine boots: a vmlinux with a PVH entry, or a bzImage where none could be extracted.
    pub boot_file: PathBuf,
    /// Folder of its modules; `None` where all is built in.
    pub modules: Option<PathBuf>,
    /// Where it comes from, for people.
    pub origin: String,
}

impl Kernel {
    /// Whether all of these modules are there, or built in. Where it cannot be known they are not.
    pub fn has(&self, modules: &[&str], cache: &Path) -> bool {
        match &self.modules {
            Some(folder) => ModuleTree::open(folder).is_ok_and(|tree| tree.first_missing(modules).is_none()),
            None => self.has_built_in(modules, cache),
        }
    }

    /// Digest of the file that is booted: what a lock file says of `kernel: auto`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn digest(&self) -> std::io::Result<Digest> {
        Ok(Digest::of(&std::fs::read(&self.boot_file)?))
    }

    /// Looks for the names in the kernel itself, once: each driver and file system has its own in it.
    fn has_built_in(&self, modules: &[&str], cache: &Path) -> bool {
        let cache = Cache::open(cache).ok();
        let question = format!("built in {} {}", self.boot_file.display(), modules.join(","));
        if let Some(answer) = cache.as_ref().and_then(|cache| cache.recall(&question)) {
            return answer == "yes";
        }
        let Ok(bytes) = std::fs::read(&self.boot_file) else { return false };
        let words = || bytes.split(|byte| *byte == 0);
        let has_all = modules.iter().all(|name| words().any(|word| word == name.as_bytes()));
        // Without a memory it is looked for again.
        let answer = if has_all { "yes" } else { "no" };
        let _ = cache.map(|cache| cache.remember(&question, answer, std::slice::from_ref(&self.boot_file)));
        has_all
    }
}

/// What `kernel: auto` would take, found out without downloading or writing anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AutoChoice {
    /// A kernel of an earlier run.
    Cached {
        /// Where it came from.
        origin: String,
    },
    /// The distribution's kernel.
    Download {
        /// Program that will download it.
        program: String,
    },
    /// The host's own kernel.
    Host {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    Nothing {
        /// Why not.
        tried: Vec<String>,
    },
}

impl std::fmt::Display for AutoChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AutoChoice::Cached { origin } => write!(f, "{origin}, from the cache"),
            AutoChoice::Download { program } => {
                write!(f, "the distribution's kernel, to be downloaded by {program} without being installed")
            }
            AutoChoice::Host { path } => write!(f, "this computer's own, {}", path.display()),
            AutoChoice::Nothing { tried } => write!(f, "none: {}", tried.join("; ")),
        }
    }
}

/// Finds the kernel, fetching it into the cache where it must. The waiter is told what takes time, and may leave.
///
/// `cache` is the user's cache folder of smolvm. Several processes may do this at once.
pub fn resolve(
    request: &KernelRequest,
    modules: Option<&Path>,
    cache: &Path,
    waiter: &mut dyn Waiter,
) -> Result<Kernel, KernelError> {
    let cache = Cache::open(cache).map_err(|source| KernelError::io("make cache folder", cache, source))?;
    cache.sweep();
    match request {
        KernelRequest::Path(path) => {
            let origin = path.display().to_string();
            finish(&KernelFiles { image: path.clone(), modules: None, origin, is_stored: false }, modules, &cache)
        }
        KernelRequest::Auto => {
            let files = match stored::auto(&cache) {
                Some((folder, files)) => {
                    stored::mark_folder(&folder);
                    files
                }
                None => fetch(&cache, waiter)?,
            };
            finish(&files, modules, &cache)
        }
    }
}

/// Tells what [`resolve`] would take for [`KernelRequest::Auto`].
pub fn describe_auto(cache: &Path) -> AutoChoice {
    let cached = Cache::existing(cache).and_then(|cache| stored::auto(&cache));
    if let Some((_, files)) = cached {
        return AutoChoice::Cached { origin: files.origin };
    }
    if let Some(manager) = Manager::find() {
        return AutoChoice::Download { program: manager.program().to_owned() };
    }
    match host_kernel() {
        Ok(files) => AutoChoice::Host { path: files.image },
        Err(why) => AutoChoice::Nothing { tried: vec![NO_MANAGER.to_owned(), why] },
    }
}

/// What another smolvm does that holds the lock.
pub(super) const BUSY: &str = "fetches the kernel";
pub(super) const NO_MANAGER: &str = "no package manager that is known here (apt-get, dnf, pacman)";

/// Fetches the distribution's newest kernel now, whatever is in the cache. The second value says whether it is new.
pub fn pull(cache: &Path, waiter: &mut dyn Waiter) -> Result<(Kernel, bool), KernelError> {
    let cache = Cache::open(cache).map_err(|source| KernelError::io("make cache folder", cache, source))?;
    cache.sweep();
    let failed = |source| KernelError::io("lock cache folder", cache.path(""), source);
    let mut lock = cache.lock_file().map_err(failed)?;
    let Some(_guard) = cache::hold(&mut lock, BUSY, waiter).map_err(failed)? else {
        return Err(KernelError::NotWanted);
    };
    let (files, is_new) = download(&cache, waiter)?.map_err(|why| KernelError::NothingFound { tried: vec![why] })?;
    Ok((finish(&files, None, &cache)?, is_new))
}

/// Downloads, or falls back on the host's own kernel.
fn fetch(cache: &Cache, waiter: &mut dyn Waiter) -> Result<KernelFiles, KernelError> {
    let failed = |source| KernelError::io("lock cache folder", cache.path(""), source);
    let mut lock = cache.lock_file().map_err(failed)?;
    let Some(_guard) = cache::hold(&mut lock, BUSY, waiter).map_err(failed)? else {
        return Err(KernelError::NotWanted);
    };
    if let Some((_, files)) = stored::auto(cache) {
        return Ok(files);
    }
    match download(cache, waiter)? {
        Ok((files, _)) => Ok(files),
        Err(tried) => host_kernel().map_err(|why| KernelError::NothingFound { tried: vec![tried, why] }),
    }
}

/// Downloads the distribution's kernel; where that fails the inner value says why. The caller holds the lock.
fn download(cache: &Cache, waiter: &mut dyn Waiter) -> Result<Result<(KernelFiles, bool), String>, KernelError> {
    let Some(manager) = Manager::find() else { return Ok(Err(NO_MANAGER.to_owned())) };
    match manager.download(cache, waiter) {
        Ok(found) => Ok(Ok(found)),
        Err(_) if waiter.has_left() => Err(KernelError::NotWanted),
        Err(error) => Ok(Err(format!("{}: {error}", manager.program()))),
    }
}

/// The kernel that this host runs, if it can be read and has what a machine needs.
pub(super) fn host_kernel() -> Result<KernelFiles, String> {
    let version = rustix::system::uname().release().to_string_lossy().into_owned();
    let image = PathBuf::from(format!("/boot/vmlinuz-{version}"));
    if let Err(error) = std::fs::File::open(&image) {
        return Err(format!("cannot read this computer's own kernel `{}`: {error}", image.display()));
    }
    let modules = Path::new("/lib/modules").join(&version);
    let tree = ModuleTree::open(&modules).map_err(|error| error.to_string())?;
    if let Some(missing) = tree.first_missing(&REQUIRED_MODULES) {
        return Err(format!("this computer's own kernel lacks module `{missing}`"));
    }
    let origin = format!("this computer's own kernel {version}");
    Ok(KernelFiles { image, modules: Some(modules), origin, is_stored: false })
}

/// Looks into a kernel, and finds the modules of one that is not the cache's.
pub(super) fn finish(files: &KernelFiles, modules: Option<&Path>, cache: &Cache) -> Result<Kernel, KernelError> {
    let found = inspect(&files.image, cache)?;
    let version = found.version;
    let modules = match (modules, &files.modules) {
        (None, Some(known)) => Some(known.clone()),
        // One of the cache has its modules with it, or none.
        (None, None) if files.is_stored => None,
        (given, _) => {
            let image = std::path::absolute(&files.image).unwrap_or_else(|_| files.image.clone());
            let (folder, _) = find_folder(given, &image, &version);
            if let (Some(path), None) = (given, &folder) {
                return Err(KernelError::NoModules { path: path.to_owned(), version });
            }
            folder
        }
    };
    Ok(Kernel { version, boot_file: found.boot_file, modules, origin: files.origin.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::bzimage::tests::bzimage;
    use super::super::elf::tests::vmlinux;
    use super::super::modules::tests::module_folder;
    use super::super::package::tests::plant;
    use super::*;
    use std::fs;

    #[test]
    fn what_a_kernel_has_is_in_its_modules_or_in_itself() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("modules");
        module_folder(&modules, &[("kernel/erofs.ko", "")], "kernel/virtio_blk.ko\n");
        let boot_file = folder.path().join("vmlinux");
        fs::write(&boot_file, b"\x7fELF\0erofs\0no virtio_blk\0").unwrap();
        let origin = String::new();
        let mut kernel = Kernel { version: "1".to_owned(), boot_file, modules: Some(modules), origin };
        let cache = folder.path().join("cache");
        assert!(kernel.has(&["virtio_blk", "erofs"], &cache) && !kernel.has(&["erofs", "xfs"], &cache));
        kernel.modules = None;
        for _ in 0..2 {
            assert!(kernel.has(&["erofs"], &cache) && !kernel.has(&["virtio_blk", "erofs"], &cache));
        }
        fs::write(&kernel.boot_file, b"\0erofs\0virtio_blk\0 another one").unwrap();
        assert!(kernel.has(&["virtio_blk", "erofs"], &cache));
    }

    fn no_progress(words: &str) {
        panic!("nothing takes time: {words}");
    }

    #[test]
    fn cached_kernel_needs_neither_network_nor_words() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let planted = plant(&cache, &vmlinux(18), "9.8.7-made");
        let kernel = resolve(&KernelRequest::Auto, None, folder.path(), &mut no_progress).unwrap();
        assert_eq!(kernel.version, "9.8.7-made");
        assert_eq!(kernel.modules, Some(planted.join("lib/modules/9.8.7-made")));
        assert_eq!(kernel.origin, "package made_1");
        assert_eq!(describe_auto(folder.path()).to_string(), "package made_1, from the cache");
    }

    #[test]
    fn users_kernel_has_its_modules_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("boot/vmlinuz");
        fs::create_dir(folder.path().join("boot")).unwrap();
        fs::write(&image, bzimage(b"", true)).unwrap();
        let request = KernelRequest::Path(image.clone());
        let bare = resolve(&request, None, &folder.path().join("cache"), &mut no_progress).unwrap();
        assert_eq!(bare.modules, None);
        let modules = folder.path().join("lib/modules/9.8.7-made");
        module_folder(&modules, &[("kernel/a.ko", "")], "");
        let kernel = resolve(&request, None, &folder.path().join("cache"), &mut no_progress).unwrap();
        assert_eq!(kernel.modules, Some(modules.clone()));
        let kernel = resolve(&request, Some(&modules), &folder.path().join("cache"), &mut no_progress).unwrap();
        assert_eq!(kernel.modules, Some(modules));
        assert_eq!(kernel.origin, image.display().to_string());
    }

    #[test]
    fn folder_without_modules_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("vmlinuz");
        fs::write(&image, bzimage(b"", true)).unwrap();
        let error = resolve(&KernelRequest::Path(image), Some(folder.path()), folder.path(), &mut no_progress);
        let error = error.unwrap_err();
        assert!(error.to_string().ends_with("holds no modules of kernel `9.8.7-made`"));
        assert!(error.help().unwrap().contains("lib/modules/9.8.7-made"));
    }

    #[test]
    fn missing_kernel_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let error = resolve(&KernelRequest::Path(path.clone()), None, folder.path(), &mut no_progress).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot find kernel `{}`", path.display()));
    }

    /// The real thing: needs a package manager and its registry.
    #[test]
    #[ignore = "downloads the distribution's kernel"]
    fn distributions_kernel_is_downloaded_once_and_has_what_a_machine_needs() {
        let folder = tempfile::tempdir().unwrap();
        let mut words = Vec::new();
        let kernel =
            resolve(&KernelRequest::Auto, None, folder.path(), &mut |text: &str| words.push(text.to_owned())).unwrap();
        assert!(words.iter().any(|text| text.starts_with("downloading ")), "{words:?}");
        let tree = ModuleTree::open(kernel.modules.as_ref().unwrap()).unwrap();
        assert_eq!(tree.first_missing(&REQUIRED_MODULES), None);
        let boot_file = fs::File::open(&kernel.boot_file).unwrap();
        assert!(super::super::elf::has_pvh_entry(&boot_file).unwrap());
        assert_eq!(resolve(&KernelRequest::Auto, None, folder.path(), &mut no_progress).unwrap(), kernel);
        let initramfs = super::super::super::initramfs::build(&kernel, b"agent", &[], folder.path()).unwrap();
        assert!(fs::metadata(initramfs).unwrap().len() < 8 << 20);
        let is_temporary = |name: &str| name.starts_with(".new-");
        let left = fs::read_dir(folder.path().join("kernels")).unwrap();
        assert!(!left.flatten().any(|entry| is_temporary(&entry.file_name().to_string_lossy())));
    }

    #[test]
    fn describing_makes_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("none");
        describe_auto(&cache);
        assert!(!cache.exists());
    }
}
