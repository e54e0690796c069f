//! What disks there are, and their removal.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::StorageError;
use super::lock::{self, Holder};
use super::place::{DiskName, Storage};

/// Bytes of the units in which the system counts what a file takes.
const UNIT_BYTES: u64 = 512;

/// A disk that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDisk {
    /// Name of the volume, or of the file of a workspace.
    pub name: String,
    /// How large it is, in bytes.
    pub length: u64,
    /// What it takes on the host, in bytes.
    pub used: u64,
    /// Who has it now.
    pub holder: Option<Holder>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Disks.
    pub count: usize,
    /// What they took, in bytes.
    pub bytes: u64,
}

impl Storage {
    /// The volumes that are there, by name.
    ///
    /// # Errors
    /// Where their folder cannot be read; none at all is not an error.
    pub fn volumes(&self) -> Result<Vec<StoredDisk>, StorageError> {
        self.act(|| list(&self.folder().join("volumes")))
    }

    /// The disks behind `/workspace` that are there, by the name of their file.
    ///
    /// # Errors
    /// Where their folder cannot be read; none at all is not an error.
    pub fn workspaces(&self) -> Result<Vec<StoredDisk>, StorageError> {
        self.act(|| list(&self.folder().join("disks")))
    }

    /// Fails where a machine has a volume.
    ///
    /// # Errors
    /// Who has it; where it cannot be looked at.
    pub fn check_free(&self, name: &str) -> Result<(), StorageError> {
        let disk = DiskName::Volume(name.to_owned());
        let Some(path) = self.file_of(&disk) else { return Ok(()) };
        // The lock of this look ends with the file.
        self.act(|| take(&path, &disk).map(drop))
    }

    /// Removes a volume; whether it was there.
    ///
    /// # Errors
    /// Where a machine has it, or it cannot be removed.
    pub fn remove_volume(&self, name: &str) -> Result<bool, StorageError> {
        let disk = DiskName::Volume(name.to_owned());
        let Some(path) = self.file_of(&disk) else { return Ok(false) };
        self.act(|| remove(&path, &disk))
    }

    /// Removes every disk of the project: those behind `/workspace`, and the volumes.
    ///
    /// # Errors
    /// Where a machine has one; the others may be gone by then.
    pub fn remove_all(&self) -> Result<Usage, StorageError> {
        self.act(|| {
            let mut usage = Usage::default();
            for (folder, is_volume) in [("disks", false), ("volumes", true)] {
                for stored in list(&self.folder().join(folder))? {
                    let name = stored.name;
                    let disk = match is_volume {
                        true => DiskName::Volume(name),
                        false => DiskName::Workspace { machine: name.clone(), file: name },
                    };
                    if let Some(path) = self.file_of(&disk)
                        && remove(&path, &disk)?
                    {
                        usage.count += 1;
                        usage.bytes = usage.bytes.saturating_add(stored.used);
                    }
                }
            }
            Ok(usage)
        })
    }
}

fn list(folder: &Path) -> Result<Vec<StoredDisk>, StorageError> {
    let failed = |source| StorageError::Folder { what: "read", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| path.extension().is_some_and(|suffix| suffix == "img")) else { continue };
        let Ok(file) = fs::File::open(&path) else { continue };
        let facts = file.metadata().map_err(failed)?;
        // A writer has it alone; the lock of this look ends with the file.
        let is_free = lock::take(&file, true).map_err(failed)?;
        found.push(StoredDisk {
            name: name.to_owned(),
            length: facts.len(),
            used: facts.blocks().saturating_mul(UNIT_BYTES),
            holder: (!is_free).then(|| lock::read_holder(&path)),
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The file of a disk, locked; none where it is not there.
fn take(path: &Path, disk: &DiskName) -> Result<Option<fs::File>, StorageError> {
    let failed =
        |what| move |source| StorageError::Unusable { disk: disk.clone(), what, path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed("open"))?,
    };
    if !lock::take(&file, false).map_err(failed("lock"))? {
        return Err(StorageError::Held { disk: disk.clone(), holder: lock::read_holder(path) });
    }
    Ok(Some(file))
}

fn remove(path: &Path, disk: &DiskName) -> Result<bool, StorageError> {
    let failed = |source| StorageError::Unusable { disk: disk.clone(), what: "remove", path: path.to_owned(), source };
    // Locked until it is gone.
    let Some(_file) = take(path, disk)? else { return Ok(false) };
    fs::remove_file(path).map_err(failed)?;
    lock::remove_note(path);
    Ok(true)
}
