//! A file system that had an error is checked before it is mounted, by the program of the host, which came as a disk.
//!
//! It runs here and not on the host, which reads no file system of a guest. Whether it was mended is what the file system
//! says then, not the program. Not here: how the disk came (`compose` on the host).

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use smolvm_agent::{CHECKER, CHECKER_LOADER, CHECKER_SERIAL, Destination, unpack};

use crate::disk::find_disk_within;

/// Where the program is while disks are mounted.
const FOLDER: &str = "/run/smolvm/checker";

/// How long its disk may take to appear after the damaged one; a host without the program sends none.
const LIMIT: Duration = Duration::from_secs(2);

/// Most that is read of what it says, in bytes.
const SAID_MAX: u64 = 64 << 10;

/// The first superblock, and in it the state and its mark of an error (`EXT4_ERROR_FS`).
const STATE_AT: u64 = 1024 + 0x3a;
const HAS_ERRORS: u8 = 2;

/// Checks the file system on a device where it is marked as damaged. Without the program it stays as it is.
pub(crate) fn check(device: &Path) -> Result<(), String> {
    if !has_errors(device)? || !fetch()? {
        return Ok(());
    }
    let said = run(device)?;
    if !has_errors(device)? {
        return Ok(());
    }
    let last: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(format!("it is damaged, and cannot be mended without a decision of yours: {}", last.join("; ")))
}

/// Gives the memory of the program back.
pub(crate) fn forget() {
    // It is there only where something was damaged.
    let _ = fs::remove_dir_all(FOLDER);
}

fn has_errors(device: &Path) -> Result<bool, String> {
    let mut state = [0];
    let read = File::open(device).and_then(|file| file.read_exact_at(&mut state, STATE_AT));
    read.map_err(|error| format!("its disk cannot be read: {error}"))?;
    Ok(state[0] & HAS_ERRORS != 0)
}

/// Unpacks the program; whether there is one.
fn fetch() -> Result<bool, String> {
    let folder = Path::new(FOLDER);
    if folder.is_dir() {
        return Ok(true);
    }
    let Ok(device) = find_disk_within(CHECKER_SERIAL, LIMIT) else { return Ok(false) };
    let to = Destination { path: folder, is_contents: false, mode_mask: 0o755, has_owners: false, is_trusted: false };
    let unpacked = File::open(device).and_then(|mut disk| unpack(&to, &mut disk));
    unpacked.map_err(|error| format!("the program that checks disks cannot be had: {error}")).map(|()| true)
}

/// Runs it to its end; what it said.
fn run(device: &Path) -> Result<String, String> {
    let folder = Path::new(FOLDER);
    let (program, loader) = (folder.join(CHECKER), folder.join(CHECKER_LOADER));
    let mut command = if loader.exists() {
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(folder).arg(program);
        command
    } else {
        Command::new(program)
    };
    // All of it, and what needs no decision is mended.
    command.args(["-f", "-p"]).arg(device).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let failed = |error| format!("the program that checks disks cannot be run: {error}");
    let mut child = command.stderr(Stdio::null()).spawn().map_err(failed)?;
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.by_ref().take(SAID_MAX).read_to_end(&mut said).map_err(failed)?;
        // It must not stop for want of a reader.
        std::io::copy(&mut output, &mut std::io::sink()).map_err(failed)?;
    }
    // The reaper may have been faster; how it ended does not matter.
    let _ = child.wait();
    Ok(String::from_utf8_lossy(&said).into_owned())
}
