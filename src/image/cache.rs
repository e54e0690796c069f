//! The folder that keeps kernels and initial file systems: one lock, temporary names, whole files only.
//!
//! Temporary folders are made by the holder of the lock only, so that those that another holder finds belong to runs
//! that were killed and are swept away; temporary files have no name until they are whole, where the file system has
//! such files, and are swept when they are old. Readers take no lock: what has its final name is complete.
//! Deliberately not here: what is stored.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use sha2::{Digest, Sha256};

use super::waiter::{LOOK, Waiter};

const TEMPORARY: &str = ".new-";
/// Prefix and lock of the folders in which kernels are built: hours may pass, and meanwhile others fetch theirs.
const BUILDING: &str = ".build-";
const BUILD_LOCK: &str = "build-lock";
const LOCK: &str = "lock";
/// Age from which on nobody is writing a temporary file any more.
const FILE_AGE: Duration = Duration::from_secs(600);

/// The kernel folder of the user's cache.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the folder, making what is missing; it is the user's own (0700).
    pub(crate) fn open(cache: &Path) -> io::Result<Cache> {
        let root = std::path::absolute(cache)?.join("kernels");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Cache { root })
    }

    /// The folder as it is, for looking only.
    pub(crate) fn existing(cache: &Path) -> Option<Cache> {
        let root = std::path::absolute(cache).ok()?.join("kernels");
        root.is_dir().then_some(Cache { root })
    }

    /// Path of something in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// The file behind the lock; give it to [`hold`].
    pub(crate) fn lock_file(&self) -> io::Result<fd_lock::RwLock<File>> {
        self.open_lock(LOCK)
    }

    /// The file behind the lock of those who build a kernel; give it to [`hold`].
    pub(crate) fn build_lock_file(&self) -> io::Result<fd_lock::RwLock<File>> {
        self.open_lock(BUILD_LOCK)
    }

    fn open_lock(&self, name: &str) -> io::Result<fd_lock::RwLock<File>> {
        let file = File::options().create(true).truncate(false).write(true).open(self.path(name))?;
        Ok(fd_lock::RwLock::new(file))
    }

    /// Removes what killed runs left, if nobody holds the lock, and returns what that was.
    pub(crate) fn sweep(&self) -> Vec<PathBuf> {
        let swept = [(TEMPORARY, LOCK), (BUILDING, BUILD_LOCK)].map(|(prefix, lock)| self.sweep_of(prefix, lock));
        swept.concat()
    }

    fn sweep_of(&self, prefix: &str, lock: &str) -> Vec<PathBuf> {
        if self.left_over(prefix).is_empty() {
            return Vec::new();
        }
        let Ok(mut lock) = self.open_lock(lock) else { return Vec::new() };
        let Ok(_guard) = lock.try_write() else { return Vec::new() };
        // Listed again: what was there a moment ago may have been in use then.
        let mut left = self.left_over(prefix);
        left.iter().for_each(|path| remove(path));
        left.retain(|path| !path.exists());
        left
    }

    fn left_over(&self, prefix: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let temporary = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        let is_left = |entry: &fs::DirEntry| {
            entry.metadata().is_ok_and(|data| {
                data.is_dir() || data.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > FILE_AGE))
            })
        };
        temporary.filter(is_left).map(|entry| entry.path()).collect()
    }

    /// A new empty folder with a temporary name, for the holder of the lock.
    pub(crate) fn scratch(&self) -> io::Result<Scratch> {
        self.scratch_at(self.temporary(TEMPORARY))
    }

    /// A new empty folder to build a kernel in, for the holder of the lock of those who do.
    pub(crate) fn build_scratch(&self) -> io::Result<Scratch> {
        self.scratch_at(self.temporary(BUILDING))
    }

    fn scratch_at(&self, path: PathBuf) -> io::Result<Scratch> {
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch { path })
    }

    /// Moves a folder made below a [`Scratch`] to its final name; all of it is on disk before.
    pub(crate) fn publish_folder(&self, from: &Path, name: &str) -> io::Result<PathBuf> {
        let to = self.path(name);
        rustix::fs::syncfs(File::open(from)?)?;
        // What was there before was not usable, or we would not be here: out of the way, then in.
        let old = Scratch { path: self.temporary(TEMPORARY) };
        if to.exists() {
            fs::rename(&to, old.path())?;
        }
        fs::rename(from, &to)?;
        File::open(&self.root)?.sync_all()?;
        Ok(to)
    }

    /// Writes a file under its final name, all or nothing.
    pub(crate) fn publish_file<T, E: From<io::Error>>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<(PathBuf, T), E> {
        let scratch = Scratch { path: self.temporary(TEMPORARY) };
        let (mut file, is_named) = match self.unnamed_file() {
            Ok(file) => (file, false),
            // Not every file system has files without a name.
            Err(_) => (File::options().create_new(true).read(true).write(true).open(&scratch.path)?, true),
        };
        let value = fill(&mut file)?;
        // Whatever the umask says: an engine that has dropped its rights reads it by a descriptor of ours.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        file.sync_all()?;
        if !is_named {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, link, CWD, &scratch.path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)?;
        }
        let to = self.path(name);
        fs::rename(&scratch.path, &to)?;
        File::open(&self.root)?.sync_all()?;
        Ok((to, value))
    }

    /// A file that is gone when we are, however we end.
    fn unnamed_file(&self) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(File::from(openat(CWD, &self.root, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Remembers a short answer together with the state of the files that it was made from.
    pub(crate) fn remember(&self, question: &str, answer: &str, sources: &[PathBuf]) -> io::Result<()> {
        let mut text = format!("{question}\n{answer}\n");
        for source in sources {
            text.push_str(&stamp(source)?);
            text.push('\n');
        }
        self.publish_file(&memo_name(question), |file| file.write_all(text.as_bytes())).map(|_| ())
    }

    /// The answer remembered for a question, if none of the files that it was made from has changed since.
    pub(crate) fn recall(&self, question: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(memo_name(question))).ok()?;
        let mut lines = text.strip_prefix(question)?.strip_prefix('\n')?.lines();
        let answer = lines.next()?;
        for line in lines {
            let path = line.splitn(5, ' ').nth(4)?;
            if stamp(Path::new(path)).ok()? != line {
                return None;
            }
        }
        super::kernel::mark_used(&self.path(memo_name(question)));
        Some(answer.to_owned())
    }

    fn temporary(&self, prefix: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.path(format!("{prefix}{}-{number}", std::process::id()))
    }
}

/// Takes the lock; the waiter is told once when another process holds it, which does what `busy` says. Nothing where the waiter leaves before.
pub(crate) fn hold<'a>(
    lock: &'a mut fd_lock::RwLock<File>,
    busy: &str,
    waiter: &mut dyn Waiter,
) -> io::Result<Option<fd_lock::RwLockWriteGuard<'a, File>>> {
    let mut is_told = false;
    while lock.try_write().is_err() {
        if !is_told {
            waiter.tell(&format!("waiting for another smolvm that {busy}"));
            is_told = true;
        }
        if waiter.has_left() {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
    lock.write().map(Some)
}

/// A temporary file or folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn memo_name(question: &str) -> String {
    format!("memo-{}", &sha256(&[question.as_bytes()])[..32])
}

/// Identity and state of a file in one line, the path last.
fn stamp(path: &Path) -> io::Result<String> {
    let data = fs::metadata(path)?;
    let path = path.to_str().filter(|path| !path.contains('\n')).ok_or(io::ErrorKind::InvalidFilename)?;
    Ok(format!("{}.{} {} {} {} {path}", data.mtime(), data.mtime_nsec(), data.size(), data.ino(), data.dev()))
}

/// Best effort: what cannot be removed now is swept by the next holder of the lock.
fn remove(path: &Path) {
    if path.is_dir() {
        let _ = fs::remove_dir_all(path);
    } else {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: &str = "is busy";

    #[test]
    fn file_that_fails_half_way_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let result: io::Result<_> = cache.publish_file("x", |file| {
            file.write_all(b"half")?;
            Err::<(), _>(io::Error::other("killed"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read_dir(cache.path("")).unwrap().count(), 0);
    }

    #[test]
    fn sweep_removes_only_temporary_names() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        fs::create_dir_all(cache.path(".new-1-1/deep")).unwrap();
        fs::write(cache.path(".new-2-7"), "being written").unwrap();
        let old = File::create(cache.path(".new-2-8")).unwrap();
        old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        fs::write(cache.path("kept"), "whole").unwrap();
        let mut lock = cache.lock_file().unwrap();
        let guard = lock.write().unwrap();
        cache.sweep();
        assert!(cache.path(".new-1-1").exists(), "the holder of the lock is at work");
        drop(guard);
        cache.sweep();
        let mut names: Vec<_> = fs::read_dir(cache.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".new-2-7", "kept", "lock"]);
    }

    #[test]
    fn answer_is_forgotten_when_a_source_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let source = folder.path().join("a file");
        fs::write(&source, "one").unwrap();
        cache.remember("question", "answer", std::slice::from_ref(&source)).unwrap();
        assert_eq!(cache.recall("question").as_deref(), Some("answer"));
        assert_eq!(cache.recall("another"), None);
        fs::write(&source, "three").unwrap();
        assert_eq!(cache.recall("question"), None);
        fs::remove_file(&source).unwrap();
        assert_eq!(cache.recall("question"), None);
    }

    #[test]
    fn folder_replaces_an_older_one_of_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        for text in ["old", "new"] {
            let scratch = cache.scratch().unwrap();
            let made = scratch.path().join("made");
            fs::create_dir(&made).unwrap();
            fs::write(made.join("file"), text).unwrap();
            cache.publish_folder(&made, "final").unwrap();
        }
        assert_eq!(fs::read_to_string(cache.path("final/file")).unwrap(), "new");
    }

    #[test]
    fn who_leaves_does_not_get_the_lock() {
        struct Gone;
        impl Waiter for Gone {
            fn tell(&mut self, _: &str) {}
            fn has_left(&self) -> bool {
                true
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (mut first, mut second) = (cache.lock_file().unwrap(), cache.lock_file().unwrap());
        let _guard = first.write().unwrap();
        assert!(hold(&mut second, BUSY, &mut Gone).unwrap().is_none());
    }

    #[test]
    fn second_holder_waits_and_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let mut first = cache.lock_file().unwrap();
        let guard = hold(&mut first, BUSY, &mut |_: &str| panic!("free lock")).unwrap();
        let (told, waits) = std::sync::mpsc::channel();
        let other = cache.clone();
        let thread = std::thread::spawn(move || {
            let mut second = other.lock_file().unwrap();
            let _guard = hold(&mut second, BUSY, &mut |_: &str| told.send(()).unwrap()).unwrap();
        });
        waits.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        drop(guard);
        thread.join().unwrap();
    }
}
