//! Large files stay cheap: what grows faster than the file would show here as minutes.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use smolvm::config::{FileRequest, Files, LoadRequest, Loaded, MemoryFiles, Mode, load, mend};

/// Far above what an unoptimised build takes on a slow computer, far below what pairs of all mounts would take.
const LIMIT: Duration = Duration::from_secs(20);

fn in_time<T>(text: &str, work: fn(LoadRequest, &dyn Files) -> T) -> T {
    let files = MemoryFiles::new().folder("/project/src").folder("/project/out").file("/project/smolvm.yaml", text);
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    let started = Instant::now();
    let done = work(request, &files);
    assert!(started.elapsed() < LIMIT, "took {:?}", started.elapsed());
    done
}

fn load_text(text: &str) -> Loaded {
    in_time(text, load)
}

/// 1,000 machines with ten mounts each, and a step in each with these needs.
fn large(needs: &str) -> String {
    let mut text = "machines:\n".to_owned();
    for machine in 0..1000 {
        let _ = writeln!(text, "  m{machine}:\n    mounts:");
        for mount in 0..9 {
            let _ = writeln!(text, "      - ./src:/m{mount}/x:ro");
        }
        text.push_str("      - ./out:/output\n");
    }
    text.push_str("steps:\n");
    for machine in 0..1000 {
        let _ = writeln!(text, "  - {{ machine: m{machine}, run: x{needs}, outputs: [/output/a] }}");
    }
    text
}

#[test]
fn ten_thousand_mounts_in_order_are_told_nothing() {
    let loaded = load_text(&large(""));
    let told: Vec<&str> = loaded.diagnostics.iter().map(|found| found.message.as_str()).take(3).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_thousand_writers_at_once_are_told_once_each() {
    let loaded = load_text(&large(", needs: []"));
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.code.0 == 108).count(), 999);
}

#[test]
fn ten_thousand_mounts_of_one_machine_are_compared_at_once() {
    let mut text = "machines:\n  a:\n    mounts:\n".to_owned();
    for mount in 0..10_000 {
        let _ = writeln!(text, "      - ./out:/m{}/x{mount}", mount % 7);
    }
    text.push_str("      - ./src:/m0:ro\nsteps: [{ run: x }]\n");
    let loaded = load_text(&text);
    assert!(loaded.diagnostics.iter().any(|found| found.code.0 == 113));
}

#[test]
fn a_thousand_misspelt_machines_are_told_each() {
    let mut text = large("");
    text = text.replace("machine: m", "machine: n");
    let loaded = load_text(&text);
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.code.0 == 201).count(), 1000);
}

#[test]
fn a_step_that_needs_the_last_of_thousands_is_one_cycle() {
    let mut text = "machines: { a: }\nsteps:\n  - { id: first, needs: [last], run: x }\n".to_owned();
    for step in 0..5000 {
        let _ = writeln!(text, "  - {{ id: s{step}, run: x }}");
    }
    text.push_str("  - { id: last, run: x }\n");
    let loaded = load_text(&text);
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.code.0 == 205).count(), 1);
}

#[test]
fn one_line_of_ten_thousand_repeats_is_mended_at_once() {
    let text = format!("machines: {{ a: {{ cpus: 1{} }} }}\nsteps: [{{ run: x }}]\n", ", cpus: 1".repeat(10_000));
    let mended = in_time(&text, mend);
    assert_eq!(mended.fixed.len(), 10_000);
    let after = mended.texts.into_iter().next().expect("it was mended").after;
    assert_eq!(String::from_utf8_lossy(&after), "machines: { a: { cpus: 1 } }\nsteps: [{ run: x }]\n");
}

#[test]
fn ten_thousand_unknown_keys_and_missing_folders_are_told_at_once() {
    let mut text = "machines:\n  a:\n    mounts:\n      - &m { source: ./dist, target: /dist }\n".to_owned();
    for number in 0..5000 {
        let _ = writeln!(text, "      - *m\n      - ./made-{number}:/made/{number}");
    }
    for number in 0..5000 {
        let _ = writeln!(text, "    wrong-{number}: 1");
    }
    text.push_str("steps: [{ run: x }]\n");
    let loaded = load_text(&text);
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.code.0 == 3).count(), 5000);
}

#[test]
fn ten_thousand_ports_links_and_volumes_are_checked_at_once() {
    let mut text = "machines:\n".to_owned();
    for machine in 0..1000 {
        let _ = writeln!(text, "  m{machine}:\n    command: [x]\n    links: [\"m{}:1\"]", (machine + 1) % 1000);
        let _ = writeln!(text, "    depends_on: [m{}]\n    mounts: [\"cache:/a:ro\"]\n    ports:", machine / 2);
        for port in 0..10 {
            let _ = writeln!(text, "      - \"127.0.{}.{}:20000:1\"", machine % 256, port + 10 * (machine / 256));
        }
    }
    text.push_str("volumes: { cache: }\nsteps: [{ machine: m0, run: x }]\n");
    let loaded = load_text(&text);
    let told: Vec<u16> = loaded.diagnostics.iter().map(|found| found.code.0).filter(|code| *code >= 700).collect();
    assert!(told.is_empty(), "{told:?}");
    let loaded = load_text(&text.replace("127.0.", "0.0.").replace("cache:/a:ro", "cash:/a"));
    assert_eq!(loaded.diagnostics.iter().filter(|found| found.code.0 == 203).count(), 1000);
    let one_place = text.replace("20000:1", "20000:1\"\n      - \"0.0.0.0:20000:1");
    let loaded = load_text(&one_place);
    assert!(loaded.diagnostics.iter().filter(|found| found.code.0 == 701).count() > 9_999);
}
