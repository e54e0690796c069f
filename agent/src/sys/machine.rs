//! The machine as a whole: modules, clock, entropy, host name, loopback, limits, power.

#![expect(unsafe_code, reason = "system calls of the superuser that the standard library lacks")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// Loads a kernel module from a file; one that is there already is fine.
pub(crate) fn load_module(module: &File) -> io::Result<()> {
    // SAFETY: the parameters are an empty C string, and the descriptor is open.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), 0) };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        error => Err(error),
    }
}

/// Sets the wall clock, in nanoseconds since 1970.
pub(crate) fn set_clock(unix_ns: u64) -> io::Result<()> {
    const SECOND: u64 = 1_000_000_000;
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(unix_ns / SECOND).map_err(|_| io::ErrorKind::InvalidInput)?,
        tv_nsec: libc::c_long::try_from(unix_ns % SECOND).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    // SAFETY: `time` lives over the call.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) }).map(drop)
}

/// Mixes bytes into the kernel's random numbers and counts them as full entropy.
pub(crate) fn add_entropy(seed: &[u8]) -> io::Result<()> {
    // <linux/random.h>: _IOW('R', 0x03, int[2])
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    let size = i32::try_from(seed.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let bits = size.checked_mul(8).ok_or(io::ErrorKind::InvalidInput)?;
    let mut pool = Vec::with_capacity(8 + seed.len());
    pool.extend(bits.to_ne_bytes());
    pool.extend(size.to_ne_bytes());
    pool.extend(seed);
    let random = File::options().write(true).open("/dev/urandom")?;
    // SAFETY: `pool` has the form of `struct rand_pool_info`: two ints, the second of which is the length of the rest.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, pool.as_ptr()) }).map(drop)
}

/// Sets the host name.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length are those of one string.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Brings the loopback interface up.
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    // SAFETY: no pointers.
    let raw = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel just returned `raw`, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all bytes zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        *place = byte.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(up).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the request reads an `ifreq`, which `request` is, with a name that ends with zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }).map(drop)
}

/// Sets how many files the agent may have open, and what its commands may raise their own limit to.
pub(crate) fn set_open_files_limit(limit: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: `limit` lives over the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}

/// Makes a write to a closed connection an error instead of a signal.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: ignoring needs no handler; the call fails for unknown signals only.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Writes back the file system that an open file is on.
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open over the call.
    check(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Powers the machine off. It is for PID 1 only; elsewhere it ends the process.
pub(crate) fn power_off() -> ! {
    if std::process::id() == 1 {
        // SAFETY: no pointers.
        unsafe { libc::reboot(libc::RB_POWER_OFF) };
        // SAFETY: no pointers. Only a machine that cannot power off comes here, and its engine ends at a reboot.
        unsafe { libc::reboot(libc::RB_AUTOBOOT) };
    }
    std::process::abort()
}
