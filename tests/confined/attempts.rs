//! What a server that a guest has taken over would try, from inside its confinement.

#![expect(unsafe_code, reason = "calls that no wrapper makes, with arguments that no wrapper takes")]

use std::ffi::CStr;
use std::io::{self, Write};

use libc::{c_int, c_long, c_ulong, syscall};

/// What is said by an attempt that failed.
pub(crate) const REFUSED: &str = "refused with";

/// How an attempt must end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The filter of system calls kills the process.
    Killed,
    /// Every call fails.
    Refused,
}

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) end: End,
    /// The shares from which it is made; all where it is empty.
    pub(crate) from: &'static [&'static str],
    act: fn() -> Result<(), String>,
}

impl Attempt {
    pub(crate) fn is_for(&self, kind: &str) -> bool {
        self.from.is_empty() || self.from.contains(&kind)
    }
}

/// Makes the attempt of this name and says how it ended; many do not return.
pub(crate) fn run(name: &str) {
    let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap();
    let told = match (attempt.act)() {
        Ok(()) => "it was done".to_owned(),
        Err(why) => format!("{REFUSED} {why}"),
    };
    let _ = writeln!(io::stderr(), "{told}");
}

/// A call of this number with these arguments.
fn call(number: c_long, args: [usize; 6]) -> Result<(), String> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: every pointer among the arguments is null or leads to a constant or a local that outlives the call.
    let result = unsafe { syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error().to_string()) } else { Ok(()) }
}

fn open(folder: c_int, path: &CStr, flags: c_int) -> Result<c_int, String> {
    // SAFETY: the path is a zero-terminated string that outlives the call.
    let fd = unsafe { libc::openat(folder, path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
    if fd < 0 { Err(io::Error::last_os_error().to_string()) } else { Ok(fd) }
}

/// Device, inode and type of what a descriptor is open at.
fn identity(fd: c_int) -> Option<(u64, u64, u32)> {
    // SAFETY: a `stat` is plain numbers, for which zeros are a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writes; a number that is no descriptor is refused.
    let result = unsafe { libc::fstat(fd, &raw mut stat) };
    (result == 0).then_some((stat.st_dev, stat.st_ino, stat.st_mode & libc::S_IFMT))
}

fn is_proc(fd: c_int) -> bool {
    // SAFETY: a `statfs` is plain numbers, for which zeros are a value.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is valid for writes; a number that is no descriptor is refused.
    let result = unsafe { libc::fstatfs(fd, &raw mut stat) };
    result == 0 && c_ulong::try_from(stat.f_type).ok() == Some(0x9fa0)
}

/// Requests of `ioctl`.
const TERMINAL_INPUT: usize = 0x5412;
const BYTES_TO_READ: usize = 0x541b;

const AT: usize = libc::AT_FDCWD as usize;

fn at(text: &'static CStr) -> usize {
    text.as_ptr() as usize
}

/// Descriptors that are tried; a server has some twenty.
const FDS: std::ops::Range<c_int> = 0..64;

/// The root, `..` from it and from every descriptor, and links that lead out.
fn open_outside() -> Result<(), String> {
    let root = identity(open(libc::AT_FDCWD, c"/", libc::O_PATH)?).ok_or("no root")?;
    for path in [c"..", c"/..", c"../..", c"sub/../.."] {
        match open(libc::AT_FDCWD, path, libc::O_PATH) {
            Ok(fd) if identity(fd) != Some(root) => return Ok(()),
            _ => {}
        }
    }
    let outside = [
        c"/absolute",
        c"/up",
        c"/process",
        c"/host",
        c"../beside/secret",
        c"/../../beside",
        c"/proc/1/root/etc",
        c"/proc/self/root/..",
        c"/proc/self/fd",
        c"/dev/null",
    ];
    if outside.iter().any(|path| open(libc::AT_FDCWD, path, libc::O_RDONLY).is_ok()) {
        return Ok(());
    }
    for fd in FDS {
        let Some((_, _, libc::S_IFDIR)) = identity(fd) else { continue };
        if identity(fd) != Some(root) && !is_proc(fd) {
            return Ok(());
        }
        for path in [c"..", c"../..", c"../root", c"../../1/root", c"../../self/root", c"../cwd/..", c"../exe"] {
            let found = open(fd, path, libc::O_PATH).ok().and_then(identity);
            if found.is_some() && found != Some(root) && found != identity(fd) {
                return Ok(());
            }
        }
    }
    Err("nothing outside".to_owned())
}

/// The descriptors as links: none leads to a file or a folder beside the root.
fn follow_descriptors() -> Result<(), String> {
    let root = identity(open(libc::AT_FDCWD, c"/", libc::O_PATH)?).ok_or("no root")?;
    let own = FDS.filter(|fd| identity(*fd).is_some_and(|found| found.2 == libc::S_IFDIR) && is_proc(*fd));
    let mut count = 0;
    for folder in own {
        for number in FDS {
            let name = std::ffi::CString::new(number.to_string()).map_err(|error| error.to_string())?;
            let Ok(fd) = open(folder, &name, libc::O_PATH) else { continue };
            count += 1;
            let found = identity(fd).ok_or("no identity")?;
            let is_outside = match found.2 {
                libc::S_IFDIR => found != root && !is_proc(fd),
                // The null device.
                libc::S_IFCHR => false,
                libc::S_IFREG | libc::S_IFBLK | libc::S_IFLNK => true,
                _ => false,
            };
            if is_outside {
                return Ok(());
            }
        }
    }
    if count == 0 { Ok(()) } else { Err(format!("{count} of its own")) }
}

/// An image's server has all that it needs open, and no folder.
fn open_anything() -> Result<(), String> {
    let flags = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR | libc::O_CREAT, libc::O_RDONLY | libc::O_DIRECTORY];
    let names = [c"/", c".", c"..", c"/file", c"/new", c"/proc", c"/proc/self/fd", c"/dev/null", c"/etc", c"/sys"];
    for name in names {
        if flags.iter().any(|flags| open(libc::AT_FDCWD, name, *flags).is_ok()) {
            return Ok(());
        }
    }
    for fd in FDS.filter(|fd| identity(*fd).is_some()) {
        if identity(fd).is_some_and(|found| found.2 == libc::S_IFDIR) || open(fd, c"x", libc::O_RDONLY).is_ok() {
            return Ok(());
        }
    }
    Err("every one".to_owned())
}

/// What is open of the image is open to be read.
fn write_to_packs() -> Result<(), String> {
    let files: Vec<c_int> = FDS.filter(|fd| identity(*fd).is_some_and(|found| found.2 == libc::S_IFREG)).collect();
    if files.is_empty() {
        return Ok(());
    }
    for fd in &files {
        let number = usize::try_from(*fd).map_err(|error| error.to_string())?;
        let (shared, write) = (libc::MAP_SHARED as usize, libc::PROT_WRITE as usize);
        if call(libc::SYS_write, [number, at(c"x"), 1, 0, 0, 0]).is_ok()
            || call(libc::SYS_mmap, [0, 4096, write, shared, number, 0]).is_ok()
        {
            return Ok(());
        }
    }
    Err(format!("{} files", files.len()))
}

/// A folder that is open while the host moves it out of the share: `..` does not lead on.
fn walk_from_moved_folder() -> Result<(), String> {
    let sub = open(libc::AT_FDCWD, c"/sub/deep", libc::O_PATH)?;
    open(libc::AT_FDCWD, c"/wish", libc::O_CREAT | libc::O_WRONLY)?;
    while open(libc::AT_FDCWD, c"/granted", libc::O_RDONLY).is_err() {}
    for path in [c"../../secret", c"../..", c"../../../beside/secret"] {
        if open(sub, path, libc::O_PATH).is_ok() {
            return Ok(());
        }
    }
    Err("nothing above".to_owned())
}

/// Links that the server makes itself.
fn plant_links() -> Result<(), String> {
    for target in [c"/etc/passwd", c"../beside/secret", c"/proc/self/root/etc/passwd", c"/proc/1/environ"] {
        call(libc::SYS_symlinkat, [at(target), AT, at(c"/planted"), 0, 0, 0])?;
        if open(libc::AT_FDCWD, c"/planted", libc::O_RDONLY).is_ok() {
            return Ok(());
        }
        call(libc::SYS_unlinkat, [AT, at(c"/planted"), 0, 0, 0, 0])?;
    }
    Err("every one".to_owned())
}

fn make_devices() -> Result<(), String> {
    for (kind, device) in [(libc::S_IFCHR, 0x101), (libc::S_IFCHR, 0x103), (libc::S_IFBLK, 0x800)] {
        let mode = (kind | 0o666) as usize;
        if call(libc::SYS_mknodat, [AT, at(c"/device"), mode, device, 0, 0]).is_ok() {
            return Ok(());
        }
    }
    Err("every one".to_owned())
}

fn change_anything() -> Result<(), String> {
    let tries = [
        open(libc::AT_FDCWD, c"/file", libc::O_WRONLY).map(drop),
        open(libc::AT_FDCWD, c"/file", libc::O_RDONLY | libc::O_TRUNC).map(drop),
        open(libc::AT_FDCWD, c"/new", libc::O_CREAT | libc::O_WRONLY).map(drop),
        call(libc::SYS_unlinkat, [AT, at(c"/file"), 0, 0, 0, 0]),
        call(libc::SYS_mkdirat, [AT, at(c"/new"), 0o755, 0, 0, 0]),
        call(libc::SYS_renameat2, [AT, at(c"/file"), AT, at(c"/new"), 0, 0]),
        call(libc::SYS_linkat, [AT, at(c"/file"), AT, at(c"/new"), 0, 0]),
        call(libc::SYS_fchmodat, [AT, at(c"/file"), 0o777, 0, 0, 0]),
        call(libc::SYS_utimensat, [AT, at(c"/file"), 0, 0, 0, 0]),
    ];
    if tries.iter().any(Result::is_ok) { Ok(()) } else { Err("every one".to_owned()) }
}

/// A share of one file: Landlock keeps the folder around it closed, where the kernel has it.
fn use_the_folder() -> Result<(), String> {
    let list = open(libc::AT_FDCWD, c"/", libc::O_RDONLY | libc::O_DIRECTORY).map(drop);
    let tries = [
        list,
        open(libc::AT_FDCWD, c"/new", libc::O_CREAT | libc::O_WRONLY).map(drop),
        call(libc::SYS_unlinkat, [AT, at(c"/sibling"), 0, 0, 0, 0]),
        call(libc::SYS_mkdirat, [AT, at(c"/new"), 0o755, 0, 0, 0]),
        call(libc::SYS_symlinkat, [at(c"x"), AT, at(c"/new"), 0, 0, 0]),
        call(libc::SYS_renameat2, [AT, at(c"/file"), AT, at(c"/sibling"), 0, 0]),
    ];
    if tries.iter().any(Result::is_ok) { Ok(()) } else { Err("every one".to_owned()) }
}

/// Packets of one's own making.
fn make_raw_sockets() -> Result<(), String> {
    for (family, protocol) in
        [(libc::AF_INET, libc::IPPROTO_RAW), (libc::AF_INET, libc::IPPROTO_TCP), (libc::AF_INET6, libc::IPPROTO_ICMPV6)]
    {
        let [family, kind, protocol] = [family, libc::SOCK_RAW, protocol].map(|number| number as usize);
        if call(libc::SYS_socket, [family, kind, protocol, 0, 0, 0]).is_ok() {
            return Ok(());
        }
    }
    Err("every one".to_owned())
}

/// What `image: host` hides, and what only root may read.
fn read_secrets() -> Result<(), String> {
    for path in [c"/etc/shadow", c"/etc/gshadow", c"/proc/1/environ", c"/dev/mem", c"/sys/kernel", c"/root/.ssh"] {
        if open(libc::AT_FDCWD, path, libc::O_RDONLY).is_ok() {
            return Ok(());
        }
    }
    Err("every one".to_owned())
}

/// A call in the numbering of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn call_as_32_bit() -> Result<(), String> {
    let mut number: i32 = 20;
    // SAFETY: number 20 of that table is `getpid`, which takes no pointer; the filter ends the process before it.
    unsafe { std::arch::asm!("int 0x80", inout("eax") number) };
    if number > 0 { Ok(()) } else { Err(number.to_string()) }
}

macro_rules! killed {
    // The filter is the same for all other shares.
    (@from) => { &["folder", "host", "folder with the guest's ids", "image", "writable disk", "network"] };
    (@from $($from:literal)+) => { &[$($from),+] };
    ($name:literal, $number:expr $(, $arg:expr)* $(; from $($from:literal)+)?) => {
        Attempt {
            name: $name,
            end: End::Killed,
            from: killed!(@from $($($from)+)?),
            act: || {
                let mut args = [0; 6];
                let given: &[usize] = &[$($arg as usize),*];
                args[..given.len()].copy_from_slice(given);
                call($number, args)
            },
        }
    };
}

macro_rules! refused {
    ($name:literal, $act:expr $(, from $($from:literal)+)?) => {
        Attempt { name: $name, end: End::Refused, from: &[$($($from),+)?], act: $act }
    };
}

/// Each is tried in a confined process of its own.
pub(crate) const ATTEMPTS: &[Attempt] = &[
    // Out of the share.
    refused!("open outside", open_outside, from "folder" "read-only folder" "file" "folder with the guest's ids"),
    refused!("descriptors as links", follow_descriptors, from "folder" "read-only folder" "file" "read-only file" "host"
        "folder with the guest's ids"),
    refused!("open anything", open_anything, from "image"),
    refused!("write to packs", write_to_packs, from "image"),
    refused!("write to a disk", || call(libc::SYS_write, [6, at(c"x"), 1, 0, 0, 0]), from "disk"),
    refused!("walk from a moved folder", walk_from_moved_folder, from "folder" "folder with the guest's ids"),
    refused!("links of its own", plant_links, from "folder" "folder with the guest's ids"),
    refused!("devices", make_devices, from "folder" "folder with the guest's ids" "read-only folder"),
    refused!("changes", change_anything, from "read-only folder" "read-only file"),
    refused!("folder of a file", use_the_folder, from "file" "read-only file"),
    refused!("secrets", read_secrets, from "host"),
    killed!("open_by_handle_at", libc::SYS_open_by_handle_at, 0, 0, 0),
    killed!("name_to_handle_at", libc::SYS_name_to_handle_at, AT, 0, 0, 0, 0),
    killed!("chroot", libc::SYS_chroot, at(c"/")),
    killed!("fchdir", libc::SYS_fchdir, 0),
    killed!("names of an image", libc::SYS_mkdirat, AT, at(c"/new"), 0o755; from "image"),
    killed!("links of an image", libc::SYS_readlinkat, AT, at(c"/"), 0, 0; from "image"),
    killed!("openat2 of an image", libc::SYS_openat2, AT, at(c"/"), 0, 0; from "image"),
    killed!("folders of an image", libc::SYS_getdents64, 0, 0, 0; from "image"),
    killed!("unlink of an image", libc::SYS_unlinkat, AT, at(c"/file"), 0; from "image"),
    killed!("mode of a pack", libc::SYS_fchmod, 0, 0o666; from "image"),
    killed!("length of a pack", libc::SYS_ftruncate, 0, 0; from "image"),
    // Files of a disk are open, and no other is reached.
    killed!("open of a disk", libc::SYS_openat, AT, at(c"/"), 0, 0; from "disk" "writable disk" "network"),
    killed!("openat2 of a disk", libc::SYS_openat2, AT, at(c"/"), 0, 0; from "disk" "writable disk" "network"),
    killed!("status of a path", libc::SYS_newfstatat, AT, at(c"/"), 0, 0; from "disk" "writable disk" "network"),
    killed!("link of a descriptor", libc::SYS_linkat, 6, at(c""), AT, at(c"/x"), 0x1000; from "disk" "writable disk"),
    killed!("length of a disk", libc::SYS_ftruncate, 6, 0; from "disk" "writable disk"),
    killed!("mode of a disk", libc::SYS_fchmod, 6, 0o777; from "disk" "writable disk"),
    killed!("owner of a disk", libc::SYS_fchown, 6, 1, 1; from "disk" "writable disk"),
    killed!("attributes of a disk", libc::SYS_fsetxattr, 6, at(c"user.x"), at(c"x"), 1, 0; from "disk" "writable disk"),
    killed!("pwrite of a disk", libc::SYS_pwrite64, 6, at(c"x"), 1, 0; from "disk"),
    killed!("pwritev of a disk", libc::SYS_pwritev, 6, 0, 0, 0; from "disk"),
    killed!("hole in a disk", libc::SYS_fallocate, 6, 3, 0, 4096; from "disk"),
    killed!("pwrite of an image", libc::SYS_pwrite64, 0, at(c"x"), 1, 0; from "image"),
    // Other processes.
    killed!("ptrace attach", libc::SYS_ptrace, libc::PTRACE_ATTACH, 1, 0, 0),
    killed!("ptrace traceme", libc::SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0),
    killed!("process_vm_readv", libc::SYS_process_vm_readv, 1, 0, 0, 0, 0, 0),
    killed!("process_vm_writev", libc::SYS_process_vm_writev, 1, 0, 0, 0, 0, 0),
    killed!("process_madvise", libc::SYS_process_madvise, 0, 0, 0, 0, 0),
    killed!("pidfd_open", libc::SYS_pidfd_open, 1, 0),
    killed!("pidfd_getfd", libc::SYS_pidfd_getfd, 0, 0, 0),
    killed!("kcmp", libc::SYS_kcmp, 1, 1, 0, 0, 0),
    killed!("kill", libc::SYS_kill, -1_isize, 0),
    killed!("tkill", libc::SYS_tkill, 1, 0),
    killed!("tgkill of another", libc::SYS_tgkill, 2, 2, 0),
    killed!("prlimit", libc::SYS_prlimit64, 1, 7, 0, 0),
    // Programs and processes.
    killed!("execve", libc::SYS_execve, at(c"/bin/sh"), 0, 0),
    killed!("execveat", libc::SYS_execveat, AT, at(c"/bin/sh"), 0, 0, 0),
    killed!("fork", libc::SYS_fork),
    killed!("vfork", libc::SYS_vfork),
    killed!("clone", libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0),
    refused!("clone3", || call(libc::SYS_clone3, [0; 6])),
    killed!("memory that runs", libc::SYS_mmap, 0, 4096, 5, 0x22, -1_isize, 0),
    killed!("memory made to run", libc::SYS_mprotect, 0, 0, 4),
    killed!("pkey_mprotect", libc::SYS_pkey_mprotect, 0, 0, 4, 0),
    killed!("memfd_create", libc::SYS_memfd_create, at(c"x"), 0),
    killed!("personality", libc::SYS_personality, 0x0040_0000),
    // Namespaces and mounts.
    killed!("unshare user", libc::SYS_unshare, libc::CLONE_NEWUSER),
    killed!("unshare mounts", libc::SYS_unshare, libc::CLONE_NEWNS),
    killed!("clone into a namespace", libc::SYS_clone, libc::CLONE_NEWUSER | libc::CLONE_THREAD, 0, 0, 0, 0),
    killed!("setns", libc::SYS_setns, 0, 0),
    killed!("mount", libc::SYS_mount, at(c"none"), at(c"/"), at(c"tmpfs"), 0, 0),
    killed!("umount", libc::SYS_umount2, at(c"/"), libc::MNT_DETACH),
    killed!("pivot_root", libc::SYS_pivot_root, at(c"/"), at(c"/")),
    killed!("open_tree", libc::SYS_open_tree, AT, at(c"/"), 1),
    killed!("move_mount", libc::SYS_move_mount, AT, at(c"/"), AT, at(c"/"), 0),
    killed!("fsopen", libc::SYS_fsopen, at(c"tmpfs"), 0),
    killed!("fsmount", libc::SYS_fsmount, 0, 0, 0),
    killed!("mount_setattr", libc::SYS_mount_setattr, AT, at(c"/"), 0, 0, 0),
    // The network, and ways to other programs.
    killed!("socket inet", libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0; from "folder" "host"
        "folder with the guest's ids" "image" "writable disk"),
    killed!("socket unix", libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0),
    killed!("socket vsock", libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    killed!("socket netlink", libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 0),
    killed!("socket packet", libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0),
    killed!("socketpair", libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, 0),
    killed!("connect", libc::SYS_connect, 0, 0, 0; from "folder" "host" "folder with the guest's ids" "image" "disk"
        "writable disk"),
    killed!("listen", libc::SYS_listen, 0, 1; from "disk" "writable disk" "network"),
    killed!("accept", libc::SYS_accept, 0, 0, 0; from "disk" "writable disk" "network"),
    killed!("accept4", libc::SYS_accept4, 0, 0, 0, 0; from "network"),
    refused!("raw sockets", make_raw_sockets, from "network"),
    killed!("bind", libc::SYS_bind, 0, 0, 0),
    killed!("shmget", libc::SYS_shmget, 0, 4096, 0o1600),
    killed!("msgget", libc::SYS_msgget, 0, 0o1600),
    killed!("mq_open", libc::SYS_mq_open, at(c"x"), 0, 0, 0),
    killed!("terminal input", libc::SYS_ioctl, 0, TERMINAL_INPUT, at(c"x")),
    killed!("ioctl", libc::SYS_ioctl, 2, BYTES_TO_READ, 0),
    killed!("signals by fcntl", libc::SYS_fcntl, 0, libc::F_SETOWN, 1),
    killed!("lease", libc::SYS_fcntl, 0, libc::F_SETLEASE, 0),
    // The kernel.
    killed!("bpf", libc::SYS_bpf, 0, 0, 0),
    killed!("perf_event_open", libc::SYS_perf_event_open, 0, 0, -1_isize, -1_isize, 0),
    killed!("keyctl", libc::SYS_keyctl, 0, 0, 0, 0, 0),
    killed!("add_key", libc::SYS_add_key, 0, 0, 0, 0, 0),
    killed!("userfaultfd", libc::SYS_userfaultfd, 1),
    killed!("io_uring_setup", libc::SYS_io_uring_setup, 1, 0),
    killed!("init_module", libc::SYS_init_module, 0, 0, at(c"")),
    killed!("finit_module", libc::SYS_finit_module, 0, at(c""), 0),
    killed!("delete_module", libc::SYS_delete_module, at(c"none"), 0),
    killed!("kexec_load", libc::SYS_kexec_load, 0, 0, 0, 0),
    killed!("reboot", libc::SYS_reboot, 0, 0, 0, 0),
    killed!("swapon", libc::SYS_swapon, at(c"/file"), 0),
    killed!("quotactl", libc::SYS_quotactl, 0, 0, 0, 0),
    killed!("acct", libc::SYS_acct, at(c"/file")),
    killed!("syslog", libc::SYS_syslog, 3, 0, 0),
    killed!("fanotify_init", libc::SYS_fanotify_init, 0, 0),
    killed!("inotify_init", libc::SYS_inotify_init1, 0),
    killed!("sethostname", libc::SYS_sethostname, at(c"x"), 1),
    killed!("clock_settime", libc::SYS_clock_settime, 0, 0),
    killed!("iopl", libc::SYS_iopl, 3),
    killed!("modify_ldt", libc::SYS_modify_ldt, 0, 0, 0),
    killed!("setpriority", libc::SYS_setpriority, 0, 0, 0),
    killed!("another numbering", 0x4000_0000 | libc::SYS_getpid),
    Attempt { name: "a 32-bit call", end: End::Killed, from: &[], act: call_as_32_bit },
    // Itself.
    killed!("setuid", libc::SYS_setuid, 0),
    killed!("setgid", libc::SYS_setgid, 0),
    killed!("setgroups", libc::SYS_setgroups, 0, 0),
    killed!("setresuid", libc::SYS_setresuid, 1, 1, 1; from "folder" "host"),
    killed!("fchownat", libc::SYS_fchownat, AT, at(c"/file"), 1, 1, 0; from "folder" "host"),
    killed!("capset", libc::SYS_capset, 0, 0),
    killed!("dumpable", libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
    killed!("securebits", libc::SYS_prctl, libc::PR_SET_SECUREBITS, 0, 0, 0, 0),
    killed!("ambient capabilities", libc::SYS_prctl, libc::PR_CAP_AMBIENT, 4, 0, 0, 0),
    killed!("death signal", libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0),
    killed!("seccomp by prctl", libc::SYS_prctl, libc::PR_SET_SECCOMP, 2, 0, 0, 0),
    killed!("seccomp", libc::SYS_seccomp, 1, 0, 0),
    killed!("landlock", libc::SYS_landlock_create_ruleset, 0, 0, 1),
];
