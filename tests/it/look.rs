//! `up -i`: the shell in the machine of a step that failed, on a pseudo terminal.
//!
//! Deliberately not here: what is held where a step failed (unit tests of `run`), machines that stay (`life`).

use std::fs;

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::machines;
use crate::terminal::{Left, Terminal};
use crate::world::{Who, World, as_everyone};

/// A step that fails with 7 and leaves something in its folder, one beside it, one behind it, and what clears up.
const STEPS: &str = "env: { A: file }
steps:
  - { id: fine, run: echo }
  - { id: bad, run: \"echo left by $USER_OF > here; exit 7\", env: { USER_OF: step }, working_dir: /tmp, user: \"1234\" }
  - { id: never, run: echo }
finally: [{ id: clean, run: rm /tmp/here }]
";

fn start(world: &World, args: &[&str]) -> Terminal {
    world.terminal(&[&["up", "-i", "--accel", "tcg"], args].concat(), 100, 30)
}

fn is_usual(terminal: &fs::File) -> bool {
    tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
}

/// Waits for the shell that is told of.
fn until_shell(terminal: &mut Terminal) {
    terminal.until_shown("of step `bad`, with its folder");
}

fn text(left: &Left) -> String {
    left.lines.join("\n")
}

#[test]
fn a_shell_opens_where_a_step_failed_as_the_step_had_it_and_all_goes_down_behind_it() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        world.project("", STEPS);
        let mut terminal = start(&world, &[]);
        until_shell(&mut terminal);
        assert!(terminal.shown().contains("failed: 1 failed, 1 passed, 1 skipped in"), "{}", terminal.shown());
        terminal.until_shown("when it ends, `finally` runs and all goes down");
        // What `finally` takes away is still there.
        terminal.write("cat here; echo $A in $PWD by $(id -u) on $(stty size)\r");
        terminal.until_shown("file in /tmp by 1234 on 30 100");
        assert!(terminal.shown().contains("left by step"));
        assert!(!is_usual(&terminal.controller));
        terminal.resize(90, 25);
        terminal.write("until [ \"$(stty size)\" = '25 90' ]; do sleep 0.1; done; echo re''sized\r");
        terminal.until_shown("resized");
        // Ctrl-C is the shell's.
        terminal.write("echo sle''eps; sleep 1000\r");
        terminal.until_shown("sleeps");
        terminal.write("\x03");
        terminal.until("a prompt behind ^C", |screen| {
            screen.contents().rsplit_once("^C").is_some_and(|(_, rest)| rest.contains('$'))
        });
        let kept = terminal.controller.try_clone().unwrap();
        terminal.write("exit 3\r");
        let left = terminal.end();
        assert_eq!(left.status.code(), Some(7), "{}", left.bytes);
        let end = text(&left);
        let (_, after) = end.split_once("stopping the machines").expect(&left.bytes);
        assert!(after.contains("step clean: passed in "), "{}", left.bytes);
        assert!(!text(&left).contains("shell:"), "it is open already: {}", left.bytes);
        assert!(is_usual(&kept));
        world.assert_nothing_stays();
    });
}

#[test]
fn a_signal_ends_the_shell_and_the_run() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project("", STEPS);
    for (kind, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut terminal = start(&world, &[]);
        until_shell(&mut terminal);
        terminal.write("trap '' TERM HUP; echo deaf''ened\r");
        terminal.until_shown("deafened");
        let kept = terminal.controller.try_clone().unwrap();
        terminal.signal(kind);
        let left = terminal.end();
        assert_eq!(left.status.code(), Some(code), "{}", left.bytes);
        assert!(is_usual(&kept));
        drop(kept);
        world.assert_nothing_stays();
    }
}

#[test]
fn a_shell_that_cannot_be_opened_is_told_and_the_code_is_the_steps() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    // The machine ends by its own step.
    let steps = "steps: [{ id: bad, run: \"echo o > /proc/sysrq-trigger; sleep 600\", user: root }]\n";
    world.project("", steps);
    let left = start(&world, &[]).end();
    assert!(text(&left).contains("no shell"), "{}", left.bytes);
    assert_eq!(left.status.code(), Some(125), "{}", left.bytes);
    world.project("", "steps: [{ id: fine, run: echo }]\n");
    let left = start(&world, &[]).end();
    assert!(left.status.success() && !text(&left).contains("shell"), "{}", left.bytes);
    world.assert_nothing_stays();
}

#[test]
fn without_a_terminal_there_is_no_shell() {
    let world = World::without_kernel(Who::Ourselves);
    world.project("", STEPS);
    let refused = |args: &[&str]| {
        let output = world.command(&[&["up", "-i"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&[]);
    assert!(said.contains("`up -i` needs a terminal") && said.contains("up --keep"), "{said}");
    assert!(refused(&["--progress", "json"]).contains("events cannot go there too"));
    assert!(refused(&["-d"]).contains("cannot be used with"));
    world.assert_nothing_stays();
}

#[test]
fn beside_machines_that_are_held_a_shell_opens_too_and_they_stay() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project("", "");
    let up = world.command(&["up", "-d", "--accel", "tcg"]).output().unwrap();
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    world.project("", STEPS);
    let mut terminal = start(&world, &[]);
    until_shell(&mut terminal);
    terminal.until_shown("`finally` runs and the machines stay");
    terminal.write("cat here; echo in $PWD by $(id -u)\r");
    terminal.until_shown("in /tmp by 1234");
    assert!(terminal.shown().contains("left by step"), "{}", terminal.shown());
    let busy = world.command(&["up", "fine", "--accel", "tcg"]).output().unwrap();
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(busy.status.code() == Some(125) && said.contains("somebody looks at step `bad`"), "{said}");
    terminal.write("exit 3\r");
    let left = terminal.end();
    assert_eq!(left.status.code(), Some(7), "{}", left.bytes);
    assert!(text(&left).contains("step clean: passed in "), "{}", left.bytes);
    let listed = world.command(&["ps", "-q"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), world.machine());
    assert!(world.command(&["down"]).output().unwrap().status.success());
    world.assert_nothing_stays();
}
