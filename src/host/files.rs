//! The real world behind [`Files`]: this computer's files, links and environment, and who runs us.
//!
//! Rights are those of the invoking user. Under `sudo` questions are asked by a thread that has become `SUDO_UID` with
//! its groups, so that the kernel decides, access lists and all. Nothing is written.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};

use super::accounts::{self, Account};
use super::askers::Askers;
use super::contents::{contents, is_public};
use super::images::{FindImage, KnownImages};
use super::memory::memory_mib;
use super::{facts, ports};
use crate::config::model::Image;
use crate::config::{
    FileError, FileKind, Files, FolderContents, HostIds, HostPorts, HostResources, ImageRoot, InvokerFacts, Metadata,
};

/// So many names of a folder are listed; more help nobody.
const NAMES_MAX: usize = 4096;

/// This computer, as the invoking user sees it.
#[derive(Debug, Clone)]
pub struct HostFiles {
    invoker: Account,
    ids: HostIds,
    /// The user that this process is.
    own_uid: u32,
    is_privileged: bool,
    /// Threads that have become the invoker, or the owner of a mount.
    askers: Arc<Askers>,
    /// Images that were brought here, where somebody knows them.
    images: Option<Arc<KnownImages>>,
    /// Who knows which machines are up.
    held: Option<Arc<dyn FindHeld>>,
}

/// Knows where machines that are up are reached. A trait, so that nothing here needs to ask them.
pub trait FindHeld: fmt::Debug + Send + Sync {
    /// The addresses at which those of a project listen now.
    fn ports(&self, project: &str, folder: &Path) -> Vec<SocketAddr>;
}

impl HostFiles {
    /// Finds out who runs smolvm: `SUDO_UID` and `SUDO_GID` where root was reached through `sudo`.
    pub fn new() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let is_privileged = uid == 0;
        let sudo = if is_privileged { sudo_ids() } else { None };
        let invoker = match sudo {
            Some((uid, gid)) => accounts::other(uid, gid),
            None => accounts::oneself(),
        };
        Self::acting_as(invoker, is_privileged)
    }

    fn acting_as(invoker: Account, is_privileged: bool) -> Self {
        let ids = HostIds { uid: invoker.uid, gid: invoker.gid, groups: invoker.groups.clone() };
        let own_uid = rustix::process::geteuid().as_raw();
        Self { invoker, ids, own_uid, is_privileged, askers: Arc::default(), images: None, held: None }
    }

    /// With images that were brought here.
    #[must_use]
    pub fn with_images(mut self, finder: Arc<dyn FindImage>) -> Self {
        self.images = Some(Arc::new(KnownImages::new(finder)));
        self
    }

    /// With what is known of machines that are up.
    #[must_use]
    pub fn with_held(mut self, held: Arc<dyn FindHeld>) -> Self {
        self.held = Some(held);
        self
    }

    /// Asks the kernel about a path as the invoking user.
    fn ask<T: Send + 'static>(&self, path: &Path, question: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        self.ask_as(&self.ids, path, question)
    }

    /// Asks as a user that root can become.
    fn ask_as<T: Send + 'static>(
        &self,
        ids: &HostIds,
        path: &Path,
        question: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> T {
        if ids.uid == self.own_uid {
            return question(path);
        }
        let path = path.to_path_buf();
        self.askers.ask(ids, move || question(&path))
    }

    /// Whether a user has these rights, all links followed.
    fn allows(&self, ids: &HostIds, path: &Path, access: Access) -> bool {
        self.ask_as(ids, path, move |path| {
            let is_allowed = |access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
            // To use a folder is to enter it, and most of what is asked about are folders.
            is_allowed(access | Access::EXEC_OK) || (!path.is_dir() && is_allowed(access))
        })
    }

    /// The folder that the variable names, else the default one below each home that may be meant: under `sudo` that
    /// is the caller's, the one that the environment says, or root's.
    fn xdg(&self, variable: &str, default: &str) -> Vec<PathBuf> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(named) = absolute(variable) {
            return vec![named.join("smolvm")];
        }
        let root = (self.is_privileged && self.ids.uid != self.own_uid).then(|| PathBuf::from("/root"));
        let homes = [self.invoker.home.clone(), absolute("HOME"), root];
        let mut folders: Vec<PathBuf> =
            homes.into_iter().flatten().map(|home| home.join(default).join("smolvm")).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

impl Default for HostFiles {
    fn default() -> Self {
        Self::new()
    }
}

/// The user who called `sudo`, where both ids are given and that user is not root.
pub(super) fn sudo_ids() -> Option<(u32, u32)> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let uid = id("SUDO_UID").filter(|uid| *uid != 0)?;
    Some((uid, id("SUDO_GID")?))
}

impl Files for HostFiles {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        let content = self.read_start(path, limit.saturating_add(1))?;
        if content.len() > limit { Err(FileError::TooLong) } else { Ok(content) }
    }

    fn read_start(&self, path: &Path, length: usize) -> Result<Vec<u8>, FileError> {
        self.read_range(path, 0, length)
    }

    fn read_range(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>, FileError> {
        self.ask(path, move |path| read_range(path, offset, length))
            .map_err(|error| explain(&error))?
            .ok_or(FileError::NotRegular)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.ask(path, Path::metadata).map(|found| describe(&found)).map_err(|error| explain(&error))
    }

    fn link_metadata(&self, path: &Path) -> Result<Metadata, FileError> {
        self.ask(path, Path::symlink_metadata).map(|found| describe(&found)).map_err(|error| explain(&error))
    }

    fn canonicalize(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.ask(path, Path::canonicalize).map_err(|error| explain(&error))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.ask(path, Path::read_link).map_err(|error| explain(&error))
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, FileError> {
        let list = |folder: &Path| -> io::Result<Vec<OsString>> {
            let entries = std::fs::read_dir(folder)?;
            Ok(entries.flatten().take(NAMES_MAX).map(|entry| entry.file_name()).collect())
        };
        let mut names = self.ask(folder, list).map_err(|error| explain(&error))?;
        names.sort();
        Ok(names)
    }

    fn contents(&self, folder: &Path, limit: usize, is_public_only: bool) -> Result<FolderContents, FileError> {
        self.ask(folder, move |folder| contents(folder, limit, is_public_only)).map_err(|error| explain(&error))
    }

    fn first_of(&self, folder: &Path, names: &'static [&'static str]) -> Option<usize> {
        self.ask(folder, move |folder| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
            names.iter().position(|name| rustix::fs::statat(&folder, *name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
        })
    }

    fn is_readable(&self, path: &Path) -> bool {
        self.allows(&self.ids, path, Access::READ_OK)
    }

    fn is_writable(&self, path: &Path) -> bool {
        self.allows(&self.ids, path, Access::WRITE_OK)
    }

    fn is_usable_by(&self, owner: &HostIds, path: &Path, is_written: bool) -> bool {
        let ids = if self.is_privileged { owner } else { &self.ids };
        self.allows(ids, path, Access::READ_OK) && (!is_written || self.allows(ids, path, Access::WRITE_OK))
    }

    fn image_root(&self, image: &Image, lock: Option<&str>) -> Option<Arc<dyn ImageRoot>> {
        self.images.as_ref()?.root(image, lock)
    }

    fn variable(&self, name: &str) -> Option<String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var(name).ok()
    }

    fn variable_names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        names.sort();
        names
    }

    fn invoker(&self) -> InvokerFacts {
        InvokerFacts {
            uid: self.invoker.uid,
            gid: self.invoker.gid,
            name: self.invoker.name.clone(),
            home: self.invoker.home.clone(),
            is_privileged: self.is_privileged,
        }
    }

    fn resources(&self) -> HostResources {
        HostResources { cpus: facts::cpus(), memory_mib: memory_mib() }
    }

    fn ports(&self) -> HostPorts {
        ports::ports()
    }

    fn held_ports(&self, project: &str, folder: &Path) -> Vec<SocketAddr> {
        self.held.as_ref().map(|held| held.ports(project, folder)).unwrap_or_default()
    }

    fn own_folders(&self) -> Vec<PathBuf> {
        [self.xdg("XDG_STATE_HOME", ".local/state"), self.xdg("XDG_CACHE_HOME", ".cache")].concat()
    }
}

/// Bytes of a regular file; none where it is not one.
fn read_range(path: &Path, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
    // A pipe without a writer would block the open for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))?;
    }
    let mut content = Vec::new();
    file.take(length as u64).read_to_end(&mut content)?;
    Ok(Some(content))
}

fn describe(found: &std::fs::Metadata) -> Metadata {
    let kind = if found.is_file() {
        FileKind::File
    } else if found.is_dir() {
        FileKind::Folder
    } else if found.is_symlink() {
        FileKind::Link
    } else {
        FileKind::Other
    };
    Metadata { kind, length: found.len(), identity: (found.dev(), found.ino()), is_public: is_public(found) }
}

fn explain(error: &io::Error) -> FileError {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::NOENT) => FileError::Missing,
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => FileError::Denied,
        Some(rustix::io::Errno::LOOP) => FileError::Loop,
        Some(rustix::io::Errno::NOTDIR) => FileError::Other("a name on the way is not a folder".to_owned()),
        Some(rustix::io::Errno::NAMETOOLONG) => FileError::Other("the name is too long".to_owned()),
        Some(rustix::io::Errno::NXIO) => FileError::NotRegular,
        Some(errno) => FileError::Other(io::Error::from(errno).to_string()),
        None => FileError::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn as_other(uid: u32, gid: u32) -> HostFiles {
        let invoker = Account { uid, gid, groups: vec![gid], name: None, home: None };
        HostFiles::acting_as(invoker, true)
    }

    fn folder_with_mode(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).expect("mode bits");
        folder
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        assert_eq!(HostFiles::new().read(&pipe, 10), Err(FileError::NotRegular));
        assert_eq!(HostFiles::new().metadata(&pipe).map(|found| found.kind), Ok(FileKind::Other));
    }

    #[test]
    fn a_file_longer_than_the_limit_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "0123456789").expect("a file");
        let files = HostFiles::new();
        assert_eq!(files.read(&file, 10).map(|bytes| bytes.len()), Ok(10));
        assert_eq!(files.read(&file, 9), Err(FileError::TooLong));
        assert_eq!(files.read_start(&file, 3), Ok(b"012".to_vec()));
    }

    #[test]
    fn errors_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("loop", path("loop")).expect("a link");
        std::fs::write(path("file"), "").expect("a file");
        let files = HostFiles::new();
        assert_eq!(files.metadata(&path("missing")), Err(FileError::Missing));
        assert_eq!(files.metadata(&path("loop")), Err(FileError::Loop));
        assert!(matches!(files.metadata(&path("file/x")), Err(FileError::Other(_))));
        assert_eq!(files.link_metadata(&path("loop")).map(|found| found.kind), Ok(FileKind::Link));
        assert_eq!(files.list(folder.path()), Ok(vec!["file".into(), "loop".into()]));
    }

    #[test]
    fn under_sudo_the_rights_are_the_callers() {
        if !rustix::process::geteuid().is_root() {
            // Only root can become another user.
            return;
        }
        let private = folder_with_mode(0o700);
        let shared = folder_with_mode(0o755);
        let open = folder_with_mode(0o777);
        let other = as_other(54321, 54321);
        assert!(!other.is_readable(private.path()));
        assert!(other.is_readable(shared.path()) && !other.is_writable(shared.path()));
        assert!(other.is_readable(open.path()) && other.is_writable(open.path()));
        let below = private.path().join("below");
        std::fs::create_dir(&below).expect("a folder");
        std::fs::set_permissions(&below, std::fs::Permissions::from_mode(0o777)).expect("mode bits");
        assert!(!other.is_readable(&below), "the folder above cannot be entered");
        assert_eq!(other.metadata(&below), Err(FileError::Denied));
        assert!(rustix::process::geteuid().is_root(), "the rights of this thread and process stay");
        assert!(HostFiles::new().metadata(&below).is_ok());
    }
}
