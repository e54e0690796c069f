//! Disks of the machine, found by what their serial number says. Not here: what is on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::boot::make_folder;
use crate::sys::{self, MountFlags};

/// Where the kernel tells of its devices.
const SYSFS: &str = "/sys";

/// What the kernel counts a disk's size in, whatever its blocks are.
const SECTOR_BYTES: u64 = 512;

/// How long a disk may take to appear: the kernel looks for its devices beside the agent's start.
const LIMIT: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A longer serial number than any disk's (Virtio 1.2, 5.2.6: 20 bytes) is not read.
const SERIAL_MAX: usize = 64;

/// How much is read ahead of a reader of files, in KiB: a request costs far more than its bytes.
const READ_AHEAD_KIB: &str = "1024";

/// Waits for the disk of this serial number, and returns its device.
pub(crate) fn find_disk(serial: &str) -> io::Result<PathBuf> {
    find_disk_and_size(serial).map(|(device, _)| device)
}

/// The same, with less patience.
pub(crate) fn find_disk_within(serial: &str, limit: Duration) -> io::Result<PathBuf> {
    let block = Path::new(SYSFS).join("block");
    wait_for(&block, serial, Instant::now() + limit).map(|name| Path::new("/dev").join(name))
}

/// The same, before the kernel tells of its devices anywhere.
pub(crate) fn find_disk_early(serial: &str) -> io::Result<PathBuf> {
    make_folder(Path::new(SYSFS))?;
    sys::mount("sysfs", Path::new(SYSFS), "sysfs", MountFlags::NONE, "")?;
    let found = find_disk(serial);
    sys::unmount_lazily(Path::new(SYSFS))?;
    found
}

/// Waits for the disk of this serial number, and returns its device and its size in bytes.
pub(crate) fn find_disk_and_size(serial: &str) -> io::Result<(PathBuf, u64)> {
    let block = Path::new(SYSFS).join("block");
    let name = wait_for(&block, serial, Instant::now() + LIMIT)?;
    let size = fs::read_to_string(block.join(&name).join("size"))?;
    let sectors: u64 = size.trim().parse().map_err(io::Error::other)?;
    Ok((Path::new("/dev").join(name), sectors.saturating_mul(SECTOR_BYTES)))
}

fn wait_for(block: &Path, serial: &str, until: Instant) -> io::Result<String> {
    loop {
        if let Some(name) = look_for(block, serial) {
            // Without it the disk works, slower.
            let _ = fs::write(block.join(&name).join("queue/read_ahead_kb"), READ_AHEAD_KIB);
            return Ok(name);
        }
        if Instant::now() >= until {
            let message = format!("no disk `{serial}` appeared within {} s", LIMIT.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        thread::sleep(PAUSE);
    }
}

fn look_for(block: &Path, serial: &str) -> Option<String> {
    let names = fs::read_dir(block).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| {
        let said = fs::read(block.join(name).join("serial")).unwrap_or_default();
        let end = said.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(said.len());
        end <= SERIAL_MAX && &said[..end] == serial.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as the kernel's, with disks: name and serial number.
    fn block(name: &str, disks: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("smolvm-agent-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for (disk, serial) in disks {
            fs::create_dir_all(folder.join(disk).join("queue")).unwrap();
            fs::write(folder.join(disk).join("serial"), serial).unwrap();
        }
        folder
    }

    #[test]
    fn a_disk_is_found_by_its_whole_serial_number() {
        let folder = block("found", &[("vda", "root-2"), ("vdb", "root\n"), ("vdc", "root\0\0")]);
        fs::create_dir_all(folder.join("loop0")).unwrap();
        assert!(matches!(look_for(&folder, "root").as_deref(), Some("vdb" | "vdc")));
        assert_eq!(look_for(&folder, "root-2").as_deref(), Some("vda"));
        assert_eq!(look_for(&folder, "roo"), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_disk_that_does_not_come_is_named() {
        let folder = block("missing", &[]);
        let error = wait_for(&folder, "root", Instant::now()).unwrap_err();
        assert_eq!(error.to_string(), "no disk `root` appeared within 20 s");
    }
}
