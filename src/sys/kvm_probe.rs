//! Asks `/dev/kvm` whether it runs ring 0 code at the speed of the processor, with a guest of four instructions.
//!
//! The device may exist and yet not run kernels at speed: a paravirtual KVM emulates them one instruction at a time,
//! a thousand times slower. The micro guest counts down in 64-bit ring 0, and the same loop runs on the host; the
//! ratio of the two tells, whatever the speed of the machine. Deliberately not here: which engine follows from it.

#![expect(unsafe_code, reason = "a guest's memory is handed to the kernel, and the loop is machine code")]

use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use rustix::fs::{Mode, OFlags};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryMmap};

/// Times slower than the host from which on a KVM is not worth having: software emulation is 10 to 30 times slower.
const SLOWDOWN_MAX: u32 = 50;
/// Longest that the whole probe may take; it is a hundred times what a working one needs.
const DEADLINE: Duration = Duration::from_secs(2);
/// A count that takes this long is long enough to judge by.
const ENOUGH: Duration = Duration::from_millis(1);
/// Counts that are tried, until one is long enough.
const COUNTS: [u64; 3] = [1_000, 10_000, 100_000];
/// Each is measured so often, and the best counts: the host may have other things to do.
const REPEATS: usize = 3;

const MEMORY: usize = 0x8000;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PAGE_DIRECTORY: u64 = 0x3000;
const CODE: u64 = 0x4000;
/// `dec rcx; jnz -5; hlt`
const LOOP: [u8; 6] = [0x48, 0xff, 0xc9, 0x75, 0xfb, 0xf4];

/// What `/dev/kvm` is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmVerdict {
    /// It runs guests at the speed of the processor.
    Usable,
    /// There is no such device.
    Absent,
    /// We may not open it.
    NoPermission,
    /// It runs ring 0 code so many times slower than the host itself.
    TooSlow {
        /// How many times.
        slowdown: u32,
    },
    /// It is there and does not work; the text says what failed.
    Broken {
        /// What failed, with the reason.
        why: String,
    },
}

/// Probes `/dev/kvm`. Takes some milliseconds, and two seconds at most.
pub fn kvm_probe() -> KvmVerdict {
    let device = match rustix::fs::open("/dev/kvm", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(device) => device,
        Err(error) => return cannot_open(error.into()),
    };
    probe_within(DEADLINE, move || measure(device))
}

fn cannot_open(error: io::Error) -> KvmVerdict {
    match error.kind() {
        io::ErrorKind::NotFound => KvmVerdict::Absent,
        io::ErrorKind::PermissionDenied => KvmVerdict::NoPermission,
        // ENODEV, ENXIO: a device node with no driver behind it.
        _ if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => KvmVerdict::Absent,
        _ => KvmVerdict::Broken { why: format!("cannot open `/dev/kvm`: {error}") },
    }
}

/// Runs the measurement in a thread of its own, so that a KVM which never returns does not take us with it.
fn probe_within(deadline: Duration, measure: impl FnOnce() -> Result<u32, ProbeError> + Send + 'static) -> KvmVerdict {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::Builder::new().name("kvm-probe".to_owned()).spawn(move || send.send(measure()));
    if let Err(error) = thread {
        return KvmVerdict::Broken { why: format!("cannot start a thread: {error}") };
    }
    match receive.recv_timeout(deadline) {
        Ok(Ok(slowdown)) if slowdown <= SLOWDOWN_MAX => KvmVerdict::Usable,
        Ok(Ok(slowdown)) => KvmVerdict::TooSlow { slowdown },
        Ok(Err(error)) => KvmVerdict::Broken { why: error.to_string() },
        Err(_) => KvmVerdict::Broken { why: format!("a guest of four instructions did not end within {deadline:?}") },
    }
}

/// Which part of making and running the guest failed.
#[derive(Debug)]
struct ProbeError {
    what: &'static str,
    why: String,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.why)
    }
}

fn failed<E: fmt::Display>(what: &'static str) -> impl Fn(E) -> ProbeError {
    move |error| ProbeError { what, why: error.to_string() }
}

/// How many times slower the guest counts than the host.
fn measure(device: OwnedFd) -> Result<u32, ProbeError> {
    // SAFETY: the descriptor is that of `/dev/kvm`, open, and given away here.
    let kvm = unsafe { Kvm::from_raw_fd(device.into_raw_fd()) };
    let (memory, mut guest) = build_guest(&kvm)?;
    // The first entry pays for page faults.
    run_guest(&mut guest, 1)?;
    let mut slowdown = 0;
    for count in COUNTS {
        let mut best = Duration::MAX;
        for _ in 0..REPEATS {
            best = best.min(run_guest(&mut guest, count)?);
        }
        let native = (0..REPEATS).map(|_| run_native(count)).min().unwrap_or_default();
        let ratio = best.as_nanos() / native.as_nanos().max(1);
        slowdown = u32::try_from(ratio).unwrap_or(u32::MAX);
        if best >= ENOUGH {
            break;
        }
    }
    drop(guest);
    drop(memory);
    Ok(slowdown)
}

/// A VM with one vCPU in 64-bit mode, its first 2 MiB mapped onto themselves.
fn build_guest(kvm: &Kvm) -> Result<(GuestMemoryMmap, VcpuFd), ProbeError> {
    let vm = kvm.create_vm().map_err(failed("make a VM"))?;
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).map_err(failed("map memory"))?;
    // Present and writable, and for the last level: 2 MiB at once.
    for (at, entry) in [(PML4, PDPT | 0x3), (PDPT, PAGE_DIRECTORY | 0x3), (PAGE_DIRECTORY, 0x83)] {
        memory.write_slice(&entry.to_le_bytes(), GuestAddress(at)).map_err(failed("write page tables"))?;
    }
    memory.write_slice(&LOOP, GuestAddress(CODE)).map_err(failed("write code"))?;
    let host = memory.get_host_address(GuestAddress(0)).map_err(failed("map memory"))?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: MEMORY as u64,
        userspace_addr: host as u64,
    };
    // SAFETY: the mapping is `MEMORY` bytes long and is returned to the caller, who drops the vCPU first.
    unsafe { vm.set_user_memory_region(region) }.map_err(failed("give the VM its memory"))?;
    let vcpu = vm.create_vcpu(0).map_err(failed("make a vCPU"))?;
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(failed("read CPUID"))?;
    vcpu.set_cpuid2(&cpuid).map_err(failed("set CPUID"))?;
    let mut special = vcpu.get_sregs().map_err(failed("read registers"))?;
    let segment = |kind: u8, long: u8| kvm_segment {
        limit: 0xffff_ffff,
        selector: u16::from(kind == 0xb) * 8 + 8,
        type_: kind,
        present: 1,
        s: 1,
        l: long,
        db: 1 - long,
        g: 1,
        ..kvm_segment::default()
    };
    special.cs = segment(0xb, 1);
    special.ds = segment(0x3, 0);
    (special.es, special.ss, special.fs, special.gs) = (special.ds, special.ds, special.ds, special.ds);
    special.cr3 = PML4;
    // PAE; protection, numeric errors, paging; long mode enabled and active.
    (special.cr4, special.cr0, special.efer) = (0x20, 0x8000_0031, 0x500);
    vcpu.set_sregs(&special).map_err(failed("set registers"))?;
    Ok((memory, vcpu))
}

/// Lets the guest count down and halt.
fn run_guest(guest: &mut VcpuFd, count: u64) -> Result<Duration, ProbeError> {
    let registers = kvm_regs { rip: CODE, rcx: count, rflags: 2, ..kvm_regs::default() };
    guest.set_regs(&registers).map_err(failed("set registers"))?;
    let start = Instant::now();
    loop {
        match guest.run() {
            Ok(VcpuExit::Hlt) => return Ok(start.elapsed()),
            Ok(VcpuExit::Intr) => {}
            Ok(other) => return Err(ProbeError { what: "run a guest", why: format!("it ended with {other:?}") }),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {}
            Err(error) => return Err(failed("run a guest")(error)),
        }
    }
}

/// The same loop on the host.
fn run_native(count: u64) -> Duration {
    let start = Instant::now();
    // SAFETY: counts a register down to zero; touches no memory.
    unsafe {
        std::arch::asm!("2:", "dec {count}", "jnz 2b", count = inout(reg) count => _, options(nomem, nostack));
    }
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_ends_with_a_verdict_in_time() {
        let start = Instant::now();
        let verdict = kvm_probe();
        assert!(start.elapsed() < DEADLINE * 2, "{verdict:?}");
        assert!(!matches!(verdict, KvmVerdict::TooSlow { slowdown } if slowdown <= SLOWDOWN_MAX));
    }

    #[test]
    fn guest_that_never_ends_is_given_up() {
        let (_keep, never) = mpsc::channel::<()>();
        let verdict = probe_within(Duration::from_millis(20), move || {
            let _ = never.recv();
            Ok(1)
        });
        assert!(matches!(verdict, KvmVerdict::Broken { why } if why.contains("did not end within 20ms")));
    }

    #[test]
    fn slowdown_decides() {
        assert_eq!(probe_within(DEADLINE, || Ok(SLOWDOWN_MAX)), KvmVerdict::Usable);
        assert_eq!(probe_within(DEADLINE, || Ok(1000)), KvmVerdict::TooSlow { slowdown: 1000 });
    }

    #[test]
    fn each_failure_to_open_has_its_verdict() {
        let verdict = |errno| cannot_open(io::Error::from_raw_os_error(errno));
        assert_eq!(verdict(libc::ENOENT), KvmVerdict::Absent);
        assert_eq!(verdict(libc::ENXIO), KvmVerdict::Absent);
        assert_eq!(verdict(libc::EACCES), KvmVerdict::NoPermission);
        assert!(matches!(verdict(libc::EMFILE), KvmVerdict::Broken { .. }));
    }

    #[test]
    fn longer_counts_take_longer_on_the_host() {
        let short = (0..20).map(|_| run_native(1_000)).min();
        let long = (0..20).map(|_| run_native(1_000_000)).min();
        assert!(short < long);
    }
}
