//! Measures `check` as a whole process on files of 1,000 machines, 10,000 mounts and 10,000 steps, on halves and
//! quarters of them (cost may grow no faster than n log n), and on a typical file.
//!
//! `make bench` runs it; `-- RUNS` sets how often (10 by default). Sizes are interleaved, so that all see the same
//! computer. The floor of a large file is a plain YAML parser that only builds values of the same text, in this process.
//! Every run is kept as a line of JSON in `bench-check.jsonl` below the build's temporary folder.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

/// How machines, mounts and steps of a large file hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Steps in the order of the file, nine read-only mounts of one folder and one folder written.
    Chain,
    /// Every tenth step starts at once, so that what may run together must be found.
    Parallel,
    /// Every mount has a source of its own, and writes it.
    Sources,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Chain, Self::Parallel, Self::Sources];

    fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Parallel => "parallel",
            Self::Sources => "sources",
        }
    }
}

/// A file, and what it is in the table.
struct Case {
    shape: &'static str,
    machines: usize,
    file: PathBuf,
    text: String,
    runs: Vec<f64>,
}

/// Writes a project with so many machines, ten mounts and ten steps for each, and the folders that it names.
fn large(folder: &Path, shape: Shape, machines: usize) -> Case {
    let mut text = "machines:\n".to_owned();
    let make = |name: String| fs::create_dir_all(folder.join(name)).expect("a folder can be made");
    make("src".to_owned());
    for machine in 0..machines {
        let _ = writeln!(text, "  m{machine}:\n    memory: 512MiB\n    mounts:");
        for mount in 0..10 {
            let line = if shape == Shape::Sources {
                make(format!("own/{machine}/{mount}"));
                format!("./own/{machine}/{mount}:/work-{mount}/x")
            } else if mount == 9 {
                make(format!("out/{machine}"));
                format!("./out/{machine}:/output")
            } else {
                format!("./src:/in-{mount}/x:ro")
            };
            let _ = writeln!(text, "      - {line}");
        }
    }
    text.push_str("steps:\n");
    for step in 0..machines * 10 {
        let needs = if shape == Shape::Parallel && step % 10 == 0 { ", needs: []" } else { "" };
        let _ = writeln!(text, "  - {{ id: s{step}, machine: m{}, run: make{needs} }}", step % machines);
    }
    let file = folder.join(format!("{}-{machines}.yaml", shape.name()));
    fs::write(&file, &text).expect("a file can be written");
    Case { shape: shape.name(), machines, file, text, runs: Vec::new() }
}

/// The root `smolvm.yaml`.
fn typical() -> Case {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("smolvm.yaml");
    let text = fs::read_to_string(&file).expect("the demonstration is there");
    Case { shape: "typical", machines: 1, file, text, runs: Vec::new() }
}

/// Seconds of one `smolvm check`, from its start to its end.
fn run_check(file: &Path) -> f64 {
    let started = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolvm"));
    command.arg("-f").arg(file).args(["check", "--format", "concise"]).stdout(Stdio::null());
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{} has mistakes", file.display());
    started.elapsed().as_secs_f64()
}

/// Seconds in which a parser without places or rules reads the text.
fn run_floor(text: &str) -> f64 {
    let started = Instant::now();
    let value: serde_json::Value = serde_yaml::from_str(text).expect("the text is YAML");
    assert!(value.is_object());
    started.elapsed().as_secs_f64()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let runs = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(10);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cases: Vec<Case> = Shape::ALL
        .into_iter()
        .flat_map(|shape| [250, 500, 1000].map(|machines| (shape, machines)))
        .map(|(shape, machines)| large(folder.path(), shape, machines))
        .collect();
    cases.push(typical());
    let mut kept = fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-check.jsonl")).expect("kept");
    for run in 0..runs {
        for case in &mut cases {
            let seconds = run_check(&case.file);
            case.runs.push(seconds);
            let line = json!({"run": run, "shape": case.shape, "machines": case.machines, "seconds": seconds});
            writeln!(kept, "{line}").expect("the record can be written");
        }
    }
    println!("{:<10} {:>8} {:>8} {:>9} {:>9} {:>12}", "shape", "machines", "bytes", "median", "growth", "plain parser");
    let mut before = None;
    for case in &cases {
        let seconds = median(&case.runs);
        let growth = before.filter(|_| case.machines > 250).map(|before: f64| format!("{:.2} x", seconds / before));
        let floor = median(&(0..3).map(|_| run_floor(&case.text)).collect::<Vec<f64>>());
        println!(
            "{:<10} {:>8} {:>8} {:>6.1} ms {:>9} {:>9.1} ms",
            case.shape,
            case.machines,
            case.text.len(),
            seconds * 1e3,
            growth.unwrap_or_default(),
            floor * 1e3,
        );
        before = Some(seconds);
    }
}
