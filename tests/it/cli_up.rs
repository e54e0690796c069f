//! `smolvm up` in real machines: exit codes and causes, the events for programs, the lock, images, selections.

use std::io::{BufRead, BufReader};
use std::process::Child;

use serde_json::Value;

use crate::running::Live;
use crate::support::{Case, machines, repository};

/// One small machine, and these steps.
fn project(steps: &str) -> Case {
    let head = "name: acme\nmachines:\n  box: { cpus: 1, memory: 256MiB }\nsteps:\n";
    Case::new().file("smolvm.yaml", format!("{head}{steps}")).with_shared_cache().args(["up", "--accel", "tcg"])
}

/// The events that a finished run printed.
fn events(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(stdout.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn of<'a>(events: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == name)
}

#[test]
fn the_first_failed_step_in_file_order_gives_the_code_and_its_last_lines() {
    let Some(_machines) = machines() else { return };
    project(
        "  - { id: one, run: \"echo fine\" }
  - { id: two, run: \"echo oops >&2; exit 7\" }
  - { id: three, run: \"echo never\" }
",
    )
    .args(["--progress", "plain"])
    .stdout("[TIME] one │ fine\n[TIME] two │ oops\n")
    .stderr(
        "engine: qemu (tcg): emulation was asked for
[TIME] machine box: booting, qemu (tcg)
[TIME] machine box: ready
[TIME] step one: started in machine box
[TIME] step one: passed in [SECONDS]
[TIME] step two: started in machine box
[TIME] step two: failed with exit code 7 in [SECONDS]
[TIME] step three: skipped: it needs `two`, which did not pass
[TIME] machine box: stopped

step `two` failed with exit code 7
  its last lines:
  │ oops
  log:   [CASE]/state/smolvm/acme-[ID]/runs/[ID]/two.log
  shell: smolvm up -i two
  again: smolvm up two

failed: 1 failed, 1 passed, 1 skipped in [SECONDS]: step `two` failed with exit code 7
",
    )
    .exit(7);
}

#[test]
fn every_way_to_end_has_its_status_code_and_cause() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "  - { id: missing, run: [/no/such/program] }
  - { id: folder, needs: [], run: \"true\", working_dir: /nowhere }
  - { id: signal, needs: [], run: \"kill -SEGV $$\" }
  - { id: slow, needs: [], run: [sleep, \"600\"], timeout: 1s }
  - { id: fine, needs: [], run: [\"true\"] }
",
    );
    let case = case.args(["--progress", "json", "--keep-going"]);
    let output = case.run();
    let events = events(&output.stdout);
    let ends: Vec<(&str, &str, Option<i64>)> = of(&events, "step-finished")
        .map(|event| (event["step"].as_str().unwrap(), event["status"].as_str().unwrap(), event["exit_code"].as_i64()))
        .collect();
    assert_eq!(
        ends,
        [
            ("missing", "failed", Some(127)),
            ("folder", "failed", Some(126)),
            ("signal", "failed", Some(139)),
            ("slow", "timed-out", ends[3].2),
            ("fine", "passed", Some(0)),
        ]
    );
    let last = events.last().unwrap();
    assert_eq!(last["event"], "run-finished");
    assert_eq!((&last["status"], &last["exit_code"]), (&"failed".into(), &127.into()), "{last}");
    assert!(last["cause"].as_str().unwrap().contains("/no/such/program"), "{last}");
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn a_step_out_of_time_gives_124_and_a_fixed_code_is_1() {
    let Some(_machines) = machines() else { return };
    let slow = project("  - { run: [sleep, \"600\"], timeout: 1s }\n").args(["-q"]).run();
    assert_eq!(slow.status.code(), Some(124), "{}", String::from_utf8_lossy(&slow.stderr));
    let fixed = project("  - { run: exit 7 }\n").args(["-q", "--exit-code", "fixed"]).run();
    assert_eq!(fixed.status.code(), Some(1), "{}", String::from_utf8_lossy(&fixed.stderr));
}

#[test]
fn the_events_carry_every_byte_that_a_step_wrote() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "  - id: bytes\n    run: |\n      printf 'gr\\303\\274n\\n'\n      printf '\\377\\000\\200' >&2\n      printf end\n",
    );
    let output = case.args(["--progress", "json"]).run();
    let events = events(&output.stdout);
    let stream = |name: &str| -> Vec<u8> {
        let chunks = of(&events, "output").filter(|event| event["step"] == "bytes" && event["stream"] == name);
        chunks.flat_map(bytes_of).collect()
    };
    assert_eq!(stream("stdout"), "grün\nend".as_bytes());
    assert_eq!(stream("stderr"), [0xff, 0, 0x80]);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((names[0], *names.last().unwrap()), ("run-started", "run-finished"));
    let phases: Vec<&str> = of(&events, "machine").map(|event| event["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["prepared", "booting", "agent", "mounted", "ready", "stopping", "stopped"]);
    let times: Vec<f64> = events.iter().map(|event| event["t"].as_f64().unwrap()).collect();
    assert!(times.is_sorted());
    assert!(events.iter().all(|event| event["v"] == 1));
}

fn bytes_of(event: &Value) -> Vec<u8> {
    if let Some(text) = event["text"].as_str() {
        return text.as_bytes().to_vec();
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = event["base64"].as_str().unwrap().trim_end_matches('=');
    let bits: String = text
        .bytes()
        .map(|letter| format!("{:06b}", alphabet.iter().position(|known| *known == letter).unwrap()))
        .collect();
    (0..bits.len() / 8).map(|place| u8::from_str_radix(&bits[place * 8..place * 8 + 8], 2).unwrap()).collect()
}

#[test]
fn a_guest_that_powers_off_ends_its_step_at_once() {
    let Some(_machines) = machines() else { return };
    let case = project("  - { id: off, run: \"echo o > /proc/sysrq-trigger; sleep 600\", timeout: 5m }\n");
    let output = case.args(["--progress", "json"]).run();
    let events = events(&output.stdout);
    let end = of(&events, "step-finished").next().unwrap();
    assert_eq!((&end["status"], &end["exit_code"]), (&"failed".into(), &125.into()), "{end}");
    assert!(end["cause"].as_str().unwrap().contains("powered off"), "{end}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn a_second_up_learns_who_holds_the_project_or_waits() {
    let Some(_machines) = machines() else { return };
    // The step ends when the file comes.
    let steps = "  - { id: wait, run: \"until [ -e /go/on ]; do sleep 0.1; done\" }\n";
    let case = project(steps)
        .file(
            "smolvm.yaml",
            format!(
                "name: acme\nmachines:\n  box: {{ cpus: 1, memory: 256MiB, mounts: [./go:/go:ro] }}\nsteps:\n{steps}"
            ),
        )
        .folder("go")
        .args(["--progress", "json"]);
    let mut first = Live::start(case.command());
    first.until("the start of the step", |event| event["event"] == "step-started");
    let refused = case.run();
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains(&format!("the project is held by process {} (`", first.pid())), "{stderr}");
    let waiting = case.command().arg("--wait-lock").spawn().unwrap();
    let mut waiting = WaitingUp { child: waiting };
    waiting.says("waiting: the project is held by process");
    std::fs::write(case.project().join("go/on"), "").unwrap();
    assert_eq!(first.finish().code, Some(0));
    assert_eq!(waiting.child.wait_with_output().unwrap().status.code(), Some(0));
}

struct WaitingUp {
    child: Child,
}

impl WaitingUp {
    fn says(&mut self, start: &str) {
        let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(start) {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it never said `{start}`");
        }
    }
}

#[test]
fn a_run_does_not_end_because_nobody_reads() {
    let Some(_machines) = machines() else { return };
    let case = project("  - { run: \"echo one; echo two\" }\n");
    let mut child = case.command().spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_can_be_the_root_of_a_machine() {
    let Some(_machines) = machines() else { return };
    let case = Case::new()
        .file(
            "smolvm.yaml",
            "name: acme
machines:
  box: { image: \"dir:./rootfs\", cpus: 1, memory: 256MiB }
steps:
  - { run: [/hello, Ada] }
",
        )
        .folder("rootfs")
        .with_shared_cache()
        .args(["up", "--accel", "tcg", "-q", "--progress", "plain"]);
    let compiled = std::process::Command::new("gcc")
        .args(["-static", "-o"])
        .arg(case.project().join("rootfs/hello"))
        .args(["main.c", "greet.c"].map(|name| repository().join("examples/hello-c").join(name)))
        .status()
        .unwrap();
    assert!(compiled.success());
    let output = case.run();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn only_what_is_selected_runs_with_what_it_needs() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "  - { id: one, run: echo 1 }
  - { id: two, run: echo 2 }
  - { id: three, run: echo 3 }
finally:
  - { run: echo end }
",
    );
    let output = case.args(["--progress", "json", "two"]).run();
    let events = events(&output.stdout);
    let steps: Vec<&str> = of(&events, "step-started").map(|event| event["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["one", "two", "finally-1"]);
}
