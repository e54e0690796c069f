//! Measures `up` on one machine that runs `true` on the host's root against its floor: bare QEMU booting the same
//! kernel with an init that powers off at once. The two are interleaved, so that both see the same computer.
//!
//! `make bench` runs it; `-- RUNS` sets how often (10 by default). Prints medians and keeps every run as a line of
//! JSON in `bench-up.jsonl` below the build's temporary folder.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use smolvm::host::{self, KvmVerdict, find_qemu, kvm};
use smolvm::image::initramfs;
use smolvm::image::kernel::{self, KernelRequest};

const PROJECT: &str = "\
name: bench
machines: { one: {} }
steps: [{ run: [\"true\"] }]
";

/// A program whose only act is `reboot(2)` with `LINUX_REBOOT_CMD_POWER_OFF`.
fn power_off_program() -> Vec<u8> {
    let code: [u8; 28] = [
        0xb8, 169, 0, 0, 0, // mov eax, SYS_reboot
        0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, 0xfee1dead
        0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, 0x28121969
        0xba, 0xdc, 0xfe, 0x21, 0x43, // mov edx, 0x4321fedc
        0x0f, 0x05, // syscall
        0xf4, 0xf4, 0xf4, 0xf4, 0xf4, 0xf4, // never reached
    ];
    let (base, start) = (0x40_0000_u64, 120_u64);
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    file.extend((base + start).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let length = start + code.len() as u64;
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, base, base, length, length, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

/// With which parameters bare QEMU boots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tuning {
    /// Those without which a boot under emulation may not end; one CPU.
    Plain,
    /// All that smolvm gives, and as many CPUs.
    AsSmolvm,
}

/// The floor: what booting costs without us.
struct Floor {
    program: PathBuf,
    args: Vec<String>,
}

impl Floor {
    fn new(cache: &Path, tuning: Tuning) -> Floor {
        let kernel = kernel::resolve(&KernelRequest::Auto, None, cache, &mut |words: &str| println!("{words}"));
        let kernel = kernel.expect("a kernel is to be had");
        let initrd = initramfs::build(&kernel, &power_off_program(), &[], cache).expect("the cache can be written");
        let has_kvm = kvm() == KvmVerdict::Usable;
        let (accel, cpu) = if has_kvm { ("kvm", "host") } else { ("tcg,thread=multi", "max,svm=off,aes=off") };
        let clock = if has_kvm { String::new() } else { clock_parameters() };
        let (cpus, tuned) = match tuning {
            Tuning::Plain => (1, ""),
            Tuning::AsSmolvm => (host::facts().cpus.min(2), "cryptomgr.notests=1 init_on_alloc=0 "),
        };
        let args = [
            ("-machine", "microvm,acpi=on,pic=on,pit=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off".to_owned()),
            ("-accel", accel.to_owned()),
            ("-cpu", cpu.to_owned()),
            ("-m", "1024M".to_owned()),
            ("-smp", cpus.to_string()),
            ("-display", "none".to_owned()),
            ("-kernel", kernel.boot_file.display().to_string()),
            ("-initrd", initrd.display().to_string()),
            ("-append", format!("{tuned}quiet panic=-1 reboot=a {clock}")),
        ];
        let mut args: Vec<String> = args.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        args.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
        Floor { program: find_qemu().expect("QEMU is installed"), args }
    }

    fn run(&self) -> f64 {
        let start = Instant::now();
        let status = Command::new(&self.program).args(&self.args).stdin(Stdio::null()).status();
        assert!(status.expect("QEMU runs").success(), "bare QEMU failed");
        start.elapsed().as_secs_f64()
    }
}

/// Without the frequency a guest under emulation measures it, which takes long and may never end.
fn clock_parameters() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let megahertz = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1)?.trim().parse().ok());
    let kilohertz = megahertz.map(|value: f64| format!("tsc_early_khz={:.0} ", value * 1000.0)).unwrap_or_default();
    format!("{kilohertz}tsc=reliable no_timer_check")
}

/// One `up`: its wall time, and when each phase was reached.
fn run_up(project: &Path, cache: &Path) -> (f64, BTreeMap<String, f64>) {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_smolvm"))
        .args(["up", "--progress", "json"])
        .current_dir(project)
        .env("XDG_CACHE_HOME", cache)
        .env("XDG_STATE_HOME", project.join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("smolvm runs");
    let wall = start.elapsed().as_secs_f64();
    assert!(output.status.success(), "smolvm failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut phases = BTreeMap::new();
    for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let name = match event["event"].as_str() {
            Some("machine") => event["phase"].as_str().unwrap_or_default(),
            Some(name @ ("step-started" | "step-finished" | "run-finished")) => name,
            _ => continue,
        };
        phases.insert(name.to_owned(), event["t"].as_f64().unwrap_or_default());
    }
    (wall, phases)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The phases in the order of their medians, each with the time since the one before.
fn print_phases(runs: &[(f64, BTreeMap<String, f64>)]) {
    let mut names: Vec<&String> = runs[0].1.keys().collect();
    let at = |name: &str| median(runs.iter().filter_map(|(_, phases)| phases.get(name).copied()));
    names.sort_by(|a, b| at(a).total_cmp(&at(b)));
    let mut before = 0.0;
    for name in names {
        println!("  {name:<14} at {:6.3} s  (+{:.3})", at(name), at(name) - before);
        before = at(name);
    }
}

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10_usize);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-up");
    fs::create_dir_all(&folder).expect("the build's folder can be written");
    fs::write(folder.join("smolvm.yaml"), PROJECT).expect("the build's folder can be written");
    let cache = folder.join("smolvm");
    let (floor, tuned_floor) = (Floor::new(&cache, Tuning::Plain), Floor::new(&cache, Tuning::AsSmolvm));
    // Once each for nothing: files are read into memory, the cache is filled.
    floor.run();
    tuned_floor.run();
    run_up(&folder, &folder);
    let log = folder.with_file_name("bench-up.jsonl");
    let mut raw = fs::File::options().create(true).append(true).open(&log).expect("the build's folder can be written");
    let (mut floors, mut tuned_floors, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        floors.push(floor.run());
        tuned_floors.push(tuned_floor.run());
        runs.push(run_up(&folder, &folder));
        if let (Some(bare), Some((wall, phases))) = (floors.last(), runs.last()) {
            let line = json!({ "floor": bare, "tuned_floor": tuned_floors.last(), "up": wall, "phases": phases });
            writeln!(raw, "{line}").expect("the build's folder can be written");
        }
    }
    let (bare, tuned, up) = (median(floors), median(tuned_floors), median(runs.iter().map(|(wall, _)| *wall)));
    let own = runs.iter().map(|(wall, phases)| {
        let at = |name: &str| phases.get(name).copied().unwrap_or_default();
        at("booting") + (wall - at("stopped"))
    });
    println!("{count} runs each, medians, whole processes:");
    println!("  floor, bare QEMU   {bare:6.3} s");
    println!("  the same, tuned    {tuned:6.3} s  (smolvm's kernel parameters and CPUs)");
    println!(
        "  smolvm up          {up:6.3} s  {:.2} times the floor, {:.2} times the tuned one",
        up / bare,
        up / tuned
    );
    println!("  smolvm's own share {:6.0} ms (start to QEMU's exec, QEMU's exit to ours)", median(own) * 1000.0);
    println!("phases of up:");
    print_phases(&runs);
    println!("every run: {}", log.display());
}
