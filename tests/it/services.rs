//! Services in real machines: started, tested, waited for, started again, stopped by their signal; and what the end of
//! one means for steps. Deliberately not here: every other order of things (`run::tests::services`).

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::events::Ran;
use crate::support::machines;
use crate::world::{Who, World, as_everyone};

const MACHINE: &str = "cpus: 1, memory: 256MiB";

/// Phases of a service but for its tests, of which nobody knows how many there are.
fn phases<'a>(ran: &'a Ran, machine: &str) -> Vec<&'a str> {
    let events = ran.named("service").filter(|event| event["machine"] == machine);
    events.map(|event| event["phase"].as_str().unwrap()).filter(|phase| *phase != "testing").collect()
}

fn said(ran: &Ran, machine: &str, stream: &str) -> String {
    let of = ran.named("output").filter(|event| event["machine"] == machine && event["stream"] == stream);
    of.filter_map(|event| event["text"].as_str()).collect()
}

#[track_caller]
fn place(ran: &Ran, what: &str, is_it: impl Fn(&Value) -> bool) -> usize {
    ran.events.iter().position(is_it).unwrap_or_else(|| panic!("no {what}: {}", ran.told()))
}

/// Fails once before it is up; prints its line when it is; ends with 7 when it is asked to.
const DATABASE: &str = r#"    command: |
      [ -e /tmp/again ] || { touch /tmp/again; echo "first try" >&2; exit 3; }
      trap 'echo bye; exit 7' QUIT
      sleep 1; touch /tmp/up; echo "ready to accept"
      while :; do sleep 0.1; done
    restart: on-failure
    stop_signal: QUIT
    healthcheck: { test: "[ -e /tmp/up ] || { echo not yet; exit 5; }", log_line: ready to, interval: 100ms, retries: 600 }
"#;

#[test]
fn a_service_is_started_again_tested_waited_for_and_stopped_by_its_signal() {
    let Some(_machines) = machines() else { return };
    as_everyone(|who| {
        let world = World::new(who);
        let test = world.machine();
        let db = format!("{test}-db");
        let text = format!(
            "name: acme\nmachines:\n  {db}:\n    cpus: 1\n    memory: 256MiB\n    user: \"1234\"\n{DATABASE}  {test}: {{ {MACHINE}, depends_on: [{db}] }}\n\
             steps:\n  - {{ id: unit, machine: {test}, run: echo in }}\n  - {{ id: own, machine: {db}, run: \"ls /tmp/up; id -u\" }}\n"
        );
        world.write("project/smolvm.yaml", &text);
        let ran = world.up(&[]).finish().passed();
        let expected = ["started", "exited", "restarting", "started", "healthy", "stopping", "stopped"];
        assert_eq!(phases(&ran, &db), expected, "{}", ran.told());
        let tested = ran.named("service").find(|event| event["phase"] == "testing").unwrap();
        assert_eq!((&tested["exit_code"], &tested["cause"]), (&5.into(), &"not yet".into()), "{tested}");
        let ended: Vec<_> = ran.named("service").filter_map(|event| event["exit_code"].as_i64()).collect();
        assert!(ended.contains(&3) && ended.last() == Some(&7), "{ended:?}");
        assert_eq!(said(&ran, &db, "stdout"), "ready to accept\nbye\n");
        // The shell may say more, of its children that got the signal too.
        assert!(said(&ran, &db, "stderr").starts_with("first try\n"), "{}", ran.told());
        assert_eq!((ran.stdout("unit"), ran.stdout("own")), ("in\n".to_owned(), "/tmp/up\n1234\n".to_owned()));
        let healthy = place(&ran, "health", |event| event["phase"] == "healthy");
        let booted = place(&ran, "boot", |event| event["machine"] == test && event["phase"] == "booting");
        let gone = place(&ran, "end", |event| event["machine"] == test && event["phase"] == "stopped");
        let stopping = place(&ran, "stop", |event| event["event"] == "service" && event["phase"] == "stopping");
        assert!(healthy < booted && gone < stopping, "{}", ran.told());
        world.assert_nothing_stays();
    });
}

#[test]
fn a_service_that_dies_fails_the_step_that_needs_it_and_names_it() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let test = world.machine();
    let db = format!("{test}-db");
    world.make_folder("project/poke");
    let text = format!(
        "name: acme\nmachines:\n  {db}: {{ {MACHINE}, mounts: [./poke:/poke:ro], command: \"while [ ! -e /poke/die ]; do sleep 0.1; done; exit 9\" }}\n  \
         {test}: {{ {MACHINE}, depends_on: [{db}] }}\nsteps:\n  - {{ id: wait, machine: {test}, run: echo waits; sleep 600 }}\n  \
         - {{ id: own, machine: {db}, needs: [], run: echo owns; sleep 600 }}\n"
    );
    world.write("project/smolvm.yaml", &text);
    let mut live = world.up(&[]);
    let mut open = vec!["waits", "owns"];
    while !open.is_empty() {
        let said = live.until("both steps", |event| open.iter().any(|word| event["text"] == format!("{word}\n")));
        open.retain(|word| said["text"] != format!("{word}\n"));
    }
    world.write("project/poke/die", "");
    let ran = live.finish();
    let cause = format!("service `{db}` ended with exit code 9");
    ran.assert_run("failed", 125, &cause);
    assert_eq!(ran.end("wait"), ("failed", Some(125), cause.as_str()), "{}", ran.told());
    assert_eq!(ran.end("own").0, "failed", "a service's own steps need it too: {}", ran.told());
    world.assert_nothing_stays();
}

#[test]
fn services_alone_stay_up_until_they_are_interrupted() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let front = world.machine();
    let back = format!("{front}-back");
    // A program gets its signal alone: what it has started is its own to tell.
    let command = "trap 'echo asked' INT; (trap 'echo child' INT; sleep 600) & echo up; wait; exit 4";
    let text = format!(
        "name: acme\nmachines:\n  {back}: {{ {MACHINE}, command: [sh, -c, \"{command}\"], stop_signal: SIGINT }}\n  \
         {front}: {{ {MACHINE}, command: [sh, -c, \"trap '' TERM; echo front; while :; do sleep 1; done\"], stop_grace: 1s, depends_on: [{back}] }}\n"
    );
    world.write("project/smolvm.yaml", &text);
    let mut live = world.up(&[]);
    live.until_output("front");
    live.pass(Duration::from_millis(200));
    live.signal(Signal::INT);
    let ran = live.finish();
    ran.assert_run("interrupted", 130, "interrupted by SIGINT");
    assert_eq!(said(&ran, &back, "stdout"), "up\nasked\n");
    let stops = ran.named("service").filter(|event| event["phase"] == "stopped");
    let stops: Vec<_> = stops.map(|event| (event["machine"].as_str().unwrap(), event["exit_code"].as_i64())).collect();
    assert_eq!(stops, [(front, Some(137)), (back.as_str(), Some(4))], "{}", ran.told());
    world.assert_nothing_stays();
}
