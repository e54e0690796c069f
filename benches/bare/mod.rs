//! What benches have in common: bare QEMU with the kernel that smolvm boots, programs made by the C compiler, figures.
//! Deliberately not here: what is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smolvm::host::{KvmVerdict, find_qemu, kvm};
use smolvm::image::initramfs;
use smolvm::image::kernel::{self, KernelRequest};

/// The cache of whoever measures: the kernel is there.
pub(crate) fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from).expect("HOME is set").join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}

/// An empty folder below the build's temporary one.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("bin")).expect("the build's folder can be written");
    folder
}

/// Makes a program of `benches` that runs anywhere.
pub(crate) fn compile(source: &str, program: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(source);
    let made = Command::new("cc").args(["-O2", "-static", "-o"]).arg(program).arg(source).status();
    assert!(made.expect("a C compiler is installed").success(), "`{}` cannot be made", program.display());
}

/// Bare QEMU with one CPU, smolvm's kernel parameters, `program` as its first process with these words, and these
/// modules. Devices are the caller's; what the guest says is on standard output.
pub(crate) fn qemu(program: &Path, words: &str, modules: &[&str]) -> Command {
    let cache = cache().join("smolvm");
    let kernel = kernel::resolve(&KernelRequest::Auto, None, &cache, &mut |words: &str| println!("{words}"));
    let kernel = kernel.expect("a kernel is to be had");
    let program = fs::read(program).expect("the program was made");
    let initrd = initramfs::build(&kernel, &program, modules, &cache).expect("the cache can be written");
    let (accel, cpu, clock) = match kvm() == KvmVerdict::Usable {
        true => ("kvm", "host", ""),
        false => {
            ("tcg,thread=multi", "max,svm=off,aes=off,pclmulqdq=off,erms=off,fsrm=off", "tsc=reliable no_timer_check")
        }
    };
    let mut command = Command::new(find_qemu().expect("QEMU is installed"));
    command.args(["-machine", "microvm,acpi=on,pic=on,pit=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off"]);
    command.args(["-accel", accel, "-cpu", cpu, "-m", "512M", "-smp", "1", "-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(&kernel.boot_file).arg("-initrd").arg(initrd);
    let quiet = "cryptomgr.notests=1 init_on_alloc=0 quiet panic=-1 reboot=a";
    command.arg("-append").arg(format!("console=ttyS0 {quiet} {clock}{} -- {words}", khz()));
    command.args(["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config", "-no-reboot"]);
    command.stdin(Stdio::null());
    command
}

/// Without the frequency a guest under emulation may never end measuring it.
fn khz() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let megahertz = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1)?.trim().parse().ok());
    megahertz.map(|value: f64| format!(" tsc_early_khz={:.0}", value * 1000.0)).unwrap_or_default()
}

/// The value below which this part of them lies; the nearest one.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "few values"
    )]
    let place = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[place]
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}
