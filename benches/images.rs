//! Measures how fast images become usable, beside other programs on the same image: layers unpacked to packs and merged,
//! against `umoci unpack` (as much work, onto a disk) and `skopeo copy` (copies and checks, unpacks nothing).
//!
//! `make bench` runs it; `-- ROUNDS` sets how often (5 by default). The rounds are interleaved, so that all see the same
//! computer. The image is made of this computer's programs, in two layers with gzip; `SMOLVM_BENCH_IMAGE=LAYOUT:TAG` names
//! another one. All of it lies below the build's temporary folder, or in `SMOLVM_BENCH_FOLDER`. Prints medians and keeps
//! every round as a line of JSON in `bench-images.jsonl`.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use smolvm::image::unpack::{Limits, unpack};
use smolvm::rootfs::{RootTree, merge};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    /// Packs, indexes and the tree, all synced to the disk.
    Smolvm,
    /// The same without waiting for the disk, as `umoci` does.
    SmolvmUnsynced,
    Umoci,
    SkopeoFolder,
    SkopeoLayout,
    /// Reading the tree again, as a second run does.
    Again,
}

const ALL: [System; 6] =
    [System::Smolvm, System::SmolvmUnsynced, System::Umoci, System::SkopeoFolder, System::SkopeoLayout, System::Again];

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Smolvm => "smolvm, synced",
            Self::SmolvmUnsynced => "smolvm",
            Self::Umoci => "umoci unpack",
            Self::SkopeoFolder => "skopeo copy dir:",
            Self::SkopeoLayout => "skopeo copy oci:",
            Self::Again => "smolvm, second run",
        }
    }
}

/// Where everything lies.
struct Bench {
    folder: PathBuf,
    /// `LAYOUT:TAG`.
    image: String,
    /// Compressed layers, the lowest first.
    layers: Vec<PathBuf>,
}

impl Bench {
    fn new() -> Bench {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = std::env::var_os("SMOLVM_BENCH_FOLDER").map_or_else(|| target.to_owned(), PathBuf::from);
        let folder = folder.join("bench-images");
        fs::create_dir_all(&folder).expect("the folder can be written");
        let image = std::env::var("SMOLVM_BENCH_IMAGE").unwrap_or_else(|_| make_image(&folder));
        let (layout, tag) = image.rsplit_once(':').expect("an image is LAYOUT:TAG");
        let layers = layers(Path::new(layout), tag);
        Bench { folder, image, layers }
    }

    /// Seconds that a system takes, from nothing, and the bytes that it writes where that is ours.
    fn measure(&self, system: System) -> f64 {
        let out = self.folder.join("out");
        if system != System::Again {
            remove(&out);
        }
        let start = Instant::now();
        match system {
            System::Smolvm | System::SmolvmUnsynced => self.unpack(&out, system == System::Smolvm),
            System::Umoci => {
                let rootless = rustix::process::geteuid().is_root();
                let more: &[&str] = if rootless { &[] } else { &["--rootless"] };
                run(Command::new("umoci").arg("unpack").args(more).args(["--image", &self.image]).arg(&out));
            }
            System::SkopeoFolder => self.skopeo(&format!("dir:{}", out.display())),
            System::SkopeoLayout => self.skopeo(&format!("oci:{}:copy", out.display())),
            System::Again => {
                let tree = fs::read(self.folder.join("tree")).expect("an earlier round wrote it");
                let lengths: Vec<u64> = (0..self.layers.len()).map(|at| self.pack_length(at)).collect();
                RootTree::decode(&tree, &lengths).expect("it is what was written");
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        if system == System::Smolvm {
            // For the second run.
            for name in fs::read_dir(&out).expect("it was made").flatten() {
                let to = self.folder.join(name.file_name());
                fs::rename(name.path(), to).expect("both are in one folder");
            }
        }
        remove(&out);
        seconds
    }

    fn pack_length(&self, layer: usize) -> u64 {
        fs::metadata(self.folder.join(format!("pack {layer}"))).expect("an earlier round wrote it").len()
    }

    fn unpack(&self, out: &Path, is_synced: bool) {
        fs::create_dir_all(out).expect("a folder can be made");
        let mut indexes = Vec::new();
        let store = |name: String, bytes: &[u8]| {
            let mut file = File::create(out.join(name)).expect("a file can be made");
            file.write_all(bytes).expect("it can be written");
            if is_synced {
                file.sync_all().expect("it can be synced");
            }
        };
        for (number, layer) in self.layers.iter().enumerate() {
            let archive = File::open(layer).expect("the layer is there");
            let mut pack = File::create_new(out.join(format!("pack {number}"))).expect("a file can be made");
            let unpacked = unpack(archive, &mut pack, &Limits::default(), &mut |_| ControlFlow::Continue(()));
            let unpacked = unpacked.expect("a layer of a real program");
            if is_synced {
                pack.sync_all().expect("it can be synced");
            }
            store(format!("index {number}"), &unpacked.index.encode(&unpacked.pack));
            indexes.push(unpacked.index);
        }
        store("tree".to_owned(), &merge(&indexes).expect("a real image").encode());
    }

    fn skopeo(&self, to: &str) {
        let from = format!("oci:{}", self.image);
        run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &from, to]));
    }
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("what was made can be removed");
    }
}

/// The programs and data of this computer, in two layers; made once.
fn make_image(folder: &Path) -> String {
    let layout = folder.join("layout");
    let image = format!("{}:host", layout.display());
    if layout.exists() {
        return image;
    }
    let scratch = folder.join("layout.new");
    remove(&scratch);
    let new = format!("{}:host", scratch.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&scratch));
    run(Command::new("umoci").args(["new", "--image", &new]));
    for content in ["usr/bin", "usr/share"] {
        let archive = folder.join("layer.tar");
        let mut tar = Command::new("tar");
        tar.args(["-C", "/", "--ignore-failed-read", "--warning=no-failed-read", "-cf"]).arg(&archive).arg(content);
        run(&mut tar);
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &new]).arg(&archive));
        fs::remove_file(archive).expect("it was made here");
    }
    fs::rename(scratch, layout).expect("both are in one folder");
    image
}

fn layers(layout: &Path, tag: &str) -> Vec<PathBuf> {
    let json = |path: &Path| -> Value {
        serde_json::from_slice(&fs::read(path).expect("a file of the layout")).expect("JSON")
    };
    let blob = |entry: &Value| {
        let digest = entry["digest"].as_str().expect("a digest").replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = json(&layout.join("index.json"));
    let entries = index["manifests"].as_array().expect("manifests");
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let manifest = json(&blob(entries.iter().find(is_it).expect("the tag is there")));
    manifest["layers"].as_array().expect("layers").iter().map(blob).collect()
}

/// Bytes of all layers, compressed and not.
fn lengths(layers: &[PathBuf]) -> (u64, u64) {
    let packed = layers.iter().map(|layer| fs::metadata(layer).expect("the layer is there").len()).sum();
    let plain = |layer: &PathBuf| {
        let file = File::open(layer).expect("the layer is there");
        let mut decoder = flate2::read::MultiGzDecoder::new(file);
        std::io::copy(&mut decoder, &mut std::io::sink()).unwrap_or(0)
    };
    (packed, layers.iter().map(plain).sum())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "lengths of images are far below what a float tells apart")]
fn main() {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(5);
    let bench = Bench::new();
    let (packed, plain) = lengths(&bench.layers);
    println!("{} layers, {} MiB, without compression {} MiB", bench.layers.len(), packed >> 20, plain >> 20);
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-images.jsonl");
    let mut log = File::options().create(true).append(true).open(log).expect("the build's folder can be written");
    let mut seconds: Vec<Vec<f64>> = ALL.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (system, seconds) in ALL.iter().zip(&mut seconds) {
            let took = bench.measure(*system);
            let line = json!({"round": round, "system": system.name(), "seconds": took, "bytes": plain});
            writeln!(log, "{line}").expect("the log can be written");
            seconds.push(took);
        }
    }
    let medians: Vec<f64> = seconds.iter().map(|seconds| median(seconds)).collect();
    let umoci = medians[2];
    println!("{:<20} {:>9} {:>9} {:>14}", "", "seconds", "MiB/s", "umoci unpack =");
    for (system, median) in ALL.iter().zip(&medians) {
        let rate = plain as f64 / median / f64::from(1 << 20);
        println!("{:<20} {median:>9.3} {rate:>9.0} {:>14.2}", system.name(), median / umoci);
    }
}
