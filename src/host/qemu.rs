//! Finds QEMU and asks it for its version.
//!
//! Asking takes some 20 ms, so finding is a function of its own: a run that only needs the program does not wait.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags};

use super::distribution::{Wanted, install_commands};
use super::kvm::kvm;
use crate::sys::child::{self, ChildSpec, ChildStdio};
use crate::sys::kvm_probe::KvmVerdict;

const PROGRAM: &str = "qemu-system-x86_64";
/// The first version whose microvm has ACPI, without which the kernels that we boot find no devices.
const OLDEST: QemuVersion = QemuVersion { major: 5, minor: 2, patch: 0 };
/// Longest that QEMU may take to say its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// Version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QemuVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The QEMU of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuFacts {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: QemuVersion,
}

/// Why QEMU does not serve.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not in `PATH`.
    #[error("`{PROGRAM}` is not installed (not in PATH)")]
    Missing,
    /// It is there and cannot be run.
    #[error("cannot run `{program}`")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not answer as QEMU does.
    #[error("`{program} --version` says no version")]
    NoVersion {
        /// The program.
        program: PathBuf,
    },
    /// Its microvm is not enough.
    #[error("`{program}` is version {version}, the oldest that serves is {OLDEST}")]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        version: QemuVersion,
    },
}

impl QemuError {
    /// Commands that help on this computer, to be copied.
    pub fn commands(&self) -> Vec<String> {
        install_commands(Wanted::Qemu)
    }
}

/// What can run machines here.
#[derive(Debug)]
pub struct EngineFacts {
    /// QEMU, or why not.
    pub qemu: Result<QemuFacts, QemuError>,
    /// Whether machines run at the speed of the processor.
    pub kvm: KvmVerdict,
}

/// Looks at all that can run machines. Takes some 30 ms; [`find_qemu`] and [`kvm`] are its parts for those in a hurry.
pub fn engines() -> EngineFacts {
    let qemu = find_qemu().and_then(|program| {
        let version = qemu_version(&program)?;
        if version < OLDEST { Err(QemuError::TooOld { program, version }) } else { Ok(QemuFacts { program, version }) }
    });
    EngineFacts { qemu, kvm: kvm() }
}

/// QEMU in `PATH`.
pub fn find_qemu() -> Result<PathBuf, QemuError> {
    find_in(&std::env::var_os("PATH").unwrap_or_default()).ok_or(QemuError::Missing)
}

fn find_in(path: &std::ffi::OsStr) -> Option<PathBuf> {
    let places = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    places
        .map(|folder| folder.join(PROGRAM))
        .find(|file| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok())
}

/// Asks a QEMU for its version.
pub fn qemu_version(program: &Path) -> Result<QemuVersion, QemuError> {
    let failed = |source| QemuError::Run { program: program.to_owned(), source };
    let text = version_text(program).map_err(failed)?;
    parse_version(&text).ok_or_else(|| QemuError::NoVersion { program: program.to_owned() })
}

fn version_text(program: &Path) -> io::Result<String> {
    let mut output: File = rustix::fs::memfd_create("version", MemfdFlags::CLOEXEC)?.into();
    let mut spec = ChildSpec::new(program);
    spec.args = vec!["--version".into()];
    spec.stdout = ChildStdio::Fd(output.try_clone()?.into());
    let child = child::spawn(spec)?;
    let deadline = Timespec::try_from(VERSION_DEADLINE).map_err(io::Error::other)?;
    let ended = loop {
        match poll(&mut [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)], Some(&deadline)) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result?,
        }
    };
    if ended == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    child.wait()?;
    let mut text = Vec::new();
    output.rewind()?;
    output.take(4096).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)`
fn parse_version(text: &str) -> Option<QemuVersion> {
    let rest = text.split_once("version ")?.1;
    let numbers = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    Some(QemuVersion { major, minor, patch: numbers.next().flatten().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join(PROGRAM);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn version_is_what_the_program_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), "echo 'QEMU emulator version 9.1.0-rc2 (x)'");
        assert_eq!(qemu_version(&path).unwrap().to_string(), "9.1.0");
        let path = program(folder.path(), "echo hello");
        assert!(matches!(qemu_version(&path), Err(QemuError::NoVersion { .. })));
        assert!(matches!(qemu_version(Path::new("/none/qemu")), Err(QemuError::Run { .. })));
    }

    #[test]
    fn versions_have_two_or_three_numbers() {
        let parse = |text| parse_version(text).map(|version| version.to_string());
        assert_eq!(parse("QEMU emulator version 7.2.22 (Debian 1:7.2)").as_deref(), Some("7.2.22"));
        assert_eq!(parse("QEMU emulator version 10.0").as_deref(), Some("10.0.0"));
        assert_eq!(parse("version x"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn program_is_found_in_absolute_folders_only() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find_in(folder.path().as_os_str()), None);
        let path = program(folder.path(), "");
        let text = std::env::join_paths([Path::new("here"), Path::new("/none"), folder.path()]).unwrap();
        assert_eq!(find_in(&text), Some(path.clone()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find_in(folder.path().as_os_str()), None);
    }
}
