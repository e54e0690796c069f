//! A run that is interrupted: once, twice, by each signal, in each phase. It ends in order, with its code and its
//! cause in words, and leaves nothing. The phases are held still by what the machine or a tool waits for.
//!
//! Deliberately not here: a run that is killed (`leftovers`).

use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::process::Signal;

use crate::invoker::ORDINARY;
use crate::running::Live;
use crate::support::machines;
use crate::world::{Who, World, as_everyone, lock};

/// An end that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(2);

/// One step that says `here` and then waits, in the machine of this world, and an end that says `tidy`.
fn waiting_project(world: &World, trap: &str) {
    let steps = format!(
        "steps:\n  - id: long\n    run: |\n      {trap}\n      echo here\n      while :; do sleep 0.1; done\n\
         \x20 - {{ id: next, run: echo never }}\nfinally:\n  - {{ id: tidy, run: echo tidied }}\n"
    );
    world.project("", &steps);
}

/// A run that is held while it prepares its machine, because the cache of kernels is locked.
fn preparing(world: &World) -> (std::fs::File, Live) {
    world.project("", "steps:\n  - run: [\"true\"]\n");
    world.write("cache/smolvm/kernels/lock", "");
    let held = lock(&world.cache().join("lock")).unwrap();
    let mut live = world.up(&[]);
    live.until("waiting", |event| event["text"].as_str().is_some_and(|text| text.starts_with("waiting for another")));
    (held, live)
}

#[test]
fn while_it_waits_for_its_file() {
    let world = World::without_kernel(Who::Ourselves);
    for (signal, code, name) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")] {
        let args = ["-f", "-", "--project-directory", ".", "up", "--progress", "json"];
        let mut command = world.command(&args);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdin(reader);
        let mut live = Live::start(command);
        live.until_heard(signal);
        live.signal(signal);
        let ended = live.finish();
        ended.assert_run("interrupted", code, &format!("interrupted by {name}"));
        assert!(ended.after < AT_ONCE, "{:?}", ended.after);
        drop(writer);
        world.assert_nothing_stays();
    }
}

#[test]
fn while_it_prepares_a_machine() {
    as_everyone(|who| {
        let world = World::without_kernel(who);
        let (held, mut live) = preparing(&world);
        live.signal(Signal::INT);
        let ended = live.finish();
        ended.assert_run("interrupted", 130, "interrupted by SIGINT");
        assert!(ended.after < AT_ONCE, "{:?}", ended.after);
        drop(held);
        world.assert_nothing_stays();
    });
}

#[test]
fn while_a_tool_downloads_the_kernel() {
    as_everyone(|who| {
        let mut world = World::without_kernel(who);
        world.project("", "steps:\n  - run: [\"true\"]\n");
        world.make_folder("bin");
        for tool in ["apt-get", "dpkg-deb"] {
            // A shell that waits for a program that waits: both must go.
            world.write_program(&format!("bin/{tool}"), "sleep 1000\n");
        }
        world.look_first_in("bin");
        let mut live = world.up(&[]);
        live.until("a tool", |event| event["event"] == "progress");
        live.signal(Signal::TERM);
        if who == Who::Ordinary {
            live.until("the news", |event| event["event"] == "warning");
            live.signal(Signal::INT);
        }
        let ended = live.finish();
        ended.assert_run("interrupted", 143, "interrupted by SIGTERM");
        assert!(ended.after < AT_ONCE, "{:?}", ended.after);
        world.assert_nothing_stays();
    });
}

#[test]
fn while_it_waits_for_another_that_holds_the_project() {
    let world = World::without_kernel(Who::Ourselves);
    let (held, mut first) = preparing(&world);
    let refused = world.up(&[]).finish();
    refused.assert_run("failed", 125, &format!("the project is held by process {} (`", first.pid()));
    let cause = refused.last()["cause"].as_str().unwrap().to_owned();
    assert!(cause.contains("smolvm up --accel tcg --progress json`), since 20"), "{cause}");
    assert!(refused.stderr.contains("--wait-lock"), "{}", refused.stderr);

    let mut waiting = world.up(&["--wait-lock"]);
    waiting.until_stderr("waiting: the project is held by process");
    waiting.signal(Signal::HUP);
    let ended = waiting.finish();
    ended.assert_run("interrupted", 129, "interrupted by SIGHUP");
    assert!(ended.after < AT_ONCE, "{:?}", ended.after);

    first.signal(Signal::INT);
    first.finish().assert_run("interrupted", 130, "interrupted by SIGINT");
    drop(held);
    world.assert_nothing_stays();
}

#[test]
fn a_user_and_their_sudo_share_the_lock_of_a_project() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::without_kernel(Who::Ordinary);
    let (held, mut first) = preparing(&world);
    let sudo = || {
        let mut command = world.command(&["up", "--accel", "tcg", "--progress", "json"]);
        command.uid(0).gid(0).env("SUDO_UID", ORDINARY.to_string()).env("SUDO_GID", ORDINARY.to_string());
        command
    };
    let refused = Live::start(sudo()).finish();
    refused.assert_run("failed", 125, &format!("the project is held by process {} (`", first.pid()));
    first.signal(Signal::INT);
    first.finish().assert_run("interrupted", 130, "interrupted by SIGINT");

    // Root fetches a kernel of its own; whatever comes of that, the state is the user's.
    let mut second = Live::start(sudo());
    second.until("the start", |event| event["event"] == "run-started");
    second.signal(Signal::INT);
    second.finish();
    drop(held);
    let mut found = 0;
    for (path, facts) in world.files("state") {
        assert!(facts.starts_with("12345:12345 "), "{}: {facts}", path.display());
        found += 1;
    }
    assert!(found > 5, "{found}");
    world.assert_nothing_stays();
}

#[test]
fn while_a_machine_boots() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        waiting_project(&world, "");
        let mut live = world.up(&[]);
        live.until_phase("booting");
        live.signal(Signal::TERM);
        let ended = live.finish();
        ended.assert_run("interrupted", 143, "interrupted by SIGTERM");
        assert_eq!(ended.steps(), [("long", "skipped"), ("next", "skipped"), ("tidy", "skipped")]);
        assert!(ended.after < AT_ONCE, "{:?}", ended.after);
        world.assert_nothing_stays();
    });
}

#[test]
fn a_step_gets_sigint_and_finally_runs() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        waiting_project(&world, "trap 'echo heard; exit 3' INT");
        let files = world.project_files();
        let mut live = world.up(&[]);
        live.until_output("here");
        // As Ctrl-C in a terminal does: every process of the group gets it.
        live.signal_group(Signal::INT);
        live.until_output("heard");
        live.until_output("tidied");
        let ended = live.finish();
        ended.assert_run("interrupted", 130, "interrupted by SIGINT");
        assert_eq!(ended.steps(), [("next", "skipped"), ("long", "canceled"), ("tidy", "passed")]);
        assert_eq!(ended.finished("long")["exit_code"], 3);
        world.assert_nothing_stays();
        assert_eq!(world.project_files(), files);
    });
}

#[test]
fn a_second_signal_ends_a_step_at_once() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    waiting_project(&world, "trap 'echo heard' INT");
    let mut live = world.up(&[]);
    live.until_output("here");
    live.signal(Signal::INT);
    live.until_output("heard");
    live.signal(Signal::TERM);
    let ended = live.finish();
    ended.assert_run("interrupted", 130, "interrupted by SIGINT, and again");
    assert_eq!(ended.finished("long")["status"], "canceled");
    assert_eq!(ended.finished("tidy")["status"], "skipped");
    assert!(ended.after < AT_ONCE, "{:?}", ended.after);
    world.assert_nothing_stays();
}

#[test]
fn a_step_that_does_not_listen_is_killed_after_its_grace() {
    let Some(machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    waiting_project(&world, "trap '' INT TERM");
    let mut live = world.up(&[]);
    live.until_output("here");
    // Nothing but time passes: another test may use the machine's CPUs.
    drop(machines);
    live.signal(Signal::INT);
    live.until_output("tidied");
    let ended = live.finish();
    ended.assert_run("interrupted", 130, "interrupted by SIGINT");
    assert_eq!(ended.steps(), [("next", "skipped"), ("long", "canceled"), ("tidy", "passed")]);
    assert_eq!(ended.finished("long")["exit_code"], 137);
    let grace = Duration::from_secs(10);
    assert!(ended.after >= grace && ended.after < grace + grace, "{:?}", ended.after);
    world.assert_nothing_stays();
}

/// Its only entry of `finally` goes on when `go/on` is there.
fn waiting_finally(world: &World) {
    world.make_folder("project/go");
    world.project(
        ", mounts: [./go:/go:ro]",
        "steps:\n  - { id: first, run: echo first }\n\
         finally:\n  - { id: tidy, run: \"echo here; until [ -e /go/on ]; do sleep 0.1; done\" }\n",
    );
}

#[test]
fn finally_goes_on_after_a_first_signal_and_ends_at_a_second() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        waiting_finally(&world);
        let mut live = world.up(&[]);
        live.until_output("here");
        live.signal(Signal::HUP);
        live.until("the news", |event| event["event"] == "warning");
        if who == Who::Ordinary {
            live.signal(Signal::HUP);
        } else {
            world.write("project/go/on", "");
        }
        let ended = live.finish();
        ended.assert_run("interrupted", 129, "interrupted by SIGHUP");
        let tidied = if who == Who::Ordinary { "canceled" } else { "passed" };
        assert_eq!(ended.steps(), [("first", "passed"), ("tidy", tidied)]);
        assert!(who == Who::Ourselves || ended.after < AT_ONCE, "{:?}", ended.after);
        world.assert_nothing_stays();
    });
}

#[test]
fn a_second_signal_does_not_wait_for_a_machine_that_stops() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    // What it leaves in the background holds the stop for ten seconds.
    world.project("", "steps:\n  - { id: leave, run: \"(trap '' TERM; while :; do sleep 0.1; done) &\" }\n");
    let mut live = world.up(&[]);
    live.until_phase("stopping");
    live.signal(Signal::TERM);
    live.until("the news", |event| event["event"] == "warning");
    live.signal(Signal::TERM);
    let ended = live.finish();
    ended.assert_run("interrupted", 143, "interrupted by SIGTERM, and again");
    assert_eq!(ended.steps(), [("leave", "passed")]);
    assert!(ended.after < AT_ONCE, "{:?}", ended.after);
    world.assert_nothing_stays();
}
