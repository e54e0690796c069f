//! `up` where the machines are held already: its steps run in them, and only what changed starts anew.
//!
//! Deliberately not here: what a run decides about it (unit tests of `run`).

use std::collections::BTreeSet;
use std::process::Output;

use rustix::process::Signal;

use crate::support::machines;
use crate::world::{Who, World, as_everyone};

fn run(world: &World, args: &[&str]) -> Output {
    world.command(&[args, &["--accel", "tcg"]].concat()).output().unwrap()
}

/// Runs `up` that must end with this code; what it wrote on both streams.
#[track_caller]
fn up(world: &World, args: &[&str], code: i32) -> (String, String) {
    let output = run(world, &[&["up"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}{printed}");
    (printed, said)
}

fn told(world: &World, args: &[&str]) -> String {
    let output = world.command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The boots that a machine has noted in its workspace, by the kernel's name for each.
fn boots(world: &World) -> Vec<String> {
    let text = told(world, &["exec", "-T", world.machine(), "cat", "/workspace/boots"]);
    text.lines().map(str::to_owned).collect()
}

const NOTE: &str = "cat /proc/sys/kernel/random/boot_id >> /workspace/boots";

fn project(world: &World, memory: u32, other: &str) {
    let machine = world.machine();
    world.write(
        "project/smolvm.yaml",
        &format!(
            "name: acme\nmachines:\n  {machine}: {{ cpus: 1, memory: {memory}MiB }}\n  {machine}-{other}: {{ cpus: 1, memory: 256MiB }}\n\
             steps:\n  - {{ id: note, machine: {machine}, run: {NOTE} }}\n\
             \x20 - {{ id: {other}, machine: {machine}-{other}, needs: [], run: echo {other} runs }}\n"
        ),
    );
}

#[test]
fn steps_run_in_the_machines_that_are_held_and_only_what_changed_starts_anew() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        let (one, old, new) =
            (world.machine().to_owned(), format!("{}-old", world.machine()), format!("{}-new", world.machine()));
        project(&world, 256, "old");
        up(&world, &["-d"], 0);
        let (_, said) = up(&world, &["note"], 0);
        assert!(said.contains("passed: 1 step") && said.contains("stay up"), "{said}");
        let (printed, _) = up(&world, &[&old], 0);
        assert!(printed.contains("old runs"), "{printed}");
        assert!(up(&world, &["-d"], 0).1.contains("are not run again"));
        let noted = boots(&world);
        assert_eq!((noted.len(), noted.iter().collect::<BTreeSet<_>>().len()), (2, 1), "{noted:?}");

        project(&world, 320, "new");
        let (printed, said) = up(&world, &["-d"], 0);
        assert!(said.contains(&format!("`{one}` is another machine by now and starts anew")), "{said}");
        assert!(said.contains(&format!("`{old}` is not in the file any more and ends")), "{said}");
        assert!(printed.contains("new runs"), "{printed}");
        let shown = told(&world, &["ps"]);
        assert!(shown.contains(&new) && !shown.contains(&old) && !shown.contains("older file"), "{shown}");
        let noted = boots(&world);
        assert_eq!((noted.len(), noted.iter().collect::<BTreeSet<_>>().len()), (3, 2), "{noted:?}");
        told(&world, &["stop", &new]);
        up(&world, &[&new], 0);
        told(&world, &["down"]);
        world.assert_nothing_stays();
    });
}

#[test]
fn who_interrupts_steps_in_held_machines_ends_them_and_leaves_the_machines() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project("", "steps: [{ id: short, run: echo here }]\n");
    up(&world, &["-d"], 0);
    world.project(
        "",
        "steps:\n  - { id: short, run: echo here }\n  - { id: fails, needs: [], run: exit 7 }\n  \
         - { id: long, needs: [], run: \"echo begins; sleep 1000\" }\n",
    );
    let (_, said) = up(&world, &["fails"], 7);
    assert!(said.contains("stays up"), "{said}");
    let mut live = world.up(&["long"]);
    live.until_output("begins");
    let (_, said) = up(&world, &["short"], 125);
    assert!(said.contains("the machines are busy: step `long` runs"), "{said}");
    live.signal(Signal::INT);
    assert_eq!(live.finish().code, Some(130));
    // Who is killed takes its steps along too.
    let mut live = world.up(&["long"]);
    live.until_output("begins");
    live.kill();
    up(&world, &["--wait-lock", "short"], 0);
    told(&world, &["down"]);
    world.assert_nothing_stays();
}
