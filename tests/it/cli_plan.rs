//! `smolvm plan` and `smolvm up --dry-run`: what would happen, and why; selections.

use crate::support::Case;

const PROJECT: &str = "name: acme
machines:
  build:
    cpus: 1
    memory: 512MiB
    mounts: [./src:/code:ro, { source: ./out, target: /out, create: true }]
  test:
    cpus: 1
    memory: 256MiB
steps:
  - { id: compile, machine: build, run: make }
  - { id: unit, machine: test, run: [/bin/true] }
  - { id: lint, machine: build, needs: [], run: make lint }
finally:
  - { machine: test, run: dmesg }
";

const UNIT_PLAN: &str = "acme: 2 machines, 3 steps

machine build: image host, 1 CPU, 512MiB, user root
  /code  read-only, from ./src
  /out  writable, from ./out, made where missing
machine test: image host, 1 CPU, 256MiB, user root

1  prepare:build      first step `compile`
2  boot:build         first step `compile` (after #1)
3  step:compile       needed by `unit` (after #2)
4  prepare:test       first step `unit`
5  boot:test          first step `unit` (after #4)
6  step:unit          selected (after #3 #5)
";

fn case() -> Case {
    Case::new().file("smolvm.yaml", PROJECT).folder("src")
}

#[test]
fn a_step_is_planned_with_what_it_needs() {
    let stdout = run(&["plan", "unit"], 0).0;
    assert!(stdout.starts_with(UNIT_PLAN), "{stdout}");
}

#[test]
fn a_dry_run_prints_the_plan_and_boots_nothing() {
    assert_eq!(run(&["plan", "unit"], 0), run(&["up", "--dry-run", "unit"], 0));
}

#[test]
fn a_dry_run_for_programs_prints_the_plan_for_programs() {
    let operations = |args: &[&str]| {
        let plan: serde_json::Value = serde_json::from_str(&run(args, 0).0).expect("one object");
        plan["operations"].clone()
    };
    let planned = operations(&["plan", "--format", "json", "unit"]);
    assert_eq!(operations(&["up", "--dry-run", "--progress", "json", "unit"]), planned);
}

#[test]
fn a_project_is_the_same_however_its_file_is_named() {
    let plan = |current: &str, args: &[&str]| {
        let file = PROJECT.replace("name: acme\n", "");
        let case = Case::new().file("acme/smolvm.yaml", &file).folder("acme/src").current(current);
        let output = case.args(args.iter().copied()).args(["plan", "--format", "json"]).run();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("a plan")
    };
    for (current, args) in [
        ("acme", &[] as &[&str]),
        ("acme/src", &["-f", "../smolvm.yaml"]),
        (".", &["-f", "acme/src/../smolvm.yaml"]),
        ("acme/src", &["--project-directory", ".."]),
    ] {
        let plan = plan(current, args);
        assert_eq!(plan["project"], "acme");
        let source = plan["machines"][0]["mounts"][0]["source"].as_str().expect("a path");
        assert!(source.ends_with("/acme/src"), "{source}");
    }
}

const PROFILES: &str = "name: acme
machines: { build: , heavy: { profiles: [nightly] } }
steps:
  - { id: compile, machine: build, run: make, env_file: [./ci.env] }
  - { id: soak, machine: heavy, run: soak }
  - { id: bench, machine: build, run: bench, profiles: [slow] }
  - { id: upload, machine: build, run: upload, if: \"${UPLOAD:-0}\" }
";

#[test]
fn profiles_and_conditions_say_what_is_planned() {
    let planned = |args: &[&str], variable: (&str, &str)| -> Vec<String> {
        let case = Case::new().file("smolvm.yaml", PROFILES).file("ci.env", "A=b\n").env(variable.0, variable.1);
        let output = case.args(["plan", "--format", "json"]).args(args.iter().copied()).run();
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a plan");
        let ids = plan["operations"].as_array().unwrap().iter().filter_map(|operation| operation["id"].as_str());
        ids.filter_map(|id| id.strip_prefix("step:")).map(str::to_owned).collect()
    };
    let none = ("UNUSED", "");
    assert_eq!(planned(&[], none), ["compile"]);
    assert_eq!(planned(&["--profile", "slow"], none), ["compile", "bench"]);
    assert_eq!(planned(&["--profile", "*"], none), ["compile", "soak", "bench"]);
    assert_eq!(planned(&[], ("SMOLVM_PROFILES", "slow, unheard-of")), ["compile", "bench"]);
    assert_eq!(planned(&["soak"], none), ["compile", "soak"]);
    assert_eq!(planned(&[], ("UPLOAD", "yes")), ["compile", "upload"]);
}

#[test]
fn a_profile_that_nothing_belongs_to_names_the_nearest() {
    let case = Case::new().file("smolvm.yaml", PROFILES).file("ci.env", "A=b\n");
    case.args(["plan", "--profile", "nigthly"])
        .stderr(
            "error: no machine and no step belongs to the profile `nigthly`\n\
             help: did you mean `nightly`?\n",
        )
        .exit(2);
}

#[test]
fn a_selection_that_matches_nothing_names_the_nearest_name() {
    for verb in ["plan", "up"] {
        case()
            .args([verb, "compil"])
            .stderr(
                "error: no step and no machine is named `compil`, did you mean `compile`?\n\
                 help: `smolvm plan` lists steps and machines\n",
            )
            .exit(4);
    }
}

#[test]
fn the_name_on_the_command_line_beats_the_files() {
    let stdout = run(&["-p", "other", "plan"], 0).0;
    assert!(stdout.starts_with("other: 2 machines, 4 steps\n"), "{stdout}");
}

#[test]
fn the_plan_for_programs_is_one_versioned_object() {
    let stdout = run(&["plan", "--format", "json"], 0).0;
    let plan: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(plan["version"], 1);
    let operations = plan["operations"].as_array().unwrap();
    let boot = operations.iter().find(|operation| operation["id"] == "boot:build").unwrap();
    assert_eq!(boot["kind"], "boot");
    assert_eq!(boot["machine"], "build");
    assert_eq!(boot["after"], serde_json::json!(["prepare:build"]));
    assert!(boot["why"].is_string());
    let known: Vec<&str> = operations.iter().map(|operation| operation["id"].as_str().unwrap()).collect();
    for (place, operation) in operations.iter().enumerate() {
        for after in operation["after"].as_array().unwrap() {
            let before = known.iter().position(|id| id == after).unwrap();
            assert!(before < place, "{after} comes before {}", known[place]);
        }
    }
}

#[test]
fn a_project_from_standard_input_starts_at_its_folder() {
    let case = case().args(["-f", "-", "--project-directory", ".", "plan", "unit"]).stdin(PROJECT);
    let output = case.run();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(UNIT_PLAN));
}

#[test]
fn a_file_is_found_from_a_folder_below() {
    let output = case().folder("src/deep").current("src/deep").args(["plan", "unit"]).run();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(UNIT_PLAN));
}

fn run(args: &[&str], code: i32) -> (String, String) {
    let output = case().args(args.iter().copied()).run();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}
