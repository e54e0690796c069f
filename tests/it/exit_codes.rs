//! What the exit code of `up` is made of, and that its cause is said in words and as an event.
//!
//! One run proves several codes where it can. Deliberately not here: signals (`signals`); 124, 126, 127 and signals of
//! a step (`cli_up`).

use serde_json::Value;

use crate::events::Ran;
use crate::support::machines;
use crate::world::{Who, World};

fn run(steps: &str, args: &[&str]) -> Ran {
    let world = World::new(Who::Ourselves);
    world.make_folder("project/out");
    world.project(", mounts: [./out:/out]", steps);
    let ended = world.up(args).finish();
    world.assert_nothing_stays();
    ended
}

fn end(ended: &Ran, step: &str) -> (String, Option<i64>, String) {
    let event = ended.finished(step);
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    (text("status"), event["exit_code"].as_i64(), text("cause"))
}

#[test]
fn the_first_step_in_file_order_counts_that_failed_and_was_not_allowed_to() {
    let Some(_machines) = machines() else { return };
    let steps = "steps:
  - { id: allowed, run: exit 9, continue_on_error: true }
  - { id: after, run: exit 0 }
  - { id: hungry, needs: [], run: [tail, /dev/zero] }
  - { id: output, needs: [], run: \"true\", outputs: [/out/none, /out] }
  - { id: plain, needs: [], run: exit 3 }
  - { id: skipped, run: exit 4 }
finally:
  - { id: last, run: exit 5 }
";
    let ended = run(steps, &["--keep-going"]);
    assert_eq!(end(&ended, "allowed"), ("failed".into(), Some(9), String::new()));
    assert_eq!(ended.finished("allowed")["allowed"], true);
    assert_eq!(end(&ended, "after").0, "passed");
    assert_eq!(end(&ended, "hungry"), ("failed".into(), Some(137), "out of memory (memory: 256MiB)".into()));
    assert_eq!(end(&ended, "output"), ("failed".into(), Some(1), "output is missing: `/out/none`".into()));
    assert_eq!(end(&ended, "plain"), ("failed".into(), Some(3), String::new()));
    assert_eq!(end(&ended, "skipped").0, "skipped");
    assert_eq!(end(&ended, "last"), ("failed".into(), Some(5), String::new()));
    ended.assert_run("failed", 137, "step `hungry` failed: out of memory (memory: 256MiB)");
    let last = ended.last();
    assert_eq!((&last["passed"], &last["failed"], &last["skipped"]), (&1.into(), &5.into(), &1.into()), "{last}");
}

#[test]
fn the_code_of_finally_counts_only_where_nothing_else_failed() {
    let Some(_machines) = machines() else { return };
    let steps = "steps:
  - { id: allowed, run: exit 9, continue_on_error: true }
finally:
  - { id: first, run: exit 6 }
  - { id: second, run: exit 7 }
";
    run(steps, &[]).assert_run("failed", 6, "step `first` failed with exit code 6");
    let fixed = run(steps, &["--exit-code", "fixed"]);
    fixed.assert_run("failed", 1, "step `first` failed with exit code 6");
    assert_eq!(end(&fixed, "first").1, Some(6));
}

/// Two machines: the first one's step fails, with 3, when it is told to end or when its time has come.
fn race(args: &[&str]) -> Ran {
    let world = World::new(Who::Ourselves);
    let other = format!("{}-b", world.machine());
    world.make_folder("project/in");
    world.project(
        ", mounts: [./in:/in:ro]",
        &format!(
            "  {other}: {{ cpus: 1, memory: 256MiB }}
steps:
  - id: slow
    machine: {}
    run: \"trap 'exit 3' TERM; echo here; until [ -e /in/go ]; do sleep 0.05; done; exit 3\"
  - {{ id: quick, machine: {other}, needs: [], run: exit 4 }}
",
            world.machine()
        ),
    );
    let mut live = world.up(&[&["--parallel", "2"], args].concat());
    live.until("the quick one", |event| event["event"] == "step-finished" && event["step"] == "quick");
    world.write("project/in/go", "");
    let ended = live.finish();
    world.assert_nothing_stays();
    ended
}

#[test]
fn a_step_that_was_canceled_does_not_count_and_one_that_went_on_does() {
    let Some(_machines) = machines() else { return };
    let ended = race(&["--keep-going"]);
    assert_eq!(ended.steps(), [("quick", "failed"), ("slow", "failed")]);
    ended.assert_run("failed", 3, "step `slow` failed with exit code 3");

    let ended = race(&[]);
    let slow = end(&ended, "slow").0;
    assert!(slow == "canceled" || slow == "skipped", "{slow}");
    ended.assert_run("failed", 4, "step `quick` failed with exit code 4");
}

/// Runs what ends before a machine is thought of.
fn early(world: &World, args: &[&str]) -> Ran {
    let ended = world.up(args).finish();
    world.assert_nothing_stays();
    ended
}

#[test]
fn what_keeps_a_run_from_starting_has_codes_of_its_own() {
    let mut world = World::without_kernel(Who::Ourselves);
    let none = early(&world, &[]);
    none.assert_run("invalid", 78, "there is no `smolvm.yaml`");
    assert!(none.stderr.contains("help: "), "{}", none.stderr);

    world.project("", "steps:\n  - { id: one, run: \"true\" }\n");
    let nothing = early(&world, &["tow"]);
    nothing.assert_run("failed", 4, "tow");
    assert!(nothing.stderr.contains("tow"), "{}", nothing.stderr);

    world.make_folder("bin");
    world.look_only_in("bin");
    let unfit = early(&world, &[]);
    unfit.assert_run("failed", 69, "qemu-system-x86_64");
    assert!(unfit.stderr.contains("install"), "{}", unfit.stderr);

    world.project(", memroy: 1GiB", "steps:\n  - { id: one, run: \"true\", needs: [two] }\n");
    let wrong = early(&world, &[]);
    wrong.assert_run("invalid", 78, "the file has 2 errors");
    let codes: Vec<&Value> = wrong.events[..2].iter().map(|event| &event["code"]).collect();
    assert!(wrong.events[..2].iter().all(|event| event["event"] == "diagnostic"), "{codes:?}");

    let usage = early(&world, &["--no-such-option"]);
    assert_eq!((usage.code, usage.events.len()), (Some(2), 0), "{}", usage.stderr);
    assert!(!world.place("state/smolvm").exists());
}

#[test]
fn an_engine_that_does_not_run_is_named_with_its_words() {
    let mut world = World::new(Who::Ourselves);
    world.project("", "steps:\n  - { id: one, run: \"true\" }\n");
    world.make_folder("bin");
    world.write_program("bin/qemu-system-x86_64", "echo 'cannot set up guest memory' >&2; exit 1\n");
    world.look_first_in("bin");
    let ended = world.up(&[]).finish();
    ended.assert_run("failed", 125, "cannot set up guest memory");
    assert_eq!(ended.finished("one")["status"], "skipped");
    world.assert_nothing_stays();
}

#[test]
fn a_guest_that_never_comes_up_is_shown_with_its_phase_and_the_end_of_its_console() {
    let mut world = World::new(Who::Ourselves);
    world.project("", "steps:\n  - { id: one, run: \"true\" }\n");
    world.make_folder("bin");
    // Its control channel is 3, its console 4.
    let reset = "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-reset\"}}";
    let script = format!("echo 'Kernel panic - not syncing: no root' >&4; echo '{reset}' >&3\n");
    world.write_program("bin/qemu-system-x86_64", &script);
    world.look_first_in("bin");
    let output = world.command(&["up", "--accel", "tcg", "--progress", "plain"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!(
        "\nmachine `{}` failed: kernel: the guest's kernel panicked: no root\n  the end of its console:\n  \
         │ Kernel panic - not syncing: no root\n",
        world.machine()
    );
    assert!(stderr.contains(&expected), "{stderr}");
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    world.assert_nothing_stays();
}
