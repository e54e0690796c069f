//! The agent's program as a command that reads a tar archive into a volume: all of it, or nothing.
//!
//! ```text
//! archive ─► tar ─► folder of its own on the volume ─► its entries take their places
//! ```
//!
//! What has no room, or fails on its way, leaves the volume as it was. An entry takes the place of one of its name; what the
//! archive says of a folder that is there holds for it too, and what the folder has besides stays. Deliberately not here:
//! whether it is an archive, which the host has looked at.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fill::{take_attributes, times};
use crate::sys;

/// Where the archive is unpacked, on the volume. One that a machine left that died meanwhile is removed.
const STAGING: &str = ".smolvm-import";

/// What tar says where there is no room, or no room for all of a block.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "Wrote only"];

/// Code of a command that failed, as smolvm's own.
const FAILED: i32 = 125;

/// What tar may say, in bytes.
const SAID_MAX: u64 = 64 << 10;

/// Owners as numbers, holes as holes, attributes: what GNU's tar knows, and what each does.
const GNU: [&str; 6] =
    ["--numeric-owner", "--same-owner", "--preserve-permissions", "--acls", "--xattrs", "--xattrs-include=*"];
const ANY: [&str; 1] = ["-p"];

/// Does it; the exit code.
pub(crate) fn work(volume: &Path, options: &[&[u8]]) -> i32 {
    let [name, size_mib, ..] = options else { return 2 };
    let [name, size_mib] = [name, size_mib].map(|word| String::from_utf8_lossy(word));
    let imported = import(volume, Stdio::inherit()).and_then(|said| {
        sys::sync_file_system(&File::open(volume)?)?;
        Ok(said)
    });
    let said = match imported {
        Ok(said) => return tell(&said, 0),
        Err(ImportError::NoSpace) => format!(
            "error: no space: the volume `{name}` has {size_mib} MiB, too little for what the archive holds\n\
             help: nothing of it was changed; write a larger `size` for it in the file\n"
        ),
        Err(ImportError::Taken(path)) => format!(
            "error: `{}` is a folder with entries in the volume `{name}`, and no folder in the archive\n\
             help: nothing was changed; move it away first\n",
            path.display()
        ),
        Err(ImportError::Tar(said)) => {
            format!("error: tar cannot unpack the archive: {said}\nhelp: nothing of the volume `{name}` was changed\n")
        }
        Err(ImportError::Io(error)) => format!("error: cannot import into the volume `{name}`: {error}\n"),
    };
    tell(&said, FAILED)
}

fn tell(said: &str, code: i32) -> i32 {
    // Who does not listen has gone.
    let _ = io::stderr().write_all(said.as_bytes());
    code
}

/// Why nothing was imported.
#[derive(Debug)]
enum ImportError {
    NoSpace,
    /// This folder of the volume would have to go.
    Taken(PathBuf),
    /// What tar said.
    Tar(String),
    Io(io::Error),
}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Io(error),
        }
    }
}

/// Imports what comes; what tar warns of.
fn import(volume: &Path, input: Stdio) -> Result<String, ImportError> {
    let staging = volume.join(STAGING);
    remove(&staging)?;
    let unpacked = unpack(&staging, input).and_then(|(said, start)| match taken(&staging, volume, Path::new(""))? {
        Some(path) => Err(ImportError::Taken(path)),
        None => Ok((said, start)),
    });
    let (said, start) = match unpacked {
        Ok(unpacked) => unpacked,
        Err(error) => {
            remove(&staging)?;
            return Err(error);
        }
    };
    take_places(&staging, volume, start)?;
    remove(&staging)?;
    Ok(said)
}

/// A point in time by the clock of the file system.
type Moment = (i64, i64);

fn changed(found: &fs::Metadata) -> Moment {
    (found.mtime(), found.mtime_nsec())
}

/// Unpacks into a new folder; what tar said, and when it began.
fn unpack(staging: &Path, input: Stdio) -> Result<(String, Moment), ImportError> {
    fs::create_dir(staging)?;
    let start = changed(&fs::symlink_metadata(staging)?);
    let version = Command::new("tar").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let is_gnu = version.stdout.windows(3).any(|word| word == b"GNU");
    let mut tar = Command::new("tar");
    tar.args(["-x", "-f", "-"]).args(if is_gnu { &GNU[..] } else { &ANY }).arg("-C").arg(staging);
    let mut child = tar.env("LC_ALL", "C").stdin(input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut stderr = stderr.take(SAID_MAX);
        stderr.read_to_end(&mut said)?;
        // All of it is read, so that nothing waits for a reader.
        io::copy(&mut stderr.into_inner(), &mut io::sink())?;
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    if child.wait()?.success() {
        return Ok((said, start));
    }
    match FULL.iter().any(|words| said.contains(words)) || is_full(staging)? {
        true => Err(ImportError::NoSpace),
        false => Err(ImportError::Tar(said.lines().next().unwrap_or("it gave no reason").to_owned())),
    }
}

/// Whether nothing more fits: some words of tar tell of it in another way.
fn is_full(place: &Path) -> io::Result<bool> {
    let found = rustix::fs::statvfs(place)?;
    Ok(found.f_bavail == 0 || found.f_favail == 0)
}

/// The first folder with entries in the way of what is none, by its path in the volume.
fn taken(from: &Path, to: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    for name in names(from)? {
        let (is_folder, target, path) = (is_folder(&from.join(&name)), to.join(&name), path.join(&name));
        if !self::is_folder(&target) {
            continue;
        }
        let in_the_way = match is_folder {
            true => taken(&from.join(&name), &target, &path)?,
            false => names(&target)?.first().map(|_| path),
        };
        if in_the_way.is_some() {
            return Ok(in_the_way);
        }
    }
    Ok(None)
}

/// Gives what a folder holds its places in another one. Of folders that are on both sides the archive's word counts, where it
/// has one: a folder that it does not name was made by tar since it began.
fn take_places(from: &Path, to: &Path, start: Moment) -> io::Result<()> {
    let open = File::open(from)?;
    let found = open.metadata()?;
    for name in names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        match (is_folder(&source), is_folder(&target)) {
            (true, true) => {
                take_places(&source, &target, start)?;
                fs::remove_dir(&source)?;
                continue;
            }
            // It has no entries.
            (false, true) => fs::remove_dir(&target)?,
            (true, false) if fs::symlink_metadata(&target).is_ok() => fs::remove_file(&target)?,
            _ => {}
        }
        fs::rename(&source, &target)?;
    }
    if changed(&found) >= start {
        return Ok(());
    }
    rustix::fs::futimens(&open, &times(&found))?;
    take_attributes(&open, &File::open(to)?)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Names in a folder, but for the one that archives are unpacked in.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names: Vec<OsString> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    names.retain(|name| name.as_bytes() != OsStr::new(STAGING).as_bytes());
    Ok(names)
}

fn remove(staging: &Path) -> io::Result<()> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A volume that holds something, and the output of tar for a folder.
    fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (volume, source) = (folder.path().join("volume"), folder.path().join("source"));
        for path in [volume.join("both"), volume.join("full/deep"), source.join("both/new")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(volume.join("both/stays"), "stays").unwrap();
        fs::write(volume.join("both/same"), "old").unwrap();
        fs::create_dir(volume.join("empty")).unwrap();
        symlink("full", volume.join("link")).unwrap();
        fs::write(source.join("both/same"), "new").unwrap();
        fs::write(source.join("both/new/file"), "file").unwrap();
        (folder, volume, source)
    }

    fn tar(source: &Path, words: &[&str]) -> Stdio {
        let archive = source.with_extension("tar");
        let made = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(source).args(words).status().unwrap();
        assert!(made.success());
        File::open(archive).unwrap().into()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn entries_take_their_places_and_what_is_there_besides_stays() {
        let (_folder, volume, source) = folders();
        fs::write(source.join("empty"), "was a folder").unwrap();
        fs::create_dir(source.join("link")).unwrap();
        fs::set_permissions(source.join("both"), PermissionsExt::from_mode(0o2710)).unwrap();
        fs::set_permissions(&source, PermissionsExt::from_mode(0o1770)).unwrap();
        let old = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let old = rustix::fs::Timestamps { last_access: old, last_modification: old };
        for name in ["both", ""] {
            rustix::fs::futimens(File::open(source.join(name)).unwrap(), &old).unwrap();
        }
        import(&volume, tar(&source, &["."])).unwrap();
        assert_eq!((text(&volume.join("both/stays")), text(&volume.join("both/same"))), ("stays".into(), "new".into()));
        assert_eq!(
            (text(&volume.join("both/new/file")), text(&volume.join("empty"))),
            ("file".into(), "was a folder".into())
        );
        assert!(is_folder(&volume.join("link")) && volume.join("full/deep").exists());
        assert_eq!((mode(&volume), mode(&volume.join("both"))), (0o1770, 0o2710));
        assert_eq!(fs::metadata(volume.join("both")).unwrap().mtime(), 1_000_000_000);
        assert!(!volume.join(STAGING).exists());
    }

    #[test]
    fn a_folder_that_the_archive_does_not_name_stays_as_it_is() {
        let (_folder, volume, source) = folders();
        fs::set_permissions(volume.join("both"), PermissionsExt::from_mode(0o700)).unwrap();
        import(&volume, tar(&source, &["both/same"])).unwrap();
        assert_eq!((text(&volume.join("both/same")), mode(&volume.join("both"))), ("new".into(), 0o700));
    }

    #[test]
    fn what_cannot_be_imported_changes_nothing() {
        let (_folder, volume, source) = folders();
        fs::write(source.join("full"), "no folder").unwrap();
        let error = import(&volume, tar(&source, &["."])).unwrap_err();
        assert!(matches!(&error, ImportError::Taken(path) if path == Path::new("full")), "{error:?}");
        assert_eq!(text(&volume.join("both/same")), "old");
        // What is no archive.
        let error = import(&volume, Stdio::from(File::open("/proc/self/exe").unwrap())).unwrap_err();
        assert!(matches!(error, ImportError::Tar(_)), "{error:?}");
        assert_eq!(text(&volume.join("both/same")), "old");
        assert!(!volume.join(STAGING).exists());
    }
}
