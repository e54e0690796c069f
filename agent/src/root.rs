//! The root file system: the image's share or disk below, a writable layer in memory above, and what the kernel offers in it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use smolvm_agent::{Setup, SetupRoot};

use crate::boot::{EARLY_MOUNTS, make_folder};
use crate::cgroups;
use crate::disk::find_disk_early;
use crate::exec::SCRIPTS;
use crate::places::{copy_folder, folder_in_layer};
use crate::sys::{self, MountFlags};

const LOWER: &str = "/lower";
const LAYER: &str = "/layer";
const UPPER: &str = "/layer/upper";
const WORK: &str = "/layer/work";
const MOUNT_LAYERS: &str = "/layer/mounts";
const ROOT: &str = "/root.new";

/// Where the agent keeps what is its own.
const OWN: &str = "/run/smolvm";

/// Where a part of the writable layer is seen that holds the layers of mounts.
pub(crate) const LAYERS: &str = "/run/smolvm/layers";

/// Folders of what lies below can be renamed too (`redirect_dir`); what is copied up is whole, so that later changes on the
/// host do not show through (`metacopy`); a share cannot be asked for files by handle (`index`).
pub(crate) const OVERLAY_OPTIONS: &str = "redirect_dir=on,metacopy=off,index=off";

/// Where shares are mounted of which something else is made at the target.
pub(crate) const SHARES: &str = "/run/smolvm/shares";

/// A file system of the kernel and its place.
struct KernelMount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static str,
    /// Its place is the image's, made where the image lacks it.
    is_of_image: bool,
    /// An image that has something there keeps it.
    is_for_empty_only: bool,
    /// The machine can do without it.
    is_optional: bool,
}

const SAFE: MountFlags = MountFlags::NO_SUID.and(MountFlags::NO_DEV);
const STRICT: MountFlags = SAFE.and(MountFlags::NO_EXEC);

const fn kernel_mount(kind: &'static str, target: &'static str, flags: MountFlags, data: &'static str) -> KernelMount {
    KernelMount { kind, target, flags, data, is_of_image: false, is_for_empty_only: false, is_optional: false }
}

const fn of_image(mount: KernelMount) -> KernelMount {
    KernelMount { is_of_image: true, ..mount }
}

/// In order: parents first.
const KERNEL_MOUNTS: &[KernelMount] = &[
    of_image(kernel_mount("proc", "/proc", STRICT, "")),
    of_image(kernel_mount("sysfs", "/sys", STRICT, "")),
    kernel_mount("cgroup2", "/sys/fs/cgroup", STRICT, ""),
    of_image(kernel_mount("devtmpfs", "/dev", MountFlags::NO_SUID, "")),
    kernel_mount("devpts", "/dev/pts", MountFlags::NO_SUID.and(MountFlags::NO_EXEC), "gid=5,mode=620,ptmxmode=666"),
    kernel_mount("tmpfs", "/dev/shm", SAFE, "mode=1777"),
    KernelMount { is_optional: true, ..kernel_mount("mqueue", "/dev/mqueue", STRICT, "") },
    KernelMount { is_for_empty_only: true, ..of_image(kernel_mount("tmpfs", "/run", SAFE, "mode=755")) },
    KernelMount { is_for_empty_only: true, ..of_image(kernel_mount("tmpfs", "/tmp", SAFE, "mode=1777")) },
    kernel_mount("tmpfs", OWN, SAFE, "mode=755"),
];

/// What programs expect in `/dev` and no kernel makes.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// An error and what it was about.
pub(crate) type Told<T> = Result<T, String>;

fn tell<T>(result: io::Result<T>, what: &str) -> Told<T> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// Makes the root, moves into it, and mounts what the kernel offers.
pub(crate) fn make_root(setup: &Setup) -> Told<()> {
    for folder in [LOWER, LAYER, ROOT] {
        tell(make_folder(Path::new(folder)), "cannot make a folder in the initramfs")?;
    }
    mount_image(&setup.root)?;
    tell(make_layer(setup), "cannot make the writable layer")?;
    let options = format!("lowerdir={LOWER},upperdir={UPPER},workdir={WORK},{OVERLAY_OPTIONS}");
    let overlay = sys::mount("root", Path::new(ROOT), "overlay", MountFlags::NONE, &options);
    tell(overlay, "cannot put the writable layer over the image")?;
    let layers = tell(sys::clone_mount(Path::new(MOUNT_LAYERS)), "cannot keep the writable layer in reach")?;
    tell(enter_root(), "cannot move into the root")?;
    for each in KERNEL_MOUNTS {
        tell(make_kernel_mount(each), &format!("cannot mount {} on `{}`", each.kind, each.target))?;
    }
    for (to, link) in DEVICE_LINKS {
        match std::os::unix::fs::symlink(to, link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => tell(result, &format!("cannot make `{link}`"))?,
        }
    }
    tell(make_private_folder(Path::new(LAYERS)), "cannot make the folder of layers")?;
    tell(sys::attach_mount(&layers, Path::new(LAYERS)), "cannot attach the folder of layers")?;
    tell(make_private_folder(Path::new(SHARES)), "cannot make the folder of shares")?;
    tell(cgroups::prepare_parent(), "cannot make the group of all commands")?;
    tell(make_folder(Path::new(SCRIPTS)), "cannot make the folder of scripts")
}

fn mount_image(image: &SetupRoot) -> Told<()> {
    let lower = Path::new(LOWER);
    match image {
        SetupRoot::Share { tag } => {
            let mounted = sys::mount(tag, lower, "virtiofs", MountFlags::READ_ONLY, "");
            tell(mounted, &format!("cannot mount the root's share `{tag}`"))
        }
        SetupRoot::Erofs { serial } => {
            let what = format!("cannot mount the root's disk `{serial}`");
            let device = tell(find_disk_early(serial), &what)?;
            let device = device.to_str().ok_or_else(|| what.clone())?;
            tell(sys::mount(device, lower, "erofs", MountFlags::READ_ONLY, ""), &what)
        }
    }
}

/// The writable layer, with the machine's own files in it before anything lies over the image's: no copy of the
/// image's files is made, and it does not matter whether they can be read.
fn make_layer(setup: &Setup) -> io::Result<()> {
    sys::mount("layer", Path::new(LAYER), "tmpfs", MountFlags::NONE, "mode=755,size=50%")?;
    fs::create_dir(WORK)?;
    make_private_folder(Path::new(MOUNT_LAYERS))?;
    let (lower, upper) = (Path::new(LOWER), Path::new(UPPER));
    copy_folder(lower, upper)?;
    for mount in KERNEL_MOUNTS.iter().filter(|mount| mount.is_of_image) {
        let place = Path::new(mount.target);
        let has_it = fs::symlink_metadata(lower.join(place.strip_prefix("/").unwrap_or(place)));
        if !has_it.is_ok_and(|found| found.is_dir()) {
            folder_in_layer(lower, upper, place)?;
        }
    }
    let etc = folder_in_layer(lower, upper, Path::new("/etc"))?;
    let hostname = &setup.hostname;
    let resolv_conf = setup.network.as_ref().map(|network| network.resolv_conf.clone()).unwrap_or_default();
    for (name, text) in [("hosts", hosts(setup)), ("hostname", format!("{hostname}\n")), ("resolv.conf", resolv_conf)] {
        let path = etc.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
    }
    Ok(())
}

/// Names and addresses: the machine's own, and those of the services that it reaches.
fn hosts(setup: &Setup) -> String {
    let hostname = &setup.hostname;
    let own = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n");
    let mut lines = vec![own];
    for link in &setup.links {
        let line = format!("{}\t{}\n", Ipv4Addr::from(link.address), link.name);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.extend(setup.network.as_ref().map(|network| network.hosts.clone()));
    lines.concat()
}

/// A folder of root's.
fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// The initramfs cannot be left by pivot_root(2): the new root is moved over it.
fn enter_root() -> io::Result<()> {
    for target in EARLY_MOUNTS.iter().chain(&[LOWER, LAYER]) {
        // The overlay keeps what it uses; nothing else may stay in reach.
        sys::unmount_lazily(Path::new(target))?;
    }
    std::env::set_current_dir(ROOT)?;
    sys::move_mount_to_root(Path::new("."))?;
    sys::change_root(Path::new("."))
}

fn make_kernel_mount(each: &KernelMount) -> io::Result<()> {
    let target = Path::new(each.target);
    if each.is_for_empty_only && fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    let made = match make_folder(target) {
        // sysfs has its own places for mounts.
        Err(_) if target.is_dir() => Ok(()),
        result => result,
    };
    let mounted = made.and_then(|()| sys::mount(each.kind, target, each.kind, each.flags, each.data));
    if each.is_optional { Ok(()) } else { mounted }
}
