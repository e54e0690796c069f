//! Arch and its relatives: `pacman -Sw` with a database and a cache of ours, unpacked by tar.
//!
//! pacman insists on root even where it only downloads; an ordinary user does it under `fakeroot`, which Arch's own
//! tools use for the same purpose.

use std::fs;
use std::path::Path;

use super::super::tool::{self, Tool};
use super::super::waiter::Waiter;
use super::apt::folder_name;
use super::package::{PackageError, Unpacked};

/// Downloads and unpacks the newest kernel.
pub(super) fn download(scratch: &Path, waiter: &mut dyn Waiter) -> Result<Unpacked, PackageError> {
    let io = |source| PackageError::Io { path: scratch.to_owned(), source };
    let (database, downloads, root) = (scratch.join("database"), scratch.join("downloads"), scratch.join("root"));
    for folder in [&database, &downloads, &root] {
        fs::create_dir(folder).map_err(io)?;
    }
    waiter.tell("downloading linux");
    let is_root = rustix::process::geteuid().is_root();
    let tool = if is_root || tool::find("fakeroot").is_none() {
        Tool::new("pacman")
    } else {
        Tool::new("fakeroot").args(["--", "pacman"])
    };
    tool.args(["-Syw", "--noconfirm", "--noprogressbar", "--dbpath"])
        .args([database.as_os_str(), "--cachedir".as_ref(), downloads.as_os_str()])
        .args(["--logfile", "/dev/null", "--nodeps", "--nodeps", "linux"])
        .run(waiter)?;
    waiter.tell("unpacking linux");
    let mut name = None;
    for entry in fs::read_dir(&downloads).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let text = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !text.starts_with("linux-") || text.ends_with(".sig") {
            continue;
        }
        Tool::new("tar").args(["-xf".as_ref(), file.as_os_str(), "-C".as_ref(), root.as_os_str()]).run(waiter)?;
        name = text.split("-x86_64").next().map(str::to_owned);
    }
    let name = name.ok_or_else(|| PackageError::NoPackage { names: vec!["linux".to_owned()] })?;
    Ok(Unpacked { root: Some(root), package: folder_name("arch", &name) })
}
