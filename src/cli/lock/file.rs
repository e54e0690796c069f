//! The lock file on disk: read and written with the rights of the user who called smolvm, as a whole or not at all.
//!
//! Deliberately not here: what it says.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{LOCK_NAME, LockFile, Project};
use crate::host;
use crate::sys::identity::Actor;

/// Mode of a new lock file, before the umask.
const NEW_MODE: u32 = 0o666;

/// Why the lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockFileError {
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("`{path}` was changed by someone else meanwhile")]
    Changed { path: PathBuf },
}

/// The lock file of a project.
#[derive(Debug)]
pub(super) struct OnDisk {
    path: PathBuf,
    actor: Actor,
    /// Its text; none where there is none.
    before: Option<String>,
}

impl OnDisk {
    /// Reads it. What is wrong with it was told when the project was loaded.
    pub(super) fn read(project: &Project) -> Result<(Self, LockFile), LockFileError> {
        Self::read_at(&project.folder.join(LOCK_NAME), actor())
    }

    fn read_at(path: &Path, actor: Actor) -> Result<(Self, LockFile), LockFileError> {
        let before = text(path, &actor).map_err(|source| LockFileError::Read { path: path.to_path_buf(), source })?;
        let file = before.as_deref().map_or_else(LockFile::default, LockFile::read);
        Ok((Self { path: path.to_path_buf(), actor, before }, file))
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.before.is_some()
    }

    /// Whether it says something else than on disk.
    pub(super) fn is_changed(&self, file: &LockFile) -> bool {
        self.before.as_deref() != Some(&file.to_string())
    }

    /// Writes it.
    pub(super) fn write(&self, file: &LockFile) -> Result<(), LockFileError> {
        let fail = |source| LockFileError::Write { path: self.path.clone(), source };
        if text(&self.path, &self.actor).map_err(fail)? != self.before {
            return Err(LockFileError::Changed { path: self.path.clone() });
        }
        let text = file.to_string();
        self.actor.act(|| replace(&self.path, &text)).map_err(fail)
    }
}

/// With whose rights the project's files are used.
fn actor() -> Actor {
    let invoker = host::facts().invoker;
    if invoker.is_process_root && invoker.uid != 0 {
        Actor::User { uid: invoker.uid, gid: invoker.gid, groups: invoker.groups }
    } else {
        Actor::Own
    }
}

fn text(path: &Path, actor: &Actor) -> io::Result<Option<String>> {
    match actor.act(|| fs::read_to_string(path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a new file in the place of the old one, which may be a link; mode and owner stay where that is allowed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(&real).ok();
    if old.is_some() {
        // Without the right to write it, a file is not replaced by another one either.
        OpenOptions::new().write(true).open(&real)?;
    }
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let new = real.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).mode(NEW_MODE).open(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if let Some(old) = &old {
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        file.sync_all()?;
        fs::rename(&new, &real)
    });
    if written.is_err() {
        // What cannot be removed either is left: the first error is told.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_made_replaced_and_never_written_over_anothers_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smolvm.lock");
        let (disk, mut file) = OnDisk::read_at(&path, Actor::Own).unwrap();
        assert!(!disk.is_there() && disk.is_changed(&file));
        file.set("host:5/a:1", &format!("sha256:{}", "a".repeat(64)));
        disk.write(&file).unwrap();
        let (disk, read) = OnDisk::read_at(&path, Actor::Own).unwrap();
        assert_eq!((disk.is_changed(&read), read == file), (false, true));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        disk.write(&LockFile::default()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert!(matches!(disk.write(&file), Err(LockFileError::Changed { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn under_sudo_it_is_the_callers_and_written_with_their_rights() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(1234), Some(1234)).unwrap();
        let actor = Actor::User { uid: 1234, gid: 1234, groups: Vec::new() };
        let path = folder.path().join("smolvm.lock");
        let (disk, file) = OnDisk::read_at(&path, actor.clone()).unwrap();
        disk.write(&file).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 1234));
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (disk, _) = OnDisk::read_at(&path, actor).unwrap();
        assert!(matches!(disk.write(&LockFile::read("version 1\n")), Err(LockFileError::Write { .. })));
    }
}
