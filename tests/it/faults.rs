//! What goes wrong in a machine or around it while steps run: each fault ends its step at once and is named.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::events::{Ran, bytes_of};
use crate::invoker::{Invoker, Stage};
use crate::probe::with_probe;
use crate::running::{Live, signal, status_number};
use crate::support::{Case, all_below, machines};

/// Longer than any fault may take to end its step.
const AT_ONCE: f64 = 30.0;

/// A project that says its events.
fn project(file: &str) -> Case {
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going"];
    Case::new().file("smolvm.yaml", file).with_shared_cache().args(args)
}

#[track_caller]
fn assert_lost(ran: &Ran, step: &str, cause: &str) {
    let (status, code, told) = ran.end(step);
    assert_eq!((status, code), ("failed", Some(125)), "{step}: {told}\n{}", ran.told());
    assert!(told.contains(cause), "{step}: {told}");
    assert!(ran.finished(step)["seconds"].as_f64().unwrap() < AT_ONCE, "{}", ran.finished(step));
}

#[test]
fn guests_that_end_inside_a_step_fail_it_at_once_and_by_name() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
x-small: &small { cpus: 1, memory: 256MiB }
machines:
  panics: *small
  off: *small
  reboots: *small
  quits: { <<: *small, mounts: [\"./bin:/opt/bin:ro\"] }
steps:
  - { id: panics, machine: panics, run: \"echo c > /proc/sysrq-trigger; sleep 600\" }
  - { id: after, machine: panics, run: echo never }
  - { id: off, machine: off, needs: [], run: \"echo o > /proc/sysrq-trigger; sleep 600\" }
  - { id: reboots, machine: reboots, needs: [], run: \"echo b > /proc/sysrq-trigger; sleep 600\" }
  - { id: quits, machine: quits, needs: [], run: \"/opt/bin/probe off; sleep 600\", continue_on_error: true }
finally:
  - { id: end, machine: panics, run: echo never }
",
    );
    let ran = Ran::of(with_probe(case, "bin").command());
    assert_lost(&ran, "panics", "the guest's kernel panicked: sysrq triggered crash");
    assert_lost(&ran, "off", "the guest powered off");
    assert_lost(&ran, "reboots", "the guest rebooted");
    assert_lost(&ran, "quits", "the guest powered off");
    for step in ["after", "end"] {
        assert_eq!(ran.end(step).0, "skipped");
    }
    assert_eq!(ran.phases("panics").last(), Some(&"failed"));
    assert_eq!(ran.code, Some(125), "{}", ran.told());
}

#[test]
fn what_a_step_does_to_its_machine_ends_with_the_step() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
machines:
  box: { cpus: 1, memory: 512MiB, mounts: [\"./bin:/opt/bin:ro\"] }
steps:
  - { id: hungry, run: exec /opt/bin/probe eat }
  - { id: swarm, needs: [], run: \"for each in 1 2 3; do /opt/bin/probe eat & done; wait\" }
  - { id: killer, needs: [], run: \"kill -KILL 1; kill -TERM 1; kill -INT 1; test -d /proc/1\" }
  - { id: bomb, needs: [], run: \"b() { b | b & }; b; sleep 600\", timeout: 2s }
  - { id: escapes, needs: [], run: \"setsid sleep 12345 & setsid sleep 12345\", timeout: 1s }
  - { id: survives, needs: [], run: \"sleep 54321 & echo $! > /run/pid\" }
  - id: alive
    needs: []
    run: |
      kill -0 $(cat /run/pid)
      ps -e -o args= | grep -c '^sleep [1-9]'
      ps -e -o stat= | grep -c Z || true
",
    );
    let ran = Ran::of(with_probe(case, "bin").command());
    let out_of_memory = "out of memory (memory: 512MiB)";
    assert_eq!(ran.end("hungry"), ("failed", Some(137), out_of_memory), "{}", ran.told());
    assert_eq!(ran.end("swarm").0, "passed", "{}", ran.told());
    assert!(ran.named("warning").count() > 0, "{}", ran.told());
    assert_eq!(ran.end("killer").0, "passed", "{}", ran.told());
    assert_eq!(ran.end("bomb"), ("timed-out", Some(124), "its time is up (timeout: 2s)"), "{}", ran.told());
    assert_eq!(ran.end("escapes").0, "timed-out", "{}", ran.told());
    assert_eq!(ran.stdout("alive"), "1\n0\n", "{}", ran.told());
    assert_eq!(ran.end("alive").0, "passed", "{}", ran.told());
    assert_eq!(ran.phases("box").last(), Some(&"stopped"));
    assert_eq!(ran.code, Some(137));
}

const HURT: &str = "name: acme
x-small: &small { cpus: 1, memory: 256MiB }
machines:
  silent: *small
  killed: { <<: *small, mounts: [\"./bin:/opt/bin:ro\", \"./killed:/out\"] }
  served: { <<: *small, mounts: [\"./bin:/bin0:ro\", \"./bin:/bin1:ro\", \"./served:/out\"] }
steps:
  - { id: silent, machine: silent, run: \"echo up; exec sleep 600\" }
  - { id: killed, machine: killed, needs: [], run: \"echo up; exec /opt/bin/probe sync /out/file\" }
  - { id: served, machine: served, needs: [], run: \"echo up; exec /bin0/probe sync /out/file\" }
";

/// Runs these steps, hurts what runs each as soon as it is up, and gives the run and the served folder.
fn hurt(invoker: Invoker, steps: &[&str]) -> (Ran, Stage) {
    // On hardware a guest is silent after a quarter of the time.
    let case = with_probe(project(HURT).folder("killed").folder("served"), "bin").args([
        "--time-factor",
        "1",
        "--parallel",
        "3",
    ]);
    let stage = invoker.stage(case.args(steps.iter().copied()));
    let mut run = Live::start(stage.command());
    let mut left = steps.to_vec();
    while !left.is_empty() {
        let event = run.until("a step", |event| {
            let text = event["text"].as_str().unwrap_or_default();
            let is_writing = text.lines().any(|line| line.parse::<u32>().is_ok_and(|number| number >= 20));
            left.contains(&event["step"].as_str().unwrap_or_default()) && (is_writing || event["step"] == "silent")
        });
        let step = event["step"].as_str().unwrap();
        left.retain(|each| *each != step);
        let (processes, kind) = match step {
            "silent" => (run.processes("guest=silent"), Signal::STOP),
            "killed" => (run.processes("guest=killed"), Signal::KILL),
            // Only this machine has so many shares.
            _ => (run.processes("share2"), Signal::KILL),
        };
        // Of a file server the inner process is the one that serves.
        signal(*processes.last().unwrap(), kind);
    }
    (run.finish(), stage)
}

#[test]
fn hurt_processes_of_the_host_end_the_step_and_are_named() {
    let Some(_machines) = machines() else { return };
    for invoker in Invoker::all() {
        let steps: &[&str] = match invoker {
            Invoker::Own => &["silent", "killed", "served"],
            Invoker::Ordinary => &["killed", "served"],
            Invoker::Sudo => &["served"],
        };
        let (ran, stage) = hurt(invoker, steps);
        if invoker == Invoker::Own {
            assert_lost(&ran, "silent", "the guest fell silent: no heartbeat for 15 s");
        }
        if invoker != Invoker::Sudo {
            assert_lost(&ran, "killed", "the engine ended: qemu was ended by signal 9");
            assert_synced(&ran, &stage, "killed");
        }
        let source = stage.project().join("served");
        assert_lost(&ran, "served", &format!("the file server of share2 (`{}`) died:", source.display()));
        assert_synced(&ran, &stage, "served");
        assert_eq!(ran.code, Some(125));
    }
}

/// What the guest was told to be on the disk is there: every line whose number it said.
#[track_caller]
fn assert_synced(ran: &Ran, stage: &Stage, step: &str) {
    let said = ran.stdout(step);
    let last: usize = said.lines().filter_map(|line| line.parse().ok()).max().unwrap();
    let text = fs::read_to_string(stage.project().join(step).join("file")).unwrap();
    assert!(last >= 20 && text.lines().count() > last, "{last}");
    for (number, line) in text.lines().take(last + 1).enumerate() {
        assert_eq!(line.parse(), Ok(number));
    }
}

/// As much of a kernel as is taken for one, and nothing more.
fn no_kernel(is_packed: bool) -> Vec<u8> {
    let mut bytes = vec![0xf4; 1 << 16];
    if is_packed {
        bytes[0x1f1] = 4;
        bytes[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x00HdrS");
    } else {
        bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    }
    bytes
}

#[test]
fn machines_that_cannot_boot_say_in_which_phase_and_why() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
x-small: &small { cpus: 1, memory: 256MiB }
machines:
  elf: { <<: *small, kernel: ./elf, modules: ./modules }
  packed: { <<: *small, kernel: ./packed, modules: ./modules }
  bare: { <<: *small, modules: ./modules }
  parent: { <<: *small, mounts: [\".:/project\"] }
  gone: { <<: *small, mounts: [\"./gone:/gone:ro\"] }
  other: { <<: *small, mounts: [\"./other:/other:ro\"] }
steps:
  - { id: elf, machine: elf, run: echo never }
  - { id: packed, machine: packed, needs: [], run: echo never }
  - { id: bare, machine: bare, needs: [], run: echo never }
  - { id: parent, machine: parent, needs: [], run: \"rmdir /project/gone /project/other; echo > /project/other\" }
  - { id: gone, machine: gone, needs: [parent], run: echo never }
  - { id: other, machine: other, needs: [parent], run: echo never }
",
    );
    let case = case
        .file("elf", no_kernel(false))
        .file("packed", no_kernel(true))
        .file("modules/modules.dep", "")
        .file("modules/modules.builtin", "")
        .folder("gone")
        .folder("other")
        // Nothing boots ahead of time.
        .args(["--parallel", "1"]);
    let ran = Ran::of(case.command());
    let project = case.project().display().to_string();
    for (machine, expected) in [
        ("elf", "prepare: the kernel cannot be had: `[PROJECT]/elf` has no PVH entry"),
        ("packed", "prepare: the kernel cannot be had: `[PROJECT]/packed` is neither a bzImage nor a vmlinux"),
        (
            "bare",
            "cannot run a machine: module `virtio_mmio` is neither in `[PROJECT]/modules` nor built into the kernel",
        ),
        ("gone", "cannot open `[PROJECT]/gone`: No such file or directory"),
        ("other", "prepare: the file server of share `share0` could not start: `[PROJECT]/other` is not a folder"),
    ] {
        assert_eq!(ran.end(machine).0, "skipped", "{}", ran.told());
        let event = ran.named("machine").find(|event| event["machine"] == machine && event["phase"] == "failed");
        let cause = event.unwrap()["cause"].as_str().unwrap().replace(&project, "[PROJECT]");
        assert!(cause.contains(expected), "{machine}: {cause}");
    }
    assert_eq!(ran.code, Some(125));
}

/// A kernel that says a line on the serial port and resets.
fn kernel_that_resets() -> Vec<u8> {
    const BASE: u64 = 0x10_0000;
    const CODE: usize = 0x1000;
    let said = b"made by a test\n\0";
    let mut bytes = vec![0; CODE];
    // An ELF file for x86-64 with two program headers: all of it in memory, and the note of the PVH entry.
    bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    let mut put = |place: usize, value: u64, length: usize| {
        bytes[place..place + length].copy_from_slice(&value.to_le_bytes()[..length]);
    };
    let (entry, length) = (BASE + CODE as u64, 0x2000);
    for (place, value, size) in [(20, 1, 4), (24, entry, 8), (32, 64, 8), (52, 64, 2), (54, 56, 2), (56, 2, 2)] {
        put(place, value, size);
    }
    for (place, value) in [(64, 1 | 7 << 32), (72, 0), (80, BASE), (88, BASE), (96, length), (104, length), (112, 4096)]
    {
        put(place, value, 8);
    }
    for (place, value) in
        [(120, 4 | 4 << 32), (128, 0x200), (136, BASE + 0x200), (144, BASE + 0x200), (152, 20), (160, 20), (168, 4)]
    {
        put(place, value, 8);
    }
    for (place, value) in
        [(0x200, 4), (0x204, 4), (0x208, 18), (0x20c, u64::from(u32::from_le_bytes(*b"Xen\0"))), (0x210, entry)]
    {
        put(place, value, 4);
    }
    // mov esi, the line; mov dx, 0x3f8; next: lodsb; test al, al; jz end; out dx, al; jmp next; end: ud2
    let line = u32::try_from(entry + 0x100).unwrap().to_le_bytes();
    bytes.push(0xbe);
    bytes.extend(line);
    bytes.extend(b"\x66\xba\xf8\x03\xac\x84\xc0\x74\x03\xee\xeb\xf8\x0f\x0b");
    bytes.resize(CODE + 0x100, 0);
    bytes.extend(said);
    bytes.extend(b"Linux version 9.8.7-made (someone)\0");
    bytes.resize(0x2000, 0);
    bytes
}

#[test]
fn a_kernel_that_does_not_start_is_shown_with_its_console() {
    let Some(_machines) = machines() else { return };
    let file = "name: acme
machines:
  box: { cpus: 1, memory: 256MiB, kernel: ./vmlinux, modules: ./modules }
steps:
  - { run: echo never }
";
    let case = Case::new().file("smolvm.yaml", file).with_shared_cache().args(["up", "--accel", "tcg"]);
    let modules =
        ["virtio_mmio", "virtio_pci", "virtio_blk", "ext4", "virtiofs", "overlay", "vmw_vsock_virtio_transport"];
    let built_in: String = modules.iter().map(|name| format!("kernel/{name}.ko\n")).collect();
    let case = case.file("vmlinux", kernel_that_resets()).file("modules/modules.dep", "");
    let output = case.file("modules/modules.builtin", built_in).run();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("machine `box` failed: kernel: the guest rebooted"), "{stderr}");
    assert!(stderr.contains("  the end of its console:\n  │ made by a test\n"), "{stderr}");
}

/// Fifty megabytes in which text of many widths and bytes that are no text follow one another.
fn flood() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(50_000_000);
    let mut state: u64 = 88_172_645_463_325_252;
    while bytes.len() < 50_000_000 {
        for _ in 0..512 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        while bytes.len() % 65_536 != 0 {
            bytes.extend("aé€😀\n".as_bytes());
            bytes.truncate(50_000_000);
            if bytes.len() == 50_000_000 {
                break;
            }
        }
    }
    bytes
}

/// Of what is left in the background the newest is kept: the machine's console log is a row of files that has a limit.
#[track_caller]
fn assert_console_is_bounded(state: &Path) {
    let files = all_below(state);
    let console =
        files.iter().filter(|(path, found)| found.is_file() && path.to_string_lossy().contains("/box.console"));
    let lengths: Vec<u64> = console.map(|(_, found)| found.len()).collect();
    let all: u64 = lengths.iter().sum();
    assert!(lengths.len() > 8 && (14 << 20..18 << 20).contains(&all), "{lengths:?}");
}

#[test]
fn a_flood_arrives_whole_in_bounded_memory() {
    let Some(_machines) = machines() else { return };
    let file = "name: acme
machines:
  box: { cpus: 2, memory: 512MiB, mounts: [\"./data:/data:ro\"] }
steps:
  - id: flood
    run: |
      cat /data/flood >&2 &
      cat /data/flood
      wait
  - id: late
    run: |
      (while :; do echo late; sleep 0.1; done) &
      echo done
  - { id: behind, run: \"(sleep 0.3; head -c 20000000 /data/flood; touch /run/done) &\" }
  - { id: after, run: \"until [ -e /run/done ]; do sleep 0.1; done\" }
";
    let bytes = flood();
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    let case = project(file).file("data/flood", bytes);
    let mut run = Live::start(case.command());
    let (mut out, mut err, mut peak) = (Sha256::new(), Sha256::new(), 0);
    loop {
        let event = run.next().expect("the step ends");
        peak = peak.max(status_number(run.pid(), "VmHWM:", 10).unwrap_or(0));
        match (event["event"].as_str().unwrap(), event["step"].as_str(), event["stream"].as_str()) {
            ("output", Some("flood"), Some("stdout")) => out.update(bytes_of(&event)),
            ("output", Some("flood"), Some("stderr")) => err.update(bytes_of(&event)),
            // What a step leaves in the background does not hold it.
            ("step-finished", Some("late" | "behind"), _) => {
                assert!(event["seconds"].as_f64().unwrap() < 10.0 && event["status"] == "passed", "{event}");
            }
            ("step-finished", Some("after"), _) => break,
            _ => {}
        }
    }
    assert_eq!([out.finalize()[..].to_vec(), err.finalize()[..].to_vec()], [expected; 2]);
    let ran = run.finish();
    assert!(peak < 150 << 10, "{peak} KiB");
    assert_eq!(ran.code, Some(0), "{}", ran.told());
    assert_console_is_bounded(&case.project().with_file_name("state"));
}
