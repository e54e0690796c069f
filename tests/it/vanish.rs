//! Sources that vanish while a machine has them mounted: the step that used them fails and names what became of them,
//! the machine does not hang, and the host is not held up.

use std::fs;
use std::process::Command;

use crate::events::Ran;
use crate::invoker::is_root;
use crate::running::Live;
use crate::support::{Case, machines};

const WAITS: &str = "name: acme
x-small: &small { cpus: 1, memory: 256MiB }
machines:
  gone: { <<: *small, mounts: [\"./gone:/out\", \"./go:/go:ro\"] }
  moved: { <<: *small, mounts: [\"./moved:/out\", \"./go:/go:ro\"] }
  swapped: { <<: *small, mounts: [\"./swapped:/in:ro\", \"./go:/go:ro\"] }
  fine: { <<: *small, mounts: [\"./fine:/out\", \"./go:/go:ro\"] }
steps:
  - id: gone
    machine: gone
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; ls -A /out; ! echo x > /out/late; exit 3\"
  - id: moved
    machine: moved
    needs: []
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; echo x > /out/late\"
    outputs: [/out/late]
  - { id: after, machine: moved, needs: [], run: echo never }
  - id: swapped
    machine: swapped
    needs: []
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; cat /in/file\"
  - id: fine
    machine: fine
    needs: []
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; echo x > /out/late\"
finally:
  - { id: end, machine: fine, run: echo end }
";

/// Waits until this many steps are up.
fn until_up(run: &mut Live, count: usize) {
    for _ in 0..count {
        run.until("a step that is up", |event| event["text"] == "up\n");
    }
}

#[track_caller]
fn assert_end(ran: &Ran, step: &str, code: i64, causes: &[&str]) {
    let (status, told_code, told) = ran.end(step);
    assert_eq!((status, told_code), ("failed", Some(code)), "{step}: {told}\n{}", ran.told());
    for cause in causes {
        assert!(told.contains(cause), "{step}: not {cause:?} in {told}");
    }
}

#[test]
fn folders_that_are_removed_moved_or_swapped_fail_their_step_by_name() {
    let Some(_machines) = machines() else { return };
    let case = ["gone", "moved", "swapped", "fine", "go"].into_iter().fold(Case::new(), Case::folder);
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going", "--parallel", "4"];
    let case = case.file("smolvm.yaml", WAITS).file("swapped/file", "old").with_shared_cache().args(args);
    let at = |name: &str| case.project().join(name);
    let mut run = Live::start(case.command());
    until_up(&mut run, 4);
    fs::remove_dir(at("gone")).unwrap();
    fs::rename(at("moved"), at("elsewhere")).unwrap();
    fs::rename(at("swapped"), at("old")).unwrap();
    fs::create_dir(at("swapped")).unwrap();
    fs::write(at("go/now"), "").unwrap();
    let ran = run.finish();
    let source = |name| format!("`{}` was", at(name).display());
    let removed = "removed or renamed on the host while machine";
    assert_end(&ran, "gone", 3, &["exit code 3, and ", &source("gone"), removed, "mounted at `/out` (share0)"]);
    assert_end(&ran, "moved", 125, &[&source("moved"), removed, "machine `moved`", "put it back"]);
    assert_end(&ran, "after", 125, &[&source("moved"), removed]);
    assert_end(&ran, "swapped", 125, &[&source("swapped"), "replaced on the host by another folder", "`/in`"]);
    assert_eq!(ran.stdout("swapped"), "up\nold");
    for step in ["fine", "end"] {
        assert_eq!(ran.end(step).0, "passed", "{}", ran.told());
    }
    assert_eq!(ran.code, Some(3), "{}", ran.told());
    assert_eq!(fs::read_to_string(at("elsewhere/late")).unwrap(), "x\n");
}

const UNMOUNTED: &str = "name: acme
x-small: &small { cpus: 1, memory: 256MiB }
machines:
  top: { <<: *small, mounts: [\"./top:/out\", \"./go:/go:ro\"] }
  below: { <<: *small, mounts: [\"./tree:/tree\", \"./go:/go:ro\"] }
steps:
  - id: top
    machine: top
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; echo x > /out/late; cat /out/late\"
  - id: below
    machine: below
    needs: []
    run: \"echo up; until [ -e /go/now ]; do sleep 0.1; done; echo x > /tree/sub/late\"
";

#[test]
fn unmounting_a_source_is_not_held_up_and_fails_the_step_by_name() {
    let Some(_machines) = machines() else { return };
    if !is_root() {
        return;
    }
    let case = ["top", "tree/sub", "go"].into_iter().fold(Case::new(), Case::folder);
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going", "--parallel", "2"];
    let case = case.file("smolvm.yaml", UNMOUNTED).with_shared_cache().args(args);
    let at = |name: &str| case.project().join(name);
    // In a mount namespace of its own, so that nothing stays mounted.
    let inner = case.command();
    let mut command = Command::new("unshare");
    let mounts = "for at in top tree/sub; do mount -t tmpfs none $at; done; exec \"$@\"";
    command.args(["--mount", "sh", "-euc", mounts, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(case.project()).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut run = Live::start(command);
    until_up(&mut run, 2);
    for name in ["top", "tree/sub"] {
        let pid = run.pid().to_string();
        let done = Command::new("nsenter").args(["--mount", "--target", &pid, "umount"]).arg(at(name)).status();
        assert!(done.unwrap().success(), "{name}");
    }
    fs::write(at("go/now"), "").unwrap();
    let ran = run.finish();
    let path = |name: &str| at(name).display().to_string();
    assert_end(
        &ran,
        "top",
        125,
        &[&path("top"), "was unmounted on the host", "machine `top` has it mounted at `/out`"],
    );
    assert_end(&ran, "below", 125, &[&path("tree/sub"), "below the source", "was unmounted on the host", "`/tree`"]);
    assert_eq!(ran.stdout("top"), "up\nx\n");
    assert!(!at("top/late").exists() && !at("tree/sub/late").exists());
}
