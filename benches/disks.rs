//! Measures how many synced writes a second a disk takes: `/workspace` of a machine against the same file system as a
//! plain virtio disk of QEMU in bare QEMU. The two are interleaved, so that both see the same computer.
//!
//! `make bench` runs it; `-- RUNS` sets how often (5 by default). Both files are below the build's temporary folder. The program that
//! writes is `fsync.c`, which the C compiler makes. Prints medians.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use smolvm::host::{KvmVerdict, find_qemu, kvm};
use smolvm::image::initramfs::{self, STORAGE_MODULES};
use smolvm::image::kernel::{self, KernelRequest};
use smolvm::storage::{DiskName, Storage};
use smolvm::sys::identity::Actor;

/// Blocks of 4096 bytes that each run writes.
const BLOCKS: u32 = 1000;

const PROJECT: &str = "\
name: bench
machines: { one: { cpus: 1, memory: 512MiB, mounts: [\"./bin:/bench:ro\"] } }
steps: [{ run: [/bench/fsync, /workspace/bench, \"1000\"] }]
";

/// What the writer said.
fn rate(said: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(said).into_owned();
    let rate = text.lines().find_map(|line| line.split_once("rate ")?.1.trim().parse().ok());
    rate.unwrap_or_else(|| panic!("no rate in: {text}"))
}

fn workspace(project: &Path, cache: &Path) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm"));
    command.args(["up", "--progress", "plain"]).current_dir(project);
    command.env("XDG_CACHE_HOME", cache).env("XDG_STATE_HOME", project.join("state"));
    let output = command.stdin(Stdio::null()).output().expect("smolvm runs");
    rate(&[output.stdout, output.stderr].concat())
}

/// Bare QEMU: program and arguments.
fn bare(writer: &Path, disk: &Path, cache: &Path) -> Command {
    let kernel = kernel::resolve(&KernelRequest::Auto, None, cache, &mut |words: &str| println!("{words}"));
    let kernel = kernel.expect("a kernel is to be had");
    let program = fs::read(writer).expect("the writer was made");
    let initrd = initramfs::build(&kernel, &program, &STORAGE_MODULES, cache).expect("the cache can be written");
    let (accel, cpu, clock) = match kvm() == KvmVerdict::Usable {
        true => ("kvm", "host", ""),
        // As smolvm gives them.
        false => {
            ("tcg,thread=multi", "max,svm=off,aes=off,pclmulqdq=off,erms=off,fsrm=off", "tsc=reliable no_timer_check")
        }
    };
    let mut command = Command::new(find_qemu().expect("QEMU is installed"));
    command.args(["-machine", "microvm,acpi=on,pic=on,pit=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off"]);
    command.args(["-accel", accel, "-cpu", cpu, "-m", "512M", "-smp", "1", "-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(&kernel.boot_file).arg("-initrd").arg(initrd);
    let quiet = "cryptomgr.notests=1 init_on_alloc=0 quiet panic=-1 reboot=a";
    command.arg("-append").arg(format!("console=ttyS0 {quiet} {clock}{}", khz()));
    command.args(["-global", "virtio-mmio.force-legacy=false"]);
    command.arg("-drive").arg(format!("file={},format=raw,if=none,id=disk,discard=unmap", disk.display()));
    command.args(["-device", "virtio-blk-device,drive=disk", "-nodefaults", "-no-user-config", "-no-reboot"]);
    command.stdin(Stdio::null());
    command
}

/// Without the frequency a guest under emulation may never end measuring it.
fn khz() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let megahertz = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1)?.trim().parse().ok());
    megahertz.map(|value: f64| format!(" tsc_early_khz={:.0}", value * 1000.0)).unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(5_usize);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-disks");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("bin")).expect("the build's folder can be written");
    fs::write(folder.join("smolvm.yaml"), PROJECT).expect("the build's folder can be written");
    let writer = folder.join("bin/fsync");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fsync.c");
    let made = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&writer).arg(source).status();
    assert!(made.expect("a C compiler is installed").success(), "the writer cannot be made");
    let home = std::env::var_os("HOME").map(PathBuf::from).expect("HOME is set").join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home, PathBuf::from);
    let storage = Storage::new(&folder, Actor::Own);
    let name = DiskName::Volume("bare".to_owned());
    drop(storage.open(&name, None, false, "bench").expect("a disk can be made"));
    let disk = folder.join("volumes/bare.img");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let own = workspace(&folder, &cache);
        let output = bare(&writer, &disk, &cache.join("smolvm")).output().expect("QEMU runs");
        let other = rate(&output.stdout);
        println!("/workspace {own:.0}, QEMU's virtio-blk {other:.0} synced writes/s");
        // The first run makes what later ones find.
        if run > 0 {
            ours.push(own);
            theirs.push(other);
        }
    }
    let (own, other) = (median(ours), median(theirs));
    println!("{BLOCKS} blocks of 4 KiB, each synced, medians of {runs}: /workspace {own:.0}/s, bare {other:.0}/s");
    println!("times bare QEMU: {:.2}", own / other);
}
