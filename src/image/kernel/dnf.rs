//! Fedora and its relatives: `dnf download` into a scratch folder, unpacked by rpm2cpio and cpio.

use std::fs;
use std::path::Path;

use super::super::tool::Tool;
use super::super::waiter::Waiter;
use super::apt::folder_name;
use super::package::{PackageError, Unpacked};

const PACKAGES: [&str; 3] = ["kernel-core", "kernel-modules-core", "kernel-modules"];

/// Downloads and unpacks the newest kernel.
pub(super) fn download(scratch: &Path, waiter: &mut dyn Waiter) -> Result<Unpacked, PackageError> {
    let io = |source| PackageError::Io { path: scratch.to_owned(), source };
    let (downloads, root) = (scratch.join("downloads"), scratch.join("root"));
    for folder in [&downloads, &root] {
        fs::create_dir(folder).map_err(io)?;
    }
    waiter.tell("downloading kernel-core");
    let keep = format!("--setopt=cachedir={}", scratch.join("cache").display());
    let here = format!("--destdir={}", downloads.display());
    Tool::new("dnf")
        .args(["-q", "download", "--arch=x86_64", &keep, &here])
        .args(PACKAGES)
        .folder(&downloads)
        .run(waiter)?;
    let mut name = None;
    waiter.tell("unpacking kernel-core");
    for entry in fs::read_dir(&downloads).map_err(io)? {
        let file = entry.map_err(io)?.path();
        // Signatures: `dnf download` does not check them, rpm does.
        Tool::new("rpmkeys").args(["--checksig".as_ref(), file.as_os_str()]).run(waiter)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem.starts_with("kernel-core-") {
            name = Some(stem);
        }
        let unpack = Tool::new("cpio").folder(&root).args(["-idm", "--quiet", "--no-absolute-filenames"]);
        Tool::new("rpm2cpio").args([&file]).run_into(unpack, waiter)?;
    }
    let name = name.ok_or_else(|| PackageError::NoPackage { names: PACKAGES.map(str::to_owned).to_vec() })?;
    Ok(Unpacked { root: Some(root), package: folder_name("fedora", &name) })
}
