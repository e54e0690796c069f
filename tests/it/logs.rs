//! `smolvm logs` of a machine that writes and writes: what was there is shown and then it ends, whatever its log is made of.
//!
//! Deliberately not here: how lines look (`shown`).

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::running::EVENT_LIMIT;
use crate::support::{all_below, machines};
use crate::world::{Who, World};

/// One MiB a block; more of them than a file of a service's log holds.
const BLOCKS: usize = 70;

/// What a command wrote, which must end within the limit.
#[track_caller]
fn told(world: &World, args: &[&str]) -> String {
    let mut command: Command = world.command(args);
    command.stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > EVENT_LIMIT {
            child.kill().unwrap();
            panic!("{args:?} goes on for ever");
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success(), "{args:?}");
    String::from_utf8(reading.join().unwrap().unwrap()).unwrap()
}

/// Takes the machine down, also where the test fails.
struct Down<'a>(&'a World);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        // Where it went down before, nothing is left to be done.
        let _ = self.0.command(&["down"]).output();
    }
}

#[test]
fn logs_end_with_what_was_there_when_they_began() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let machine = world.machine().to_owned();
    world.project("", "steps: [{ id: one, run: echo step-one }]\n");
    told(&world, &["up", "-d", "--accel", "tcg"]);
    let _down = Down(&world);
    let exec =
        |options: &[&str], script: &str| told(&world, &[&["exec"], options, &[&machine, "sh", "-c", script]].concat());
    let script = format!(
        "for n in $(seq {BLOCKS}); do echo block $n; head -c 1048575 /dev/zero | tr '\\0' x; echo; done; touch /tmp/done"
    );
    exec(&["-d"], &script);
    exec(&["-T"], "until test -e /tmp/done; do sleep 0.1; done");
    // Another run in the machine, whose log begins behind the first one's.
    told(&world, &["up", "--accel", "tcg"]);
    let files = all_below(&world.place("state"));
    let is_segment = |name: &str| name.contains(".service.") && name.rsplit('.').next().unwrap().parse::<u64>().is_ok();
    let segments = files.iter().filter(|(path, _)| is_segment(&path.file_name().unwrap().to_string_lossy())).count();
    assert_eq!(segments, 1, "its log is of several files");
    let said = told(&world, &["logs", "--no-log-prefix", &machine]);
    let blocks: Vec<usize> = said.lines().filter_map(|line| line.strip_prefix("block ")?.parse().ok()).collect();
    assert_eq!(blocks, (1..=BLOCKS).collect::<Vec<_>>());
    assert_eq!(said.bytes().filter(|byte| *byte == b'x').count(), BLOCKS * 1_048_575);
    // The step of the last run alone.
    assert_eq!(said.matches("step-one").count(), 1);

    exec(&["-d"], "exec yes $(head -c 4000 /dev/zero | tr '\\0' y)");
    let flood = || told(&world, &["logs", "--no-log-prefix", "-n", "2", &machine]);
    let end = Instant::now() + EVENT_LIMIT;
    while !flood().contains("yyy") {
        assert!(Instant::now() < end, "it does not write");
    }
    // The last ones of what was there, also where more is waited for.
    let mut follow = world.command(&["logs", "-f", "--no-log-prefix", "-n", "1", &machine]);
    let mut follow = follow.spawn().unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let has_come = lines.map_while(Result::ok).any(|line| line.starts_with("yyy"));
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(has_come);
    told(&world, &["down"]);
    world.assert_nothing_stays();
}
