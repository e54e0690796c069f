//! Unix sockets that leave no name behind.
//!
//! A vhost-user daemon of the library that we use wants a listener, while its front end is a descriptor that
//! we hand on. The name exists for as long as it takes to connect to it. Not here: what is spoken over them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::rand::{GetRandomFlags, getrandom};

/// What the names of private folders begin with; 16 hexadecimal digits follow.
const PREFIX: &str = "smolvm-";

/// How many folders in a row may be cleared by others before they are locked.
const FOLDER_TRIES: u32 = 100;

/// Binds a listener in `dir`, connects to it, and removes its name at once: the first connection that the
/// listener accepts is the returned stream. `dir` should be private (mode 0700), else another may connect first.
pub fn connected_listener(dir: &Path) -> io::Result<(UnixListener, UnixStream)> {
    // Through the descriptor the path is short, however long the folder's own is (`sun_path` has 108 bytes).
    let folder = File::open(dir)?;
    let name = random_name()?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_fd().as_raw_fd()));
    let listener = UnixListener::bind(&short)?;
    let stream = UnixStream::connect(&short);
    fs::remove_file(dir.join(&name))?;
    Ok((listener, stream?))
}

/// As [`connected_listener`], in a private folder of its own that is gone when this returns. Where the process is killed
/// meanwhile [`clear_stale`] removes it.
pub fn unnamed_listener() -> io::Result<(UnixListener, UnixStream)> {
    let folder = PrivateFolder::create()?;
    connected_listener(&folder.path)
}

/// Removes the folders of listeners that killed processes of this user left, and returns their paths.
pub fn clear_stale() -> Vec<PathBuf> {
    let mut cleared = Vec::new();
    for base in runtime_dir().into_iter().chain([std::env::temp_dir()]) {
        clear_stale_in(&base, &mut cleared);
    }
    cleared
}

fn clear_stale_in(base: &Path, cleared: &mut Vec<PathBuf>) {
    let user = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let is_named =
            entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(is_random_name);
        let is_ours = || entry.metadata().is_ok_and(|facts| facts.is_dir() && facts.uid() == user);
        if !is_named || !is_ours() {
            continue;
        }
        let path = entry.path();
        // A folder with anything else in it is not one of these, and stays.
        if lock_if_free(&path).is_some_and(|_lock| remove_with_sockets(&path).is_ok()) {
            cleared.push(path);
        }
    }
}

fn remove_with_sockets(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// An empty folder that only this user can enter, removed when it is dropped. It is locked: by that those that clear
/// tell it from the folder of a process that was killed.
struct PrivateFolder {
    path: PathBuf,
    _lock: File,
}

impl PrivateFolder {
    /// Makes one below `$XDG_RUNTIME_DIR`, or below the temporary folder where that is not set or not usable.
    fn create() -> io::Result<Self> {
        if let Some(base) = runtime_dir()
            && let Ok(folder) = Self::create_in(&base)
        {
            return Ok(folder);
        }
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(base: &Path) -> io::Result<Self> {
        for _ in 0..FOLDER_TRIES {
            let path = base.join(format!("{PREFIX}{}", random_name()?));
            DirBuilder::new().mode(0o700).create(&path)?;
            // Between the two calls someone who clears may have taken it for a dead one.
            if let Some(lock) = lock_if_free(&path) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::Error::other("the folder of a socket goes as soon as it is made"))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // What cannot be removed now is cleared by a later run.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Locks a folder that nobody holds and that still has this name.
fn lock_if_free(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(openat(CWD, path, flags, Mode::empty()).ok()?);
    flock(&folder, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (held, named) = (folder.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    (held.ino() == named.ino() && held.dev() == named.dev()).then_some(folder)
}

fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

fn is_random_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if count < bytes.len() {
        return Err(io::Error::other("the kernel gave too little randomness"));
    }
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn stream_reaches_listener_and_no_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, mut stream) = connected_listener(dir.path()).unwrap();
        stream.write_all(b"hi").unwrap();
        drop(stream);
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hi");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn long_folder_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        connected_listener(&long).unwrap();
    }

    #[test]
    fn only_folders_that_nobody_holds_are_cleared() {
        let base = tempfile::tempdir().unwrap();
        let held = PrivateFolder::create_in(base.path()).unwrap();
        let killed = base.path().join("smolvm-0123456789abcdef");
        fs::create_dir(&killed).unwrap();
        UnixListener::bind(killed.join("0123456789abcdef")).unwrap();
        let kept = ["smolvm-0123456789abcdee/notes", "smolvm-world", "smolvm-0123456789ABCDEF", "0123456789abcdef"];
        kept.iter().for_each(|name| fs::create_dir_all(base.path().join(name)).unwrap());
        let mut cleared = Vec::new();
        clear_stale_in(base.path(), &mut cleared);
        assert_eq!(cleared, std::slice::from_ref(&killed));
        assert!(!killed.exists() && held.path.exists());
        assert!(kept.iter().all(|name| base.path().join(name).exists()));
        let path = held.path.clone();
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn unnamed_listener_connects() {
        let (listener, _stream) = unnamed_listener().unwrap();
        listener.accept().unwrap();
    }
}
