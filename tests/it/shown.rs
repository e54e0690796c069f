//! A service that is up: what a terminal shows of it, and what `ps`, `stats` and `logs` say of it meanwhile and after.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::machines;
use crate::world::{Who, World};

/// A service that is healthy after a while and then goes on printing.
const SERVICE: &str = ", command: [sh, -c, 'echo hello; sleep 2; touch /tmp/up; while :; do echo tick; sleep 0.2; done'], \
                       healthcheck: { test: 'test -e /tmp/up || { echo no response; exit 2; }', interval: 500ms, retries: 300 }";

fn told(world: &World, args: &[&str]) -> String {
    let output = world.command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_service_is_shown_listed_and_followed_until_ctrl_c() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ourselves);
    let name = world.machine().to_owned();
    world.project(SERVICE, "");
    let none = told(&world, &["ps"]);
    assert_eq!(none, "MACHINE  STATUS  FOR\n");
    let mut terminal = world.terminal(&["up", "--accel", "tcg"], 100, 24);
    terminal.until_shown("/300, test exit 2: no response");
    terminal.until_shown("1/1 service up");
    terminal.until_shown(&format!("\n{name} │ tick"));

    let line = told(&world, &["ps"]).lines().nth(1).unwrap().to_owned();
    assert!(line.starts_with(&name) && line.contains("  up (healthy)  "), "{line}");
    world.project(&format!("{SERVICE}, hostname: another"), "");
    assert!(told(&world, &["ps"]).contains("runs an older file"));
    let stats: Value = serde_json::from_str(&told(&world, &["stats", "--format", "json"])).unwrap();
    assert_eq!(stats["machines"][0]["name"], name.as_str(), "{stats}");
    assert!(stats["machines"][0]["host_memory"].as_u64().unwrap() > 32 << 20, "{stats}");
    assert!(stats["machines"][0]["memory"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["machines"][0]["cpu_percent"].is_number(), "{stats}");
    assert_eq!(told(&world, &["logs", "-n", "2", &name]), format!("{name} │ tick\n").repeat(2));

    let mut follow = world.command(&["logs", "-f", "--no-log-prefix"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "hello");
    terminal.write("\x03");
    assert!(lines.map(Result::unwrap).all(|line| line == "tick"));
    assert!(follow.wait().unwrap().success());

    let left = terminal.end();
    assert_eq!(left.status.code(), Some(130));
    let text = left.lines.join("\n");
    assert!(text.contains(&format!("✓ service {name}: healthy after ")), "{text}");
    assert!(text.contains("\ninterrupted: 1 service in "), "{text}");
    assert_eq!(told(&world, &["ps"]), none);
    assert!(told(&world, &["logs", "-t"]).lines().next().unwrap().ends_with("Z hello"));
    world.assert_nothing_stays();
}
