//! The program that checks file systems, as a disk for a machine that has a damaged one: this host's own `e2fsck`, with
//! what it is linked to.
//!
//! It runs in the guest, because what a guest wrote is read by guests only. Deliberately not here: when it is given
//! (`disks`), and how it is run (the agent).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::guest::{CHECKER, CHECKER_LOADER, CHECKER_SERIAL, pack_files};
use crate::virtio::block::{DiskContent, DiskSegment, DiskSpec};

/// Where distributions put programs for disks: not always where an ordinary user's programs are.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The disk; `None` where this host has no such program, or it cannot be had.
pub(super) fn disk() -> Option<DiskSpec> {
    let program = FOLDERS.iter().map(|folder| Path::new(folder).join(CHECKER)).find(|path| path.is_file())?;
    let (file, length) = pack(&needed(&program)).ok()?;
    let segment = DiskSegment { file: file.into(), length };
    Some(DiskSpec { serial: CHECKER_SERIAL.to_owned(), content: DiskContent::Fixed(vec![segment]) })
}

/// The program, what it is linked to, and what loads it, by the names that they get.
fn needed(program: &Path) -> Vec<(String, PathBuf)> {
    // A static one is linked to nothing, which `ldd` takes for an error.
    let told = Command::new("ldd").arg(program).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
    let mut files = vec![(CHECKER.to_owned(), program.to_owned())];
    files.extend(text.lines().filter_map(linked));
    files
}

/// A line of `ldd`: `NAME => PATH (ADDRESS)` is a library, `PATH (ADDRESS)` what loads programs.
fn linked(line: &str) -> Option<(String, PathBuf)> {
    let (line, _) = line.trim().rsplit_once(" (")?;
    match line.split_once(" => ") {
        // That of musl is the loader too, and is found as such.
        Some((name, path)) if path.starts_with('/') && !name.contains('/') => Some((name.to_owned(), path.into())),
        None if line.starts_with('/') => Some((CHECKER_LOADER.to_owned(), line.into())),
        _ => None,
    }
}

fn pack(files: &[(String, PathBuf)]) -> io::Result<(File, u64)> {
    let mut file = File::from(memfd_create("checker", MemfdFlags::CLOEXEC)?);
    pack_files("checker", files, &mut file)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_what_ldd_says() {
        let name = |line: &str| linked(line).map(|(name, path)| format!("{name} {}", path.display()));
        assert_eq!(
            name("\tlibe2p.so.2 => /lib/x/libe2p.so.2 (0x00007f)").as_deref(),
            Some("libe2p.so.2 /lib/x/libe2p.so.2")
        );
        assert_eq!(
            name("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)").as_deref(),
            Some("loader /lib64/ld-linux-x86-64.so.2")
        );
        for nothing in ["\tlinux-vdso.so.1 (0x00007f)", "\tstatically linked", "\tlibx.so => not found", ""] {
            assert_eq!(name(nothing), None);
        }
    }
}
