//! Root in a guest does its worst to its own agent, its own machine and its way to the host: each fault ends what it
//! hurts by name, and nothing else.

use std::process::{Command, Stdio};

use crate::events::Ran;
use crate::probe::with_probe;
use crate::running::{Live, status_number};
use crate::support::{Case, machines};

/// A project that says its events.
fn project(file: &str) -> Case {
    let args = ["up", "--accel", "tcg", "--progress", "json", "--keep-going"];
    with_probe(Case::new().file("smolvm.yaml", file).with_shared_cache().args(args), "bin")
}

/// Why a machine failed.
#[track_caller]
fn failure<'a>(ran: &'a Ran, machine: &str) -> &'a str {
    let event = ran.named("machine").find(|event| event["machine"] == machine && event["phase"] == "failed");
    event.unwrap_or_else(|| panic!("{machine} did not fail: {}", ran.told()))["cause"]
        .as_str()
        .unwrap()
        .lines()
        .next()
        .unwrap()
}

#[test]
fn an_agent_that_is_crashed_or_held_fails_its_machine_by_name() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
x-small: &small { cpus: 1, memory: 256MiB, mounts: [\"./bin:/opt/bin:ro\"] }
machines:
  crashed: *small
  held: *small
  mute: *small
steps:
  - { id: crash, machine: crashed, run: \"/opt/bin/probe crash; sleep 600\" }
  - { id: hold, machine: held, needs: [], run: \"/opt/bin/probe hold all\" }
  - { id: part, machine: mute, needs: [], run: \"(/opt/bin/probe hold first > /run/said &); until [ -s /run/said ]; do sleep 0.1; done\" }
  - { id: next, machine: mute, needs: [part], run: echo never, timeout: 1s }
",
    );
    let ran = Ran::of(case.args(["--time-factor", "1", "--parallel", "3"]).command());
    let panicked = "the guest's kernel panicked: Attempted to kill init! exitcode=0x0000000b";
    assert_eq!(failure(&ran, "crashed"), panicked, "{}", ran.told());
    assert_eq!(ran.end("crash"), ("failed", Some(125), &*format!("machine `crashed`: {panicked}")));
    assert_eq!(failure(&ran, "held"), "the guest fell silent: no heartbeat for 15 s", "{}", ran.told());
    assert_eq!(ran.end("hold").1, Some(125));
    assert_eq!(failure(&ran, "mute"), "the agent does not answer about step `next`", "{}", ran.told());
    assert_eq!(ran.end("next"), ("timed-out", Some(124), "its time is up (timeout: 1s)"), "{}", ran.told());
    assert_eq!(ran.code, Some(125), "{}", ran.told());
}

#[test]
fn a_machine_goes_on_when_a_step_uses_up_what_it_has() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
machines:
  box: { cpus: 1, memory: 512MiB, mounts: [\"./bin:/opt/bin:ro\", \"./out:/out\"] }
steps:
  - { id: fill, run: \"cat /dev/zero > /var/fill\", continue_on_error: true }
  - { id: full, needs: [], run: \"echo x > /var/more; rm /var/fill; echo x > /var/more\", shell: [sh, -u] }
  - { id: crowd, needs: [], run: \"cat /dev/zero > /run/fill\", continue_on_error: true }
  - { id: script, needs: [], run: \"echo never\", continue_on_error: true }
  - { id: free, needs: [], run: [rm, /run/fill] }
  - { id: greedy, needs: [], run: [chrt, -f, \"99\", sh, -c, \"while :; do :; done\"], timeout: 3s }
  - { id: flood, needs: [], run: /opt/bin/probe flood 3 }
  - { id: files, needs: [], run: \"/opt/bin/probe files /out/file 5000; echo more > /out/more\" }
  - { id: alive, needs: [], run: \"cat /out/more\" }
",
    );
    let case = case.file("out/file", "").args(["--parallel", "1"]);
    // As if the host gave its processes few descriptors: the file server's are used up before the guest's are.
    let plain = case.command();
    let mut run = Live::start(limited(&plain, "ulimit -n 1000"));
    run.until("the flood", |event| event["event"] == "step-finished" && event["step"] == "flood");
    let peak = status_number(run.pid(), "VmHWM:", 10).unwrap();
    let ran = run.finish();
    assert_eq!(ran.end("fill"), ("failed", Some(1), ""), "{}", ran.told());
    for step in ["fill", "crowd"] {
        let said = String::from_utf8(ran.bytes(step, "stderr")).unwrap();
        assert!(said.contains("No space left on device"), "{said}");
    }
    for step in ["full", "script", "free", "alive"] {
        assert_eq!(ran.end(step).0, "passed", "{step}: {}", ran.told());
    }
    assert_eq!(ran.end("greedy").0, "timed-out", "{}", ran.told());
    assert_eq!(ran.stdout("flood"), "flooded\n");
    assert!(peak < 100 << 10, "{peak} KiB");
    let files = ran.stdout("files");
    assert!(files.ends_with(": Too many open files in system\n"), "{files}");
    assert_eq!(ran.stdout("alive"), "more\n", "{}", ran.told());
    assert_eq!(ran.phases("box").last(), Some(&"stopped"));
    assert_eq!(ran.code, Some(124));
}

/// The command, started by a shell that limits it first.
fn limited(command: &Command, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
#[ignore = "slow: make test-all"]
fn fifty_thousand_open_files_are_open_or_the_hosts_limit_is_told() {
    let Some(_machines) = machines() else { return };
    let case = project(
        "name: acme
machines:
  box: { cpus: 1, memory: 1GiB, mounts: [\"./bin:/opt/bin:ro\", \"./out:/out\"] }
steps:
  - { id: files, run: \"/opt/bin/probe files /out/file 50000\" }
  - { id: alive, run: \"/opt/bin/probe files /out/file 100\" }
",
    );
    let ran = Ran::of(case.file("out/file", "").command()).passed();
    let files = ran.stdout("files");
    let is_told = files.ends_with(": Too many open files in system\n");
    assert!(files == "50000: all\n" || is_told, "{files}");
    assert_eq!(ran.stdout("alive"), "100: all\n");
}
