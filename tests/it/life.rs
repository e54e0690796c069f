//! Machines that stay up: `up -d`, what ends it, and the verbs that tell it.
//!
//! Deliberately not here: commands in such a machine (`control`, `exec`), the states of a machine (unit tests of `run`).

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::running::{EVENT_LIMIT, Live, signal};
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

fn run(world: &World, args: &[&str]) -> Output {
    world.command(args).output().unwrap()
}

/// Runs a verb that must pass; what it said on standard error.
#[track_caller]
fn passes(world: &World, args: &[&str]) -> String {
    let output = run(world, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    said
}

/// The process that holds the machines.
fn supervisor(world: &World) -> u32 {
    let found = world.processes();
    let (pid, _) =
        found.iter().find(|(_, words)| words.contains(" __supervise ")).expect("a process holds the machines");
    u32::try_from(*pid).unwrap()
}

fn up(world: &World) -> String {
    passes(world, &["up", "-d", "--accel", "tcg"])
}

/// What the machine answers at a published port, if it does.
fn answer(address: &str) -> std::io::Result<[u8; 4]> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(EVENT_LIMIT))?;
    let mut said = [0; 4];
    stream.read_exact(&mut said).map(|()| said)
}

#[test]
fn who_comes_to_a_machine_that_is_down_is_sent_away_until_it_is_started_again() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let script = "import socket; s = socket.create_server(('127.0.0.1', 7)); [s.accept()[0].send(b'here') for _ in iter(int, 1)]";
    world.project(&format!(", ports: [\"0:7\"], command: [python3, -c, {script:?}]"), "");
    up(&world);
    let port = String::from_utf8(run(&world, &["port", world.machine(), "7"]).stdout).unwrap();
    let is_there = || {
        let end = Instant::now() + EVENT_LIMIT;
        // Before its program listens, who comes is sent away too.
        while Instant::now() < end {
            if answer(port.trim()).is_ok() {
                return true;
            }
        }
        false
    };
    assert!(is_there());
    passes(&world, &["stop", world.machine()]);
    let sent_away = answer(port.trim()).unwrap_err();
    assert!(matches!(sent_away.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{sent_away:?}");
    passes(&world, &["start"]);
    assert!(is_there());
    passes(&world, &["down"]);
    world.assert_nothing_stays();
}

fn project(world: &World) {
    world.project("", "steps: [{ id: one, run: echo kept > /workspace/file }]\n");
}

#[test]
fn machines_stay_when_the_steps_are_over_go_down_and_come_up_again() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        project(&world);
        assert!(up(&world).contains("stays up"));
        let holder = supervisor(&world);
        assert!(up(&world).contains("up already"));
        let (one, told) = (world.machine(), |line: &str| format!("{line}\n"));
        assert_eq!(passes(&world, &["stop", one]), told(&format!("machine {one}: stopped")));
        assert_eq!(passes(&world, &["stop"]), told(&format!("down already: {one}")));
        assert!(!world.processes().values().any(|words| words.contains("qemu")), "{:?}", world.processes());
        let silent = run(&world, &["start", "-q"]);
        assert!(silent.status.success() && silent.stderr.is_empty() && silent.stdout.is_empty(), "{silent:?}");
        assert_eq!(passes(&world, &["start"]), told(&format!("up already: {one}")));
        // As what it was started as, whatever the file says by now.
        world.project(", hostname: another", "steps: [{ id: one, run: echo kept > /workspace/file }]\n");
        let said = passes(&world, &["restart", "-t", "1"]);
        assert!(said.starts_with(&format!("machine {one}: stopped\nmachine {one}: ready\n")), "{said}");
        assert!(said.contains(&format!("machine `{one}` still runs an older file")), "{said}");
        project(&world);
        let unknown = run(&world, &["stop", "nobody"]);
        assert_eq!(unknown.status.code(), Some(4));
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no machine `nobody`"));
        assert_eq!(supervisor(&world), holder);
        assert_eq!(passes(&world, &["kill"]), told(&format!("machine {one}: stopped")));
        passes(&world, &["down"]);
        world.assert_nothing_stays();
        assert!(passes(&world, &["down"]).contains("no machine of project `acme` is up"));
        assert!(!fs::read_dir(disks(&world)).unwrap().flatten().count().eq(&0), "its disk stays");
        passes(&world, &["down", "-v"]);
        assert_eq!(fs::read_dir(disks(&world)).unwrap().flatten().filter(is_image).count(), 0);
    });
}

fn is_image(entry: &fs::DirEntry) -> bool {
    entry.path().extension().is_some_and(|end| end == "img")
}

fn disks(world: &World) -> std::path::PathBuf {
    let projects = fs::read_dir(world.place("state/smolvm")).unwrap();
    projects.flatten().next().unwrap().path().join("disks")
}

/// Waits until somebody stays connected to the process that holds the machines: a look lasts no more than a moment.
fn until_asked(world: &World) {
    let socket = world.place("run").display().to_string();
    let connected = || {
        let table = fs::read("/proc/net/unix").unwrap();
        let table = String::from_utf8_lossy(&table);
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut own = rows.filter(|row| row.get(7).is_some_and(|path| path.starts_with(&socket)) && row[5] == "03");
        own.next().map(|row| row[6].to_owned())
    };
    let end = Instant::now() + EVENT_LIMIT;
    let mut seen = Vec::new();
    while seen.len() < 5 {
        assert!(Instant::now() < end, "nobody asks");
        thread::sleep(Duration::from_millis(20));
        match connected() {
            Some(inode) if seen.last().is_none_or(|last| *last == inode) => seen.push(inode),
            _ => seen.clear(),
        }
    }
}

#[test]
fn a_supervisor_ends_in_order_by_a_signal_and_leaves_nothing_but_words_when_it_is_killed() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    project(&world);
    up(&world);
    signal(supervisor(&world), Signal::TERM);
    world.until_processes("nothing", |found| found.is_empty());
    world.assert_nothing_stays();

    up(&world);
    let waiting = world.command(&["wait"]).spawn().unwrap();
    until_asked(&world);
    signal(supervisor(&world), Signal::KILL);
    let waited = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(waited.stderr).unwrap();
    assert_eq!((waited.status.code(), waited.stdout.as_slice()), (Some(125), &b""[..]), "{said}");
    assert!(said.contains("the process that held the machines was killed"), "{said}");
    assert!(said.contains("was killed before its end; cleared what it left"), "{said}");
    world.assert_only_state_stays();
    up(&world);
    signal(supervisor(&world), Signal::KILL);
    world.assert_only_state_stays();
    let said = passes(&world, &["ps"]);
    assert!(said.contains("was killed before its end; cleared what it left"), "{said}");
    assert!(passes(&world, &["ps"]).is_empty(), "it is said once");
    world.assert_nothing_stays();
    up(&world);
    passes(&world, &["down"]);
    world.assert_nothing_stays();
}

/// Starts `up -d` with events on standard output.
fn begin(world: &World) -> Live {
    world.up(&["-d"])
}

#[test]
fn who_is_gone_before_the_machines_are_up_takes_them_along() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    project(&world);
    for (kind, code) in [(Signal::KILL, None), (Signal::HUP, Some(129)), (Signal::INT, Some(130))] {
        let mut live = begin(&world);
        live.until_phase("booting");
        live.signal(kind);
        let ran = live.finish();
        assert!(code.is_none() || ran.code == code, "{kind:?}: {:?}", ran.code);
        world.until_processes("nothing", |found| found.is_empty());
        world.assert_nothing_stays();
    }
}

#[test]
fn a_machine_that_boots_goes_down_when_it_is_told_to() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    project(&world);
    let mut live = begin(&world);
    live.until_phase("booting");
    passes(&world, &["down"]);
    assert_eq!(live.finish().code, Some(143));
    world.assert_nothing_stays();
}

#[test]
fn of_two_that_begin_at_once_one_holds_the_machines_and_both_pass() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    project(&world);
    let both: Vec<_> = (0..2)
        .map(|_| {
            let mut command = world.command(&["up", "-d", "--accel", "tcg"]);
            command.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let holders = world.processes().values().filter(|words| words.contains(" __supervise ")).count();
    assert_eq!(holders, 1);
    passes(&world, &["down"]);
    world.assert_nothing_stays();
}

#[test]
fn a_failed_step_leaves_its_machine_for_a_look_where_that_is_asked_for() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    world.project("", "steps: [{ id: one, run: exit 7 }]\n");
    let failed = run(&world, &["up", "-d", "--accel", "tcg"]);
    assert_eq!(failed.status.code(), Some(7));
    until_gone(&world);
    let kept = run(&world, &["up", "--keep", "--accel", "tcg"]);
    assert_eq!(kept.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("stays up for a look"));
    supervisor(&world);
    passes(&world, &["down"]);
    world.project("", "steps: [{ id: one, run: exit 0 }]\n");
    passes(&world, &["up", "--keep", "--accel", "tcg"]);
    until_gone(&world);
    world.assert_nothing_stays();
}

fn until_gone(world: &World) {
    let start = Instant::now();
    while !world.processes().is_empty() {
        assert!(start.elapsed() < EVENT_LIMIT, "{:?}", world.processes());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says each signal that it gets, and takes its time to end.
const HEARS: &str = "for s in HUP INT USR1 USR2 WINCH; do trap \"echo got $s\" $s; done
      trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1 || :; done";

/// A service that hears signals, one that does not end by itself, and a machine without.
fn services(world: &World) -> [String; 3] {
    let names = ["hears", "deaf", "bare"].map(|kind| format!("{}-{kind}", world.machine()));
    let [hears, deaf, bare] = &names;
    let small = "cpus: 1, memory: 256MiB";
    let text = format!(
        "name: acme\nmachines:\n  {hears}:\n    cpus: 1\n    memory: 256MiB\n    command: |\n      {HEARS}\n  \
         {deaf}: {{ {small}, stop_grace: 10m, command: \"trap '' TERM; echo deaf; while :; do sleep 0.1; done\" }}\n  \
         {bare}: {{ {small} }}\n"
    );
    world.write("project/smolvm.yaml", &text);
    names
}

/// Waits until the log of a machine has a line so often.
#[track_caller]
fn until_logged(world: &World, machine: &str, line: &str, count: usize) {
    let start = Instant::now();
    loop {
        let said = run(world, &["logs", machine]).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        if said.lines().filter(|found| found.ends_with(line)).count() >= count {
            return;
        }
        assert!(start.elapsed() < EVENT_LIMIT, "no {line:?}: {said}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn code_and_output(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn commands_of_machines_get_signals_are_waited_for_and_begin_again() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let [hears, deaf, bare] = &services(&world);
    up(&world);
    for (written, name) in [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("usr2", "USR2"), ("2", "INT"), ("sigwinch", "WINCH")]
    {
        passes(&world, &["kill", "-s", written, hears]);
        until_logged(&world, hears, &format!("got {name}"), 1);
    }
    // All means those that have one.
    let said = passes(&world, &["kill", "-s", "HUP"]);
    assert_eq!(said, format!("SIGHUP sent: {hears}, {deaf}\n"));
    until_logged(&world, hears, "got HUP", 2);
    for (args, code) in [(["-s", "HUP", bare.as_str()], 125), (["-s", "NOPE", hears], 2), (["-s", "HUP", "nobody"], 4)]
    {
        assert_eq!(run(&world, &[&["kill"], &args[..]].concat()).status.code(), Some(code), "{args:?}");
    }

    let waiting = |names: &[&str]| {
        let mut command = world.command(&[&["wait"], names].concat());
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let first = waiting(&[hears]);
    passes(&world, &["kill", "-s", "TERM", hears]);
    assert_eq!(code_and_output(&first.wait_with_output().unwrap()), (Some(5), "5\n".to_owned()));
    let again = waiting(&[hears]).wait_with_output().unwrap();
    assert_eq!(code_and_output(&again), (Some(5), "5\n".to_owned()), "it has ended already");
    assert_eq!(run(&world, &["wait", "nobody"]).status.code(), Some(4));

    passes(&world, &["restart", hears]);
    let shown = String::from_utf8(run(&world, &["ps"]).stdout).unwrap();
    assert!(shown.lines().any(|line| line.contains(hears) && line.contains("up")), "{shown}");
    until_logged(&world, hears, "up", 2);
    // Far less than what the file gives.
    passes(&world, &["stop", "-t", "1", deaf]);
    passes(&world, &["start", "--wait", deaf]);
    until_logged(&world, deaf, "deaf", 2);
    passes(&world, &["restart", "-t", "0", deaf]);
    until_logged(&world, deaf, "deaf", 3);
    let both = waiting(&[deaf, hears]);
    passes(&world, &["kill", deaf]);
    passes(&world, &["stop", hears]);
    let (code, said) = code_and_output(&both.wait_with_output().unwrap());
    assert!(code == Some(137) && said == "137\n5\n", "{code:?} {said}");
    passes(&world, &["down"]);
    world.assert_nothing_stays();
}
