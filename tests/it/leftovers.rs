//! What a run leaves behind: after its end nothing but logs, after SIGKILL no process and no mount within two seconds,
//! and what stays then is cleared by the next run, which says so.
//!
//! Deliberately not here: signals that a run can hear (`signals`).

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use rustix::process::Signal;

use crate::invoker::is_root;
use crate::running::{Live, signal};
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

/// A project that writes into one folder only, may not write into another, and can be held still in each phase: the
/// step and `finally` wait for a file each, and what runs in the background holds the stop.
fn project(world: &World) {
    world.make_folder("project/in");
    world.make_folder("project/out");
    world.write("project/in/source", "text");
    world.project(
        ", mounts: [./in:/in:ro, ./out:/out]",
        "steps:
  - id: copy
    run: |
      cp /in/source /out/copy
      echo step-here
      until [ -e /in/step ]; do sleep 0.05; done
      if [ -e /in/slow ]; then (trap '' TERM; while :; do sleep 0.1; done) & fi
    outputs: [/out/copy]
finally:
  - { id: tidy, run: \"echo finally-here; until [ -e /in/finally ]; do sleep 0.05; done\" }
",
    );
}

/// What is in the project's folder besides what it declares as its own.
fn undeclared(world: &World) -> Vec<(PathBuf, String)> {
    let inputs = world.place("project/in");
    let files = world.project_files().into_iter();
    files.filter(|(path, _)| !path.starts_with(&inputs) || path.ends_with("source")).collect()
}

#[test]
fn after_sigkill_in_any_phase_nothing_runs_and_the_next_run_clears_the_rest() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        project(&world);
        let before = undeclared(&world);
        let mut killed: Option<String> = None;
        for phase in ["booting", "mounted", "step", "finally", "stopping"] {
            let mut live = world.up(&[]);
            if let Some(id) = &killed {
                live.until_stderr(&format!("note: run `{id}` was killed before its end; cleared what it left"));
            }
            let started = live.until("start", |event| event["event"] == "run-started");
            reach(&world, &mut live, phase);
            assert!(world.processes().len() >= 3, "in {phase}: {:?}", world.processes());
            let ended = live.kill();
            assert!(ended.code.is_none());
            world.assert_only_state_stays();
            killed = Some(started["run"].as_str().unwrap().to_owned());
        }
        std::fs::remove_file(world.place("project/in/slow")).unwrap();
        let ended = world.up(&[]).finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("was killed before its end").count(), 1, "{}", ended.stderr);
        world.assert_nothing_stays();
        let mut after = undeclared(&world);
        let copy = world.place("project/out/copy");
        after.retain(|(path, _)| *path != copy);
        assert_eq!(after, before);
        assert_eq!(std::fs::read_to_string(copy).unwrap(), "text");
    });
}

/// Goes on until a run is in a phase, in which it then stays. Each phase comes after those before it.
fn reach(world: &World, live: &mut Live, phase: &str) {
    match phase {
        "booting" | "mounted" => live.until_phase(phase),
        "step" => live.until_output("step-here"),
        "finally" => {
            world.write("project/in/step", "");
            live.until_output("finally-here");
        }
        _ => {
            world.write("project/in/slow", "");
            world.write("project/in/finally", "");
            live.until_phase("stopping");
        }
    }
}

#[test]
fn a_download_that_is_killed_is_swept_by_the_next_command() {
    as_everyone(|who| {
        let verb = if who == Who::Ordinary { "check" } else { "doctor" };
        let mut world = World::without_kernel(who);
        world.project("", "steps:\n  - run: [\"true\"]\n");
        world.make_folder("bin");
        let hold = world.place("hold");
        let status = std::process::Command::new("mkfifo").args(["-m", "666"]).arg(&hold).status().unwrap();
        assert!(status.success());
        for tool in ["apt-get", "dpkg-deb"] {
            world.write_program(&format!("bin/{tool}"), &format!("read line < {}\n", hold.display()));
        }
        world.look_first_in("bin");
        let scratch_folders = || {
            let names = std::fs::read_dir(world.cache()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().starts_with(".new-")).collect::<Vec<_>>()
        };
        let mut first = world.up(&[]);
        first.until("a tool", |event| event["event"] == "progress");
        let left = scratch_folders();
        assert_eq!(left.len(), 1);
        first.kill();
        world.assert_only_state_stays();
        assert_eq!(scratch_folders(), left);
        let output = world.command(&[verb]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let note = format!("note: cleared `{}`, which a killed run left\n", world.cache().join(&left[0]).display());
        assert!(stderr.contains(&note) && scratch_folders().is_empty(), "{stderr}");

        let mut second = world.up(&[]);
        second.until("a tool", |event| event["event"] == "progress");
        let fresh = scratch_folders();
        assert_eq!(fresh.len(), 1, "{fresh:?}");
        second.signal(rustix::process::Signal::INT);
        let ended = second.finish();
        assert!(ended.stderr.contains("was killed before its end; cleared what it left"), "{}", ended.stderr);
        world.assert_nothing_stays();
    });
}

#[test]
fn whichever_process_of_a_run_is_killed_nothing_of_it_stays() {
    let Some(_machines) = machines() else { return };
    let world = World::new(if is_root() { Who::Ordinary } else { Who::Ourselves });
    project(&world);
    let before = undeclared(&world);
    for (words, cause) in [
        ("guest=", "the engine ended: qemu was ended by signal 9"),
        ("__share root", "the file server of root (the host's root) died: "),
        ("__share share1", "/project/out`) died: "),
    ] {
        let mut live = world.up(&[]);
        live.until_output("step-here");
        let processes = world.processes();
        // Of a file server the first process is the one that smolvm started.
        let (pid, _) = processes.iter().find(|(_, line)| line.contains(words)).unwrap();
        signal(u32::try_from(*pid).unwrap(), Signal::KILL);
        let ended = live.finish();
        ended.assert_run("failed", 125, cause);
        world.assert_nothing_stays();
    }
    let mut after = undeclared(&world);
    after.retain(|(path, _)| *path != world.place("project/out/copy"));
    assert_eq!(after, before);
}

#[test]
fn after_a_failure_and_a_reader_that_left_nothing_stays() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let lines = "i=0; while [ $i -lt 2000 ]; do echo a line that is long enough to fill a pipe soon; i=$((i+1)); done";
    world.project("", &format!("steps:\n  - {{ id: talk, run: \"{lines}; exit 5\" }}\n"));
    let before = world.project_files();
    let mut child = world.command(&["up", "--accel", "tcg", "--progress", "plain"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("talk │ a line"), "{line}");
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let (block, summary) = stderr.split_once("step `talk` failed with exit code 5\n  its last lines:\n").unwrap();
    assert!(!block.contains("│ a line"), "{stderr}");
    assert_eq!(summary.matches("  │ a line").count(), 20, "{stderr}");
    let log = summary.lines().find_map(|line| line.strip_prefix("  log:   ")).unwrap();
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 2000);
    assert!(summary.contains("\nfailed: 1 failed in "), "{stderr}");
    world.assert_nothing_stays();
    assert_eq!(world.project_files(), before);
}

#[test]
fn a_reader_that_does_not_read_does_not_hold_a_run_that_is_told_to_end() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    // More than a pipe holds: the last of it waits for the reader when the run is over.
    let talk = "for i in 1 2 3 4 5 6; do head -c 30000 /dev/zero | tr '\\\\0' x; echo; done";
    world.project("", &format!("steps:\n  - {{ id: talk, run: \"{talk}\" }}\n"));
    let mut child = world.command(&["up", "--accel", "tcg", "--progress", "plain"]).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    assert!(stderr.lines().map_while(Result::ok).any(|line| line.contains(": started in machine")));
    // The machine is gone, and what it said is not told yet.
    world.until_processes("smolvm alone", |left| left.len() == 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    // The news of the machine's end may have come after the signal.
    assert!(matches!(status.code(), Some(0 | 143)), "{status}");
    world.assert_nothing_stays();
}
