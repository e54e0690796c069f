//! Signals to a run: what still happens, the exit code, and that nothing stays behind, also after SIGKILL.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::live::{Live, gone_within};
use crate::support::{Case, machines};

/// How long processes may live on after smolvm was killed.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// A machine whose step waits to be interrupted and whose `finally` leaves a mark on the host.
fn project(step: &str) -> Case {
    let text = format!(
        "name: acme
machines:
  box:
    cpus: 1
    memory: 256MiB
    mounts: [{{ source: ./out, target: /out, create: true }}]
steps:
  - id: wait
    run: |
      {step}
  - {{ id: never, run: touch /out/never }}
finally:
  - {{ run: touch /out/finally }}
"
    );
    let case = Case::new().file("smolvm.yaml", text).folder("../runtime").folder("../tmp").with_shared_cache();
    let (runtime, tmp) = (case.project().join("../runtime"), case.project().join("../tmp"));
    case.env("XDG_RUNTIME_DIR", runtime).env("TMPDIR", tmp).args(["up", "--accel", "tcg", "--progress", "json"])
}

#[track_caller]
fn nothing_named_is_left(case: &Case) {
    for folder in ["../runtime", "../tmp"] {
        let left: Vec<_> = std::fs::read_dir(case.project().join(folder)).unwrap().collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
}

#[test]
fn the_first_interrupt_ends_the_step_runs_finally_and_leaves_nothing() {
    let Some(_machines) = machines() else { return };
    let case = project("trap 'echo got it > /out/trap; exit 3' INT; echo here; while true; do sleep 0.1; done");
    let mut live = Live::start(&case);
    live.until(&[("event", "output"), ("text", "here\n")]);
    let family = live.family();
    assert!(family.len() >= 3, "an engine and two file servers: {family:?}");
    live.signal(Signal::INT);
    let (events, status) = live.end();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"run-finished".into(), &"interrupted".into()), "{last}");
    assert_eq!((&last["exit_code"], status.code()), (&130.into(), Some(130)));
    let out = case.project().join("out");
    assert_eq!(std::fs::read_to_string(out.join("trap")).unwrap(), "got it\n");
    assert!(out.join("finally").exists() && !out.join("never").exists());
    gone_within(AFTER_KILL, &family);
    nothing_named_is_left(&case);
}

#[test]
fn the_second_interrupt_waits_for_nothing() {
    let Some(_machines) = machines() else { return };
    let case = project("trap '' INT TERM; echo here; while true; do sleep 0.1; done");
    let mut live = Live::start(&case);
    live.until(&[("event", "output"), ("text", "here\n")]);
    let family = live.family();
    live.signal(Signal::TERM);
    live.signal(Signal::INT);
    let start = Instant::now();
    let (_, status) = live.end();
    // The first signal gives the code.
    assert_eq!(status.code(), Some(143));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    gone_within(AFTER_KILL, &family);
    nothing_named_is_left(&case);
}

#[test]
fn an_interrupt_while_a_machine_boots_boots_nothing_for_finally() {
    let Some(_machines) = machines() else { return };
    let case = project("true");
    let mut live = Live::start(&case);
    live.until(&[("event", "machine"), ("phase", "booting")]);
    let family = live.family();
    live.signal(Signal::HUP);
    let (_, status) = live.end();
    assert_eq!(status.code(), Some(129));
    assert!(!case.project().join("out/finally").exists());
    gone_within(AFTER_KILL, &family);
    nothing_named_is_left(&case);
}

#[test]
fn a_killed_run_takes_its_machines_along_and_the_next_one_says_so_and_works() {
    let Some(_machines) = machines() else { return };
    let case = project("[ -e /out/again ] || { touch /out/again; echo here; sleep 600; }");
    let mut live = Live::start(&case);
    live.until(&[("event", "output"), ("text", "here\n")]);
    let family = live.family();
    live.signal(Signal::KILL);
    gone_within(AFTER_KILL, &family);
    let (_, status) = live.end();
    assert_eq!(status.code(), None);
    let next = case.run();
    let stderr = String::from_utf8_lossy(&next.stderr).into_owned();
    assert_eq!(next.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("was killed before its end"), "{stderr}");
    nothing_named_is_left(&case);
}

#[test]
fn a_run_killed_while_its_machine_boots_leaves_nothing_either() {
    let Some(_machines) = machines() else { return };
    let case = project("true");
    let mut live = Live::start(&case);
    live.until(&[("event", "machine"), ("phase", "booting")]);
    let family = live.family();
    live.signal(Signal::KILL);
    gone_within(AFTER_KILL, &family);
    nothing_named_is_left(&case);
}
