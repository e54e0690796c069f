//! Measures how many synced writes a second a disk takes: `/workspace` of a machine against the same file system as a
//! plain virtio disk of QEMU in bare QEMU. The two are interleaved, so that both see the same computer.
//!
//! `make bench` runs it; `-- RUNS` sets how often (5 by default). Both files are below the build's temporary folder. The program that
//! writes is `fsync.c`, which the C compiler makes. Prints medians.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use smolvm::image::initramfs::STORAGE_MODULES;
use smolvm::storage::{DiskName, Storage};
use smolvm::sys::identity::Actor;

mod bare;

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

/// Bare QEMU with the disk.
fn bare(writer: &Path, disk: &Path) -> Command {
    let mut command = bare::qemu(writer, "", &STORAGE_MODULES);
    command.arg("-drive").arg(format!("file={},format=raw,if=none,id=disk,discard=unmap", disk.display()));
    command.args(["-device", "virtio-blk-device,drive=disk"]);
    command
}

fn main() {
    let runs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(5_usize);
    let folder = bare::folder("bench-disks");
    fs::write(folder.join("smolvm.yaml"), PROJECT).expect("the build's folder can be written");
    let writer = folder.join("bin/fsync");
    bare::compile("fsync.c", &writer);
    let cache = bare::cache();
    let storage = Storage::new(&folder, Actor::Own);
    let name = DiskName::Volume("bare".to_owned());
    drop(storage.open(&name, None, false, "bench").expect("a disk can be made"));
    let disk = folder.join("volumes/bare.img");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let own = workspace(&folder, &cache);
        let output = bare(&writer, &disk).output().expect("QEMU runs");
        let other = rate(&output.stdout);
        println!("/workspace {own:.0}, QEMU's virtio-blk {other:.0} synced writes/s");
        // The first run makes what later ones find.
        if run > 0 {
            ours.push(own);
            theirs.push(other);
        }
    }
    let (own, other) = (bare::median(&ours), bare::median(&theirs));
    println!("{BLOCKS} blocks of 4 KiB, each synced, medians of {runs}: /workspace {own:.0}/s, bare {other:.0}/s");
    println!("times bare QEMU: {:.2}", own / other);
}
