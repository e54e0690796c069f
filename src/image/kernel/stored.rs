//! Kernels that the cache keeps: one folder each, which says of itself what it holds; and which of them `auto` takes.
//!
//! ```text
//! package-NAME_VERSION       unpacked from packages; the file `auto` names the one that was fetched last
//! lean-KEY-NAME_VERSION      made by `smolvm kernel build`; KEY is that of the configuration it was made with
//! image-DIGEST               taken out of an image that holds a kernel
//! ```
//!
//! Deliberately not here: how any of them gets there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::super::cache::Cache;
use super::lean;
use super::package::KernelFiles;

/// What a folder says of itself: four lines, path of the image, path of the modules (may be empty), origin, version.
const CONTENTS: &str = "contents";
/// Name of the file whose time says when the kernel was last used.
const USED: &str = "used";
/// Name of the file that names the package in use.
const CHOSEN: &str = "auto";
/// Longest text of a folder about itself.
const CONTENTS_MAX: u64 = 64 << 10;
/// How often the time of the last use is written down, at most.
const USE_PERIOD: Duration = Duration::from_secs(3600);

pub(super) const PACKAGE: &str = "package-";
pub(super) const LEAN: &str = "lean-";
pub(super) const IMAGE: &str = "image-";

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    /// The kernel, relative to the folder.
    pub(super) image: PathBuf,
    /// Its modules, relative to the folder; `None` where all is built in.
    pub(super) modules: Option<PathBuf>,
    /// Where it comes from, for people.
    pub(super) origin: String,
    /// What `uname -r` will say, where it is known.
    pub(super) version: Option<String>,
}

impl Contents {
    /// Writes them into the folder, which becomes a kernel's by that.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let modules = self.modules.as_deref().unwrap_or(Path::new(""));
        let version = self.version.as_deref().unwrap_or_default();
        let text = format!("{}\n{}\n{}\n{version}\n", self.image.display(), modules.display(), self.origin);
        fs::write(folder.join(CONTENTS), text)
    }

    fn read(folder: &Path) -> Option<Contents> {
        let path = folder.join(CONTENTS);
        if fs::metadata(&path).ok()?.len() > CONTENTS_MAX {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        let image = PathBuf::from(lines.next()?);
        let modules = Some(PathBuf::from(lines.next()?)).filter(|path| !path.as_os_str().is_empty());
        let origin = lines.next()?.to_owned();
        let told = lines.next().filter(|version| !version.is_empty()).map(str::to_owned);
        let named = || Some(modules.as_ref()?.file_name()?.to_str()?.to_owned());
        Some(Contents { version: told.or_else(named), image, modules, origin })
    }
}

/// The kernel in a folder of the cache, if all of it is there.
pub(super) fn files_in(folder: &Path) -> Option<KernelFiles> {
    let contents = Contents::read(folder)?;
    let image = folder.join(&contents.image);
    let modules = contents.modules.map(|modules| folder.join(modules));
    let is_whole = image.is_file() && modules.as_ref().is_none_or(|modules| modules.is_dir());
    is_whole.then_some(KernelFiles { image, modules, origin: contents.origin, is_stored: true })
}

/// What `auto` takes of the cache: the lean kernel made last with today's configuration, or else the package's.
pub(super) fn auto(cache: &Cache) -> Option<(PathBuf, KernelFiles)> {
    newest_lean(cache).or_else(|| chosen(cache))
}

/// The lean kernel that was made last, of those with today's configuration.
pub(super) fn newest_lean(cache: &Cache) -> Option<(PathBuf, KernelFiles)> {
    let prefix = format!("{LEAN}{}-", lean::key());
    let mut found: Vec<_> = folders(cache, &prefix).into_iter().map(|folder| (since(&folder), folder)).collect();
    found.sort();
    found.into_iter().rev().find_map(|(_, folder)| Some((folder.clone(), files_in(&folder)?)))
}

/// The package's kernel that was fetched last.
pub(super) fn chosen(cache: &Cache) -> Option<(PathBuf, KernelFiles)> {
    let name = fs::read_to_string(cache.path(CHOSEN)).ok()?;
    let name = name.trim_end();
    let folder = cache.path(name);
    (name.starts_with(PACKAGE) && !name.contains('/')).then(|| Some((folder.clone(), files_in(&folder)?)))?
}

/// Makes a package's kernel the one that is taken.
pub(super) fn choose(cache: &Cache, name: &str) -> io::Result<()> {
    cache.publish_file(CHOSEN, |file| io::Write::write_all(file, name.as_bytes())).map(|_| ())
}

/// Folders with names that begin so, in the order of their names.
pub(super) fn folders(cache: &Cache, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.path("")).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Since when the folder is a kernel's.
pub(super) fn since(folder: &Path) -> SystemTime {
    fs::metadata(folder.join(CONTENTS)).and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Version of the kernel in a folder, where it is known.
pub(super) fn version_in(folder: &Path) -> Option<String> {
    Contents::read(folder)?.version
}

/// Writes down that the kernel of a folder is used now. Best effort, as [`mark_used`].
pub(super) fn mark_folder(folder: &Path) {
    // A file of its own: what a folder says of itself is also read by those who only look.
    if let Ok(file) = fs::File::options().create(true).append(true).open(folder.join(USED)) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// When the kernel of a folder was last used, or made. Nothing for a folder that is no kernel's.
pub(super) fn last_use_of(folder: &Path) -> Option<SystemTime> {
    let changed = |name: &str| fs::metadata(folder.join(name)).and_then(|facts| facts.modified()).ok();
    changed(CONTENTS).map(|made| changed(USED).map_or(made, |used| used.max(made)))
}

/// Makes a folder no kernel's, so that nobody takes it any more while it is removed.
pub(super) fn disown(folder: &Path) {
    // Where it cannot be removed, neither can the rest.
    let _ = fs::remove_file(folder.join(CONTENTS));
}

/// Writes down that a file is used now, as its time of access: the time of its last change stays, by which it is known.
///
/// Best effort: what cannot be marked is at worst made again.
pub(crate) fn mark_used(file: &Path) {
    if last_use(file).is_some_and(|time| time.elapsed().is_ok_and(|age| age < USE_PERIOD)) {
        return;
    }
    if let Ok(file) = fs::File::open(file) {
        let _ = file.set_times(fs::FileTimes::new().set_accessed(SystemTime::now()));
    }
}

/// When a file was last used: marked, or made.
pub(super) fn last_use(file: &Path) -> Option<SystemTime> {
    let facts = fs::metadata(file).ok()?;
    [facts.accessed(), facts.modified()].into_iter().flatten().max()
}

/// Makes a folder the one that was made last.
pub(super) fn renew(folder: &Path) -> io::Result<()> {
    fs::File::open(folder.join(CONTENTS))?.set_modified(SystemTime::now())
}
