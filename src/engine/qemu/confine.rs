//! With whose rights QEMU runs, and files that it can open with them.
//!
//! A VMM needs nothing of the host but the descriptors that it is given. Where smolvm runs as root, QEMU runs as
//! nobody; for hardware virtualization it keeps the group of `/dev/kvm`. A Landlock domain, where the kernel has it, leaves
//! it the system's programs and libraries to read and nothing to write.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::engine::Accel;
use crate::sys::child::{ChildIdentity, look_up};
use crate::sys::landlock::{self, OpenPaths};

/// The user and group that own nothing.
const NOBODY: u32 = 65_534;

/// `CAP_SETGID` and `CAP_SETUID` among the capabilities.
const CAPABILITIES_TO_CHANGE: u64 = 1 << 6 | 1 << 7;

/// Whom QEMU runs as, or `None` for ourselves: where we are not root, or may not become anyone else.
pub(super) fn identity(accel: Accel) -> Option<ChildIdentity> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let id_map = fs::read_to_string("/proc/self/uid_map").ok()?;
    if !rustix::process::geteuid().is_root() || !may_change(&status) || !has_nobody(&id_map) {
        return None;
    }
    let groups = match accel {
        Accel::Tcg => Vec::new(),
        Accel::Kvm => vec![kvm_group()?],
    };
    Some(ChildIdentity { uid: NOBODY, gid: NOBODY, groups })
}

fn may_change(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    held & CAPABILITIES_TO_CHANGE == CAPABILITIES_TO_CHANGE
}

fn has_nobody(id_map: &str) -> bool {
    id_map.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
        let (first, _, count) = (fields.next().flatten(), fields.next(), fields.next().flatten());
        first.zip(count).is_some_and(|(first, count)| (first..first.saturating_add(count)).contains(&NOBODY.into()))
    })
}

/// The group that may use `/dev/kvm`, or `None` where only root may.
fn kvm_group() -> Option<u32> {
    let device = fs::metadata("/dev/kvm").ok()?;
    (device.mode() & 0o060 == 0o060 || device.mode() & 0o006 == 0o006).then_some(device.gid())
}

/// Opens a file for QEMU, which opens it again by its number. Where it runs as someone who may not read the file, it
/// gets a copy in memory.
pub(super) fn open_boot_file(path: &Path, identity: Option<&ChildIdentity>) -> io::Result<OwnedFd> {
    let mut file = File::open(path)?;
    let is_readable_by_all = file.metadata()?.mode() & 0o004 != 0;
    if identity.is_none() || is_readable_by_all {
        return Ok(file.into());
    }
    let mut copy = File::from(memfd_create("boot file", MemfdFlags::CLOEXEC)?);
    io::copy(&mut file, &mut copy)?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy.into())
}

/// Where systems keep programs, their libraries and settings, and what the kernel tells of itself.
const SYSTEM: [&str; 13] = [
    "/bin",
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/opt",
    "/proc",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
];

/// Devices that QEMU uses.
const DEVICES: [&str; 6] = ["/dev/full", "/dev/kvm", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// The domain for a QEMU that boots from these files. One that was not installed by the system may have its parts
/// anywhere, and reads what it likes.
pub(super) fn domain(program: &Path, boot_files: [&OwnedFd; 2]) -> io::Result<Option<OwnedFd>> {
    // One that is not there is told when it is started.
    let Ok(program) = look_up(program).and_then(|program| program.canonicalize()) else { return Ok(None) };
    let mut readable: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    if !readable.iter().any(|folder| program.starts_with(folder)) {
        readable = vec![PathBuf::from("/")];
    }
    // A copy in memory has no path, and needs no rule.
    let has_path = |file: &&OwnedFd| rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0);
    let files = boot_files.into_iter().filter(has_path).map(AsFd::as_fd).collect();
    landlock::domain(&OpenPaths { readable, usable: DEVICES.iter().map(PathBuf::from).collect(), files })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::child::{ChildSpec, ChildStdio, spawn};

    #[test]
    fn both_capabilities_are_needed() {
        assert!(may_change("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(may_change("CapEff:\t00000000000000c0\n"));
        assert!(!may_change("CapEff:\t0000000000000080\n") && !may_change("CapEff:\t?\n") && !may_change(""));
    }

    #[test]
    fn nobody_must_be_mapped() {
        assert!(has_nobody("         0          0 4294967295\n"));
        assert!(has_nobody("0 1000 1\n1 100000 65536\n"));
        assert!(!has_nobody("         0       1000          1\n") && !has_nobody("x y z\n") && !has_nobody(""));
    }

    #[test]
    fn private_file_is_copied_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        fs::write(&path, "image").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let nobody = ChildIdentity { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
        for identity in [None, Some(&nobody)] {
            let mut file = File::from(open_boot_file(&path, identity).unwrap());
            let is_copy = file.metadata().unwrap().nlink() == 0;
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), is_copy), ("image", identity.is_some()));
        }
    }

    /// Runs a shell as QEMU would be run, and gives what it says.
    fn confined(script: &str, files: [&OwnedFd; 2]) -> String {
        let (mut words, stdout) = io::pipe().unwrap();
        let mut child = ChildSpec::new("/bin/sh");
        child.args = vec!["-c".into(), script.into()];
        child.stdout = ChildStdio::Fd(stdout.into());
        child.identity = identity(Accel::Tcg);
        child.domain = domain(Path::new("/bin/sh"), files).unwrap();
        let child = spawn(child).unwrap();
        let mut text = String::new();
        words.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    }

    #[test]
    fn a_confined_vmm_reads_the_system_and_its_boot_files_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["kernel", "initramfs", "secret"] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o666)).unwrap();
        }
        let [kernel, initramfs] = ["kernel", "initramfs"].map(|name| File::open(at(name)).unwrap().into());
        if domain(Path::new("/bin/sh"), [&kernel, &initramfs]).unwrap().is_none() {
            return;
        }
        let script = format!(
            "cd {}; grep NoNewPrivs /proc/self/status | tr -d '\\t'; cat kernel initramfs
            try() {{ (eval \"$1\") 2>/dev/null && echo \"did: $1\"; }}
            for what in 'cat secret' 'ls -A .' 'echo x > secret' 'echo x >> kernel' 'rm secret' 'mkdir new' 'ln -s x new' \\
                'mv secret new' 'chmod +x new' 'cat /root/.profile' 'ls /root /home' 'cat /dev/mem' 'echo x > /dev/shm/new'; do
                try \"$what\"
            done",
            dir.path().display()
        );
        assert_eq!(confined(&script, [&kernel, &initramfs]), "NoNewPrivs:1\nkernelinitramfs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
