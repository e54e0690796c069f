//! One disk: its file is made, grown, looked at and locked.
//!
//! The length of a file is set last when it is made: one whose length is no whole number of MiB was never finished.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::error::StorageError;
use super::lock::{self, Holder};
use super::place::DiskName;
use super::template::{BLOCK_BYTES, SUPERBLOCK, is_superblock, template_for};

/// Size of a disk for which the file gives none, in MiB. It is sparse: what is not written takes no room.
pub const DEFAULT_SIZE_MIB: u64 = 16 << 10;

/// Sizes of a disk that says none, in MiB, where files may not be as large as that.
const SMALLER_MIB: [u64; 4] = [3 << 10, 1 << 10, 256, 64];

const MIB: u64 = 1 << 20;

/// How long a disk may take that another makes, and between two looks at it.
const MAKING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Where the features are in a superblock that a kernel must know, and of them the one that says that the journal holds
/// what is not in its place yet (`EXT4_FEATURE_INCOMPAT_RECOVER`).
const FEATURES: usize = 0x60;
const NEEDS_RECOVERY: u8 = 4;

/// Where the state is in a superblock, and of it the mark that something was found wrong (`EXT4_ERROR_FS`).
const STATE: usize = 0x3a;
const HAS_ERRORS: u8 = 2;

/// A disk that is open and locked; the lock goes with the file.
#[derive(Debug)]
pub struct OpenDisk {
    /// Its file.
    pub file: File,
    /// Its length in bytes.
    pub length: u64,
    /// Whether its journal must be played back before it can be read.
    pub is_unclean: bool,
    /// Its file, where its file system is marked as damaged.
    pub damaged: Option<PathBuf>,
    /// What the user should know of it, in words.
    pub remark: Option<String>,
}

/// What is wanted of a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a DiskName,
    /// In MiB, where the file says one.
    pub(super) size_mib: Option<u64>,
    pub(super) is_read_only: bool,
    /// Name of the machine that wants it.
    pub(super) machine: &'a str,
}

impl Wanted<'_> {
    fn unusable(&self, what: &'static str, path: &Path, source: io::Error) -> StorageError {
        let disk = self.name.clone();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StorageError::Full { disk, path: path.to_owned() }
            }
            _ => StorageError::Unusable { disk, what, path: path.to_owned(), source },
        }
    }

    fn size(&self) -> u64 {
        self.size_mib.unwrap_or(DEFAULT_SIZE_MIB)
    }
}

/// Opens the disk in a file, which is made where it is missing, and grown where it is to be larger.
pub(super) fn open(path: &Path, wanted: &Wanted<'_>) -> Result<OpenDisk, StorageError> {
    let failed = |what| move |source| wanted.unusable(what, path, source);
    let file = open_locked(path, wanted)?;
    lock::write_holder(path, &Holder::now(wanted.machine));
    let mut length = file.metadata().map_err(failed("look at"))?.len();
    if wanted.is_read_only {
        let found = superblock(&file).map_err(failed("read"))?;
        if !is_superblock(&found) {
            return Err(StorageError::Foreign { disk: wanted.name.clone(), path: path.to_owned() });
        }
        let is_unclean = found[FEATURES] & NEEDS_RECOVERY != 0;
        return Ok(OpenDisk { file, length, is_unclean, damaged: None, remark: None });
    }
    let (mut remark, mut damaged) = (None, None);
    if is_finished(length) {
        let found = superblock(&file).map_err(failed("read"))?;
        if !is_superblock(&found) {
            return Err(StorageError::Foreign { disk: wanted.name.clone(), path: path.to_owned() });
        }
        damaged = (found[STATE] & HAS_ERRORS != 0).then(|| path.to_owned());
    } else {
        (length, remark) = make_wanted(&file, wanted).map_err(failed("make"))?;
    }
    match wanted.size_mib.map(|size| size.saturating_mul(MIB)) {
        Some(larger) if larger > length => {
            file.set_len(larger).map_err(failed("grow"))?;
            length = larger;
        }
        Some(smaller) if smaller < length => remark = Some(keeps_size(wanted, length)),
        _ => {}
    }
    Ok(OpenDisk { file, length, is_unclean: false, damaged, remark })
}

/// The file, locked, and still the one that has the name.
fn open_locked(path: &Path, wanted: &Wanted<'_>) -> Result<File, StorageError> {
    let failed = |what| move |source| wanted.unusable(what, path, source);
    let mut options = File::options();
    options.read(true).write(!wanted.is_read_only).create(!wanted.is_read_only).truncate(false).mode(0o600);
    loop {
        let file = options.open(path).map_err(failed("open"))?;
        if !lock::take_patiently(&file, path, wanted.is_read_only).map_err(failed("lock"))? {
            return Err(StorageError::Held { disk: wanted.name.clone(), holder: lock::read_holder(path) });
        }
        let own = file.metadata().map_err(failed("look at"))?;
        // Somebody may have removed it before it was locked.
        if std::fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())) {
            return Ok(file);
        }
    }
}

/// A disk that has no name, and goes with whoever has it open.
pub(super) fn open_scratch(folder: &Path, wanted: &Wanted<'_>) -> Result<OpenDisk, StorageError> {
    let failed = |source| wanted.unusable("make a file in", folder, source);
    let file = unnamed(folder).map_err(failed)?;
    let (length, remark) = make_wanted(&file, wanted).map_err(failed)?;
    Ok(OpenDisk { file, length, is_unclean: false, damaged: None, remark })
}

/// A file in a folder that has no name there.
pub(super) fn unnamed(folder: &Path) -> io::Result<File> {
    let unnamed = i32::try_from((OFlags::TMPFILE | OFlags::RDWR).bits()).unwrap_or_default();
    let opened = File::options().read(true).write(true).mode(0o600).custom_flags(unnamed).open(folder);
    match opened {
        // A file system that cannot do it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let path = folder.join(format!(".scratch-{}", std::process::id()));
            let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
            file.and_then(|file| std::fs::remove_file(&path).map(|()| file))
        }
        opened => opened,
    }
}

/// Makes an empty file system of the wanted size in a file. Where nobody has asked for a size, and files may not be as large
/// as is usual here (`ulimit -f`, FAT), it is as large as may be, with a remark.
fn make_wanted(file: &File, wanted: &Wanted<'_>) -> io::Result<(u64, Option<String>)> {
    let mut refused = match make(file, wanted.size()) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge && wanted.size_mib.is_none() => error,
        made => return made.map(|length| (length, None)),
    };
    for size_mib in SMALLER_MIB {
        match make(file, size_mib) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => refused = error,
            made => {
                let remark = format!(
                    "{} has {size_mib}MiB only: this host limits how large a file may be (`ulimit -f`)",
                    wanted.name
                );
                return made.map(|length| (length, Some(remark)));
            }
        }
    }
    Err(refused)
}

/// Makes an empty file system in a file; its length in bytes.
fn make(file: &File, size_mib: u64) -> io::Result<u64> {
    let mut random = [0; 32];
    let mut filled = 0;
    while filled < random.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut random[filled..], flags))?;
    }
    let length = size_mib.checked_mul(MIB).ok_or(io::ErrorKind::FileTooLarge)?;
    file.set_len(0)?;
    template_for(size_mib).write(file, &random)?;
    file.sync_data()?;
    file.set_len(length)?;
    Ok(length)
}

/// The first superblock.
fn superblock(file: &File) -> io::Result<[u8; 1024]> {
    let mut bytes = [0; 1024];
    const { assert!(SUPERBLOCK + 1024 <= BLOCK_BYTES) };
    file.read_exact_at(&mut bytes, SUPERBLOCK as u64)?;
    Ok(bytes)
}

/// Makes a disk that is to be read and is not there, or was not finished: an empty one. Of several that read it one does,
/// and the others wait for it.
pub(super) fn make_missing(path: &Path, wanted: &Wanted<'_>) -> Result<(), StorageError> {
    let failed = |what| move |source| wanted.unusable(what, path, source);
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed("open"))?;
    let start = Instant::now();
    while !is_finished(file.metadata().map_err(failed("look at"))?.len()) && start.elapsed() < MAKING {
        if !lock::take(&file, false).map_err(failed("lock"))? {
            std::thread::sleep(PAUSE);
        } else if !is_finished(file.metadata().map_err(failed("look at"))?.len()) {
            make_wanted(&file, wanted).map_err(failed("make"))?;
        }
    }
    Ok(())
}

/// Whether a disk of so many bytes was made to its end.
fn is_finished(length: u64) -> bool {
    length > 0 && length.is_multiple_of(MIB)
}

fn keeps_size(wanted: &Wanted<'_>, length: u64) -> String {
    let (name, has, wants) = (wanted.name, length / MIB, wanted.size());
    format!(
        "{name} keeps its {has} MiB, although the file says {wants} MiB: a disk is only made larger; to begin anew, \
         remove it ({})",
        name.removal()
    )
}
