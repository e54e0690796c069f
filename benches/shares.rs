//! Measures shares beside those of virtme-ng: 256 MiB written and read, 5,000 small files unpacked, listed and removed,
//! `git status`. Every system runs the same script (`rows.sh`) with the same CPUs and memory, on folders beside each
//! other; the rounds are interleaved, so that all see the same computer. The guest's own tmpfs is the floor.
//!
//! `make bench` runs it; `-- ROUNDS` sets how often (3 by default). Prints medians and keeps every round as a line of
//! JSON in `bench-shares.jsonl` below the build's temporary folder. The folders lie in `/dev/shm`, so that the host's
//! disk hides no difference; `SMOLVM_BENCH_FOLDER` names another place. A peer that cannot be had is left out, and the
//! reason said; `scripts/bench-peers.sh` gets them.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use smolvm::image::kernel::{self, KernelRequest};

const CPUS: &str = "2";
const MEMORY_MIB: &str = "2048";
const FILES: usize = 5_000;
const BIG_MIB: f64 = 256.0;
const ROWS: [&str; 6] = ["write", "read", "unpack", "list", "remove", "status"];

/// Microseconds by row.
type Times = BTreeMap<String, f64>;

/// A way to have a folder of the host in a guest, or the floor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum System {
    Share,
    GuestTmpfs,
    VirtmeVirtioFs,
    Virtme9p,
    Host,
}

const ALL: [System; 5] = [System::Share, System::VirtmeVirtioFs, System::Virtme9p, System::GuestTmpfs, System::Host];

impl System {
    fn name(self) -> &'static str {
        match self {
            System::Share => "smolvm",
            System::GuestTmpfs => "guest tmpfs",
            System::VirtmeVirtioFs => "virtme-ng virtio-fs",
            System::Virtme9p => "virtme-ng 9p",
            System::Host => "the host itself",
        }
    }
}

/// Where everything lies.
struct Bench {
    /// Below it, a folder a system.
    folders: PathBuf,
    /// The build's own.
    target: PathBuf,
    /// `scripts/bench-peers.sh` fills it.
    peers: PathBuf,
    /// The kernel of smolvm and of virtme-ng with virtio-fs.
    kernel: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-shares");
        fs::create_dir_all(&target).expect("the build's folder can be written");
        let place = std::env::var_os("SMOLVM_BENCH_FOLDER").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
        let folders = place.join(format!("smolvm-bench-{}", std::process::id()));
        let kernel = kernel::resolve(&KernelRequest::Auto, None, &target.join("smolvm"), &mut |words: &str| {
            println!("{words}");
        });
        let kernel = kernel.expect("a kernel is to be had");
        // virtme-ng wants the bzImage, which lies beside the modules that were downloaded with it.
        let modules = kernel.modules.unwrap_or_default();
        let image = modules.ancestors().nth(3).map(|root| root.join(format!("boot/vmlinuz-{}", kernel.version)));
        let peers = target.with_file_name("bench-peers");
        Bench { folders, target, peers, kernel: image.unwrap_or_default() }
    }

    /// What a system works on: a folder with the archive, the repository and the script.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folders.join(name);
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("cp").arg("-a").arg(self.folders.join("made")).arg(&folder));
        folder
    }

    /// Makes the files once.
    fn make(&self) {
        let made = self.folders.join("made");
        let tree = made.join("repository");
        fs::create_dir_all(&tree).expect("the folder of the shares can be written");
        let mut seed = 4_u64;
        for number in 0..FILES {
            let folder = tree.join(format!("d{:02}", number / 100));
            fs::create_dir_all(&folder).expect("the folder of the shares can be written");
            let mut text = String::new();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for line in 0..10 + seed % 200 {
                text += &format!("{number} {line} {seed:x}\n");
            }
            fs::write(folder.join(format!("f{:02}.c", number % 100)), text).expect("the file can be written");
        }
        run(Command::new("tar")
            .arg("-C")
            .arg(&made)
            .args(["--transform", "s,^repository,tree,", "-cf"])
            .args([made.join("tree.tar").as_os_str(), "repository".as_ref()]));
        let git = |words: &[&str]| {
            run(Command::new("git")
                .arg("-C")
                .arg(&tree)
                .args(["-c", "user.name=a", "-c", "user.email=a@b"])
                .args(words));
        };
        git(&["init", "-q"]);
        git(&["add", "-A"]);
        git(&["commit", "-qm", "all"]);
        git(&["gc", "-q"]);
        fs::write(made.join("rows.sh"), include_str!("rows.sh")).expect("the file can be written");
    }

    /// One round of a system, or why it cannot be had.
    fn round(&self, system: System) -> Result<Times, String> {
        match system {
            System::Share => self.smolvm("mkdir /scratch; sh /share/rows.sh /share /scratch"),
            System::GuestTmpfs => self.smolvm(
                "mount -t tmpfs -o size=1G none /mnt; mkdir /scratch; cp -a /share/. /mnt/; sh /mnt/rows.sh /mnt /scratch",
            ),
            System::VirtmeVirtioFs => self.virtme(&self.kernel, &[]),
            System::Virtme9p => self.virtme(&self.kernel_with_9p()?, &["--force-9p"]),
            System::Host => self.host(),
        }
    }

    fn smolvm(&self, script: &str) -> Result<Times, String> {
        let share = self.folder("share");
        let project = format!(
            "name: bench\nmachines:\n  one:\n    cpus: {CPUS}\n    memory: {MEMORY_MIB}MiB\n    mounts:\n      \
             - {{ source: {}, target: /share }}\nsteps:\n  - run: |\n      {script}\n",
            share.display()
        );
        fs::write(self.target.join("smolvm.yaml"), project).expect("the build's folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm"));
        command.args(["up", "--progress", "plain"]).current_dir(&self.target);
        command.env("XDG_CACHE_HOME", &self.target).env("XDG_STATE_HOME", self.target.join("state"));
        read_rows(&output(&mut command)?)
    }

    fn virtme(&self, kernel: &Path, options: &[&str]) -> Result<Times, String> {
        let program = self.peers.join("venv/bin/vng");
        if !program.exists() || !kernel.exists() {
            return Err("it is not there; `scripts/bench-peers.sh` gets it".to_owned());
        }
        let share = self.folder("virtme");
        let script = "mkdir -p /tmp/scratch; sh /mnt/rows.sh /mnt /tmp/scratch > /mnt/out 2>&1";
        let mut words = vec![program.display().to_string(), "--run".into(), kernel.display().to_string()];
        words.extend(["--disable-kvm", "--user", "root", "--cpus", CPUS, "--memory"].map(String::from));
        words.extend([format!("{MEMORY_MIB}M"), "--rwdir".into(), format!("/mnt={}", share.display())]);
        words.extend(options.iter().map(|word| (*word).to_owned()));
        words.extend(["--exec".into(), format!("'{script}'")]);
        // It wants a terminal.
        let mut command = Command::new("script");
        command.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(&self.peers);
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [self.peers.join("venv/bin"), self.peers.join("bin")].map(|folder| folder.display().to_string());
        command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", own.join(":")));
        // Its exit code tells nothing: 255 after a run that did all. The rows tell.
        let said = output(&mut command).unwrap_or_else(|said| said);
        let rows = fs::read_to_string(share.join("out")).unwrap_or_default();
        read_rows(&rows).map_err(|error| format!("{error}; it said: {}", said.trim()))
    }

    /// The cloud kernel lacks 9p; this is the distribution's other one, of the same source.
    fn kernel_with_9p(&self) -> Result<PathBuf, String> {
        let boot = fs::read_dir(self.peers.join("kernel/boot"));
        let mut files = boot.map_err(|_| "no kernel with 9p is there; `scripts/bench-peers.sh` gets one".to_owned())?;
        let image =
            files.find_map(|file| Some(file.ok()?.path()).filter(|path| path.to_string_lossy().contains("vmlinuz")));
        image.ok_or_else(|| "the kernel with 9p has no image".to_owned())
    }

    /// The same work without any guest. Dropping caches may not be allowed, which matters little here.
    fn host(&self) -> Result<Times, String> {
        let (folder, scratch) = (self.folder("host"), self.folders.join("scratch"));
        fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
        let script = include_str!("rows.sh").replace("echo 3 > /proc/sys/vm/drop_caches", ":");
        let rows = output(Command::new("sh").args(["-c", &script, "rows.sh"]).args([&folder, &scratch]))?;
        read_rows(&rows)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folders);
    }
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn read_rows(said: &str) -> Result<Times, String> {
    let rows: Times = said
        .lines()
        .filter_map(|line| line.split("row ").nth(1)?.trim().split_once(' '))
        .filter_map(|(name, time)| Some((name.to_owned(), time.parse().ok()?)))
        .collect();
    let missing = ROWS.iter().find(|row| !rows.contains_key(**row));
    missing.map_or(Ok(rows), |row| Err(format!("row `{row}` is missing in: {said}")))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// A time as the row is read: MiB/s, files/s or seconds.
fn shown(row: &str, micros: f64) -> String {
    let seconds = micros / 1e6;
    match row {
        "write" | "read" => format!("{:.0} MiB/s", BIG_MIB / seconds),
        "unpack" => format!("{:.0} files/s", 5_000.0 / seconds),
        _ => format!("{seconds:.2} s"),
    }
}

fn print_table(rounds: &BTreeMap<System, Vec<Times>>) {
    let mid = |system: System, row: &str| {
        let times = rounds.get(&system).filter(|times| !times.is_empty())?;
        Some(median(times.iter().map(|times| times[row]).collect()))
    };
    print!("{:<22}", "");
    ROWS.iter().for_each(|row| print!("{row:>16}"));
    println!();
    for system in ALL {
        print!("{:<22}", system.name());
        for row in ROWS {
            print!("{:>16}", mid(system, row).map_or_else(|| "-".to_owned(), |time| shown(row, time)));
        }
        println!();
    }
    for system in [System::VirtmeVirtioFs, System::Virtme9p, System::GuestTmpfs] {
        print!("{:<22}", format!("to {}", system.name()));
        for row in ROWS {
            // Of each round by itself, so that both sides saw the same computer.
            let both = rounds.get(&System::Share).zip(rounds.get(&system));
            let ratios =
                both.map(|(own, other)| own.iter().zip(other).map(|(own, other)| other[row] / own[row]).collect());
            let ratio = ratios.filter(|ratios: &Vec<f64>| !ratios.is_empty()).map(median);
            print!("{:>16}", ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x")));
        }
        println!();
    }
}

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3_usize);
    let bench = Bench::new();
    bench.make();
    let log = bench.target.with_file_name("bench-shares.jsonl");
    let mut raw = fs::File::options().create(true).append(true).open(&log).expect("the build's folder can be written");
    let mut rounds: BTreeMap<System, Vec<Times>> = BTreeMap::new();
    let mut absent: BTreeMap<System, String> = BTreeMap::new();
    for _ in 0..count {
        for system in ALL.into_iter().filter(|system| *system != System::Host) {
            if absent.contains_key(&system) {
                continue;
            }
            match bench.round(system) {
                Ok(times) => {
                    let line = json!({ "system": system.name(), "microseconds": &times });
                    writeln!(raw, "{line}").expect("the build's folder can be written");
                    rounds.entry(system).or_default().push(times);
                }
                Err(why) if system == System::Share => panic!("{why}"),
                Err(why) => drop(absent.insert(system, why)),
            }
        }
        rounds.entry(System::Host).or_default().extend(bench.round(System::Host));
    }
    println!(
        "{count} rounds, medians; {CPUS} CPUs and {MEMORY_MIB} MiB a guest; folders in {}",
        bench.folders.display()
    );
    print_table(&rounds);
    for (system, why) in absent {
        println!("without {}: {why}", system.name());
    }
    println!("every round: {}", log.display());
}
