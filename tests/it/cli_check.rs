//! `smolvm check` in all its forms, and what `up` does with a file that is wrong.

use crate::support::Case;

const GOOD: &str = "name: acme\nmachines:\n  box: { memory: 256MiB }\nsteps:\n  - { run: [/bin/true] }\n";

/// Two mistakes: an unknown key, and a machine that is not declared.
const BAD: &str = "name: acme
machines:
  build: { memry: 512MiB }
steps:
  - { id: compile, machine: biuld, run: make }
";

/// A mistake that is only a warning: a machine that nothing uses.
const DOUBTFUL: &str = "name: acme
machines:
  box: {}
  spare: {}
steps:
  - { machine: box, run: [/bin/true] }
";

const BAD_FULL: &str = "error[SMOL0003]

  × unknown key `memry` in a machine
   ╭─[smolvm.yaml:3:12]
 2 │ machines:
 3 │   build: { memry: 512MiB }
   ·            ──┬──
   ·              ╰── not a key here
 4 │ steps:
   ╰────
  help: did you mean `memory`?

error[SMOL0201]

  × step `compile` runs in machine `biuld`, which is not declared
   ╭─[smolvm.yaml:5:29]
 4 │ steps:
 5 │   - { id: compile, machine: biuld, run: make }
   ·                             ──┬──
   ·                               ╰── unknown machine
   ╰────
  help: did you mean `build`?

2 errors
more on a rule: `smolvm explain SMOL0003`
";

const BAD_JSON: &str = concat!(
    "{\"version\":1,\"errors\":2,\"warnings\":0,\"notes\":0,\"diagnostics\":[",
    "{\"code\":\"SMOL0003\",\"severity\":\"error\",\"message\":\"unknown key `memry` in a machine\",",
    "\"help\":\"did you mean `memory`?\",\"labels\":[{\"file\":\"smolvm.yaml\",\"primary\":true,",
    "\"text\":\"not a key here\",\"start\":{\"offset\":32,\"line\":3,\"column\":12},",
    "\"end\":{\"offset\":37,\"line\":3,\"column\":17}}],\"fix\":{\"safe\":true,\"edits\":[",
    "{\"file\":\"smolvm.yaml\",\"start\":{\"offset\":32,\"line\":3,\"column\":12},",
    "\"end\":{\"offset\":37,\"line\":3,\"column\":17},\"text\":\"memory\"}]}},",
    "{\"code\":\"SMOL0201\",\"severity\":\"error\",",
    "\"message\":\"step `compile` runs in machine `biuld`, which is not declared\",",
    "\"help\":\"did you mean `build`?\",\"labels\":[{\"file\":\"smolvm.yaml\",\"primary\":true,",
    "\"text\":\"unknown machine\",\"start\":{\"offset\":83,\"line\":5,\"column\":29},",
    "\"end\":{\"offset\":88,\"line\":5,\"column\":34}}],\"fix\":null}]}\n",
);

#[test]
fn a_file_without_mistakes_passes() {
    for verb in ["check", "validate"] {
        Case::new().file("smolvm.yaml", GOOD).args([verb]).stderr("smolvm.yaml: no mistakes\n").exit(0);
    }
    Case::new().file("smolvm.yaml", GOOD).args(["check", "-q"]).exit(0);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    Case::new().file("smolvm.yaml", BAD).args(["check"]).stderr(BAD_FULL).exit(78);
}

#[test]
fn the_concise_form_is_a_line_each_on_standard_output() {
    Case::new()
        .file("smolvm.yaml", BAD)
        .args(["check", "--format", "concise"])
        .stdout(
            "smolvm.yaml:3:12: error[SMOL0003]: unknown key `memry` in a machine\n\
             smolvm.yaml:5:29: error[SMOL0201]: step `compile` runs in machine `biuld`, which is not declared\n",
        )
        .exit(78);
}

#[test]
fn the_form_for_programs_is_one_object() {
    Case::new().file("smolvm.yaml", BAD).args(["check", "--format", "json"]).stdout(BAD_JSON).exit(78);
    Case::new()
        .file("smolvm.yaml", GOOD)
        .args(["check", "--format", "json"])
        .stdout("{\"version\":1,\"errors\":0,\"warnings\":0,\"notes\":0,\"diagnostics\":[]}\n")
        .exit(0);
}

#[test]
fn annotations_are_a_line_each() {
    let lines = "::error title=SMOL0003,file=smolvm.yaml,line=3,col=12,endColumn=17::unknown key `memry` in a machine\
        %0Ahelp: did you mean `memory`?\n::error title=SMOL0201,file=smolvm.yaml,line=5,col=29,endColumn=34::step \
        `compile` runs in machine `biuld`, which is not declared%0Ahelp: did you mean `build`?\n";
    Case::new().file("smolvm.yaml", BAD).args(["check", "--format", "github"]).stdout(lines).exit(78);
    // Under Actions they come by themselves, beside what a person reads; files are named from the repository's folder.
    let case = Case::new().file("ci/smolvm.yaml", BAD).current("ci");
    let workspace = case.project();
    let case = case.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", workspace).args(["check"]);
    let (report, more) = BAD_FULL.split_at(BAD_FULL.find("more on").unwrap());
    case.stderr(&format!("{report}{}{more}", lines.replace("file=", "file=ci/"))).exit(78);
}

#[test]
fn standard_input_has_a_name_and_no_address() {
    let case = |form: &str| {
        Case::new().stdin(DOUBTFUL).args(["-f", "-", "--project-directory", ".", "check", "--format", form])
    };
    let message = "no step uses machine `spare`, so only `up -d` boots it";
    let help = "help: write a step with `machine: spare`, give it a `command`, or remove it";
    case("concise").stdout(&format!("<stdin>:4:3: warning[SMOL0207]: {message}\n")).exit(0);
    case("github").stdout(&format!("::warning title=SMOL0207::<stdin>:4:3: {message}%0A{help}\n")).exit(0);
}

#[test]
fn warnings_pass_unless_they_are_denied() {
    let stdout = "smolvm.yaml:4:3: warning[SMOL0207]: no step uses machine `spare`, so only `up -d` boots it\n";
    let case = || Case::new().file("smolvm.yaml", DOUBTFUL).args(["check", "--format", "concise"]).stdout(stdout);
    case().exit(0);
    case().args(["--deny", "warnings"]).exit(78);
}

#[test]
fn colours_are_used_where_they_are_asked_for() {
    let output = Case::new().file("smolvm.yaml", BAD).args(["check", "--color", "always"]).run();
    assert!(String::from_utf8_lossy(&output.stderr).contains("\x1b["));
    let output = Case::new().file("smolvm.yaml", BAD).env("CLICOLOR_FORCE", "1").args(["check"]).run();
    assert!(String::from_utf8_lossy(&output.stderr).contains("\x1b["));
    Case::new()
        .file("smolvm.yaml", BAD)
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .args(["check"])
        .stderr(BAD_FULL)
        .exit(78);
}

#[test]
fn at_most_so_many_remarks_are_shown_and_all_are_counted() {
    Case::new()
        .file("smolvm.yaml", BAD)
        .args(["check", "--format", "json", "--max-diagnostics", "1"])
        .stdout(&format!("{}]}}\n", BAD_JSON.split(",{\"code\":\"SMOL0201\"").next().unwrap()))
        .exit(78);
}

#[test]
fn a_file_elsewhere_is_named_from_here() {
    Case::new()
        .file("ci/other.yaml", BAD)
        .args(["check", "-f", "ci/other.yaml", "--format", "concise", "--max-diagnostics", "0"])
        .stdout(
            "ci/other.yaml:3:12: error[SMOL0003]: unknown key `memry` in a machine\n\
             ci/other.yaml:5:29: error[SMOL0201]: step `compile` runs in machine `biuld`, which is not declared\n",
        )
        .exit(78);
}

#[test]
fn a_file_above_is_named_as_a_whole_path() {
    let case = || Case::new().file("smolvm.yaml", DOUBTFUL).folder("a/b").current("a/b");
    let stdout =
        "[PROJECT]/smolvm.yaml:4:3: warning[SMOL0207]: no step uses machine `spare`, so only `up -d` boots it\n";
    for file in [&[] as &[&str], &["-f", "../../smolvm.yaml"], &["-f", "../../a/../smolvm.yaml"]] {
        case().args(["check", "--format", "concise"]).args(file.iter().copied()).stdout(stdout).exit(0);
    }
}

#[test]
fn a_folder_is_no_file_but_may_hold_one() {
    Case::new()
        .file("ci/smolvm.yml", GOOD)
        .args(["check", "-f", "ci"])
        .stderr(
            "error[SMOL0010]\n\n  × `ci` is not a regular file\n  help: did you mean `ci/smolvm.yml`?\n\n1 error\n\
             more on a rule: `smolvm explain SMOL0010`\n",
        )
        .exit(78);
    Case::new()
        .args(["check", "-f", "."])
        .stderr(
            "error[SMOL0010]\n\n  × `.` is not a regular file\n  help: name a file, as `-f smolvm.yaml`; `-` is standard \
             input\n\n1 error\nmore on a rule: `smolvm explain SMOL0010`\n",
        )
        .exit(78);
}

#[test]
fn nothing_boots_where_the_file_is_wrong() {
    Case::new().file("smolvm.yaml", BAD).args(["up"]).stderr(BAD_FULL).exit(78);
    Case::new().file("smolvm.yaml", BAD).args(["plan"]).stderr(BAD_FULL).exit(78);
}

#[test]
fn a_program_that_reads_events_gets_the_mistakes_and_the_end() {
    let output = Case::new().file("smolvm.yaml", BAD).args(["up", "--progress", "json"]).run();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(78), 0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let events: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["diagnostic", "diagnostic", "run-finished"]);
    assert_eq!(events[0]["code"], "SMOL0003");
    assert_eq!(events[0]["labels"][0]["start"]["line"], 3);
    assert_eq!((&events[2]["status"], &events[2]["exit_code"]), (&"invalid".into(), &78.into()));
}
