//! Projects of several files through the command line: `include`, several `-f`, `--env-file`, and what is told of them.

use std::os::unix::fs::symlink;
use std::process::Output;

use crate::support::Case;

const MAIN: &str =
    "include: [./ci/base.yaml]\nmachines:\n  build: { cpus: 2, mounts: ['./src:/code:ro'] }\nsteps: [{ run: make }]\n";
const BASE: &str = "env: { FROM: base }\nmachines:\n  build:\n    cpus: 1\n    memory: 2GiB\n    mounts: ['./tools:/code/', './tools:/tools:ro']\n";

fn case() -> Case {
    Case::new().file("smolvm.yaml", MAIN).file("ci/base.yaml", BASE).folder("src").folder("ci/tools")
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The remarks of `check --format concise`.
fn told(case: Case) -> Vec<String> {
    let output = case.args(["check", "--format", "concise"]).run();
    texts(&output).0.lines().map(str::to_owned).collect()
}

#[test]
fn an_included_file_is_merged_below_and_its_paths_are_its_own() {
    let case = case().args(["config"]);
    let (config, errors) = texts(&case.run());
    assert_eq!(errors, "");
    let project = case.project().canonicalize().unwrap();
    for expected in [
        "FROM: base".to_owned(),
        "cpus: 2".to_owned(),
        "memory: 2GiB".to_owned(),
        format!("source: {}/src", project.display()),
        format!("source: {}/ci/tools", project.display()),
    ] {
        assert!(config.contains(&expected), "{expected}:\n{config}");
    }
    assert_eq!(config.matches("target: /code").count(), 1, "{config}");
    self::case().args(["check"]).stderr("smolvm.yaml and 1 other file: no mistakes\n").exit(0);
}

#[test]
fn a_later_file_overrides_and_standard_input_may_be_one() {
    let override_ = "machines: { build: { cpus: 1 } }\nsteps: [{ id: own, run: 'true' }]\n";
    let args = ["-f", "smolvm.yaml", "-f", "-", "--project-directory", ".", "config"];
    let (config, errors) = texts(&case().stdin(override_).args(args).run());
    assert_eq!(errors, "");
    assert!(config.contains("cpus: 1") && config.contains("id: own") && !config.contains("make"), "{config}");
    // The other way round, the first file's words count.
    let args = ["-f", "-", "-f", "smolvm.yaml", "--project-directory", "ci", "config"];
    let (config, errors) = texts(&case().stdin(override_).args(args).run());
    assert_eq!(errors, "");
    assert!(config.contains("cpus: 2") && config.contains("make") && config.contains("name: ci"), "{config}");
}

#[test]
fn the_plan_is_that_of_all_files_together() {
    let more = "machines: { other: }\nsteps: [{ machine: build, run: make }, { id: last, machine: other, run: x }]\n";
    let output = case().file("more.yaml", more).args(["-f", "smolvm.yaml", "-f", "more.yaml", "plan"]).run();
    let (plan, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(plan.contains("last") && plan.contains("other"), "{plan}");
}

#[test]
fn labels_of_two_files_reach_every_form() {
    let base = BASE.replace("./tools:/tools:ro", "../src:/tools");
    let case = || case().file("ci/base.yaml", &base);
    let place = "smolvm.yaml:3:31";
    let concise = told(case());
    assert_eq!(concise.len(), 1, "{concise:?}");
    assert!(concise[0].starts_with(&format!("{place}: error[SMOL0107]")), "{concise:?}");
    let (json, _) = texts(&case().args(["check", "--format", "json"]).run());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let labels = json["diagnostics"][0]["labels"].as_array().unwrap();
    let files: Vec<&str> = labels.iter().filter_map(|label| label["file"].as_str()).collect();
    assert_eq!(files, ["smolvm.yaml", "ci/base.yaml"]);
    assert_eq!((labels[0]["primary"].as_bool(), labels[1]["start"]["line"].as_u64()), (Some(true), Some(6)));
    let (github, _) = texts(&case().args(["check", "--format", "github"]).run());
    assert!(github.contains("file=smolvm.yaml,line=3,") && github.contains("%0Aci/base.yaml:6:"), "{github}");
    let (sarif, _) = texts(&case().args(["check", "--format", "sarif"]).run());
    assert!(sarif.contains("relatedLocations") && sarif.contains("ci/base.yaml"), "{sarif}");
    let (_, full) = texts(&case().args(["check"]).run());
    assert!(full.contains("[ci/base.yaml:6:") && full.contains("the other place"), "{full}");
}

#[test]
fn an_include_that_is_no_file_is_told_at_once() {
    let main = "include: [./pipe, ./ci, /dev/zero, ./empty.yaml]\nmachines: { build: }\nsteps: [{ run: make }]\n";
    let case = case().file("smolvm.yaml", main).file("empty.yaml", "");
    let pipe = case.project().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(
        told(case),
        [
            "smolvm.yaml:1:11: error[SMOL0010]: `pipe` is not a regular file",
            "smolvm.yaml:1:19: error[SMOL0010]: `ci` is not a regular file",
            "smolvm.yaml:1:25: error[SMOL0010]: `/dev/zero` is not a regular file",
        ]
    );
}

#[test]
fn a_circle_is_found_through_links_and_other_names() {
    let case = case().file("ci/base.yaml", "include: [./again.yaml, ../x/../more/smolvm.yaml]\n").folder("x");
    symlink("../smolvm.yaml", case.project().join("ci/again.yaml")).unwrap();
    symlink(".", case.project().join("more")).unwrap();
    let circle = "error[SMOL0010]: `smolvm.yaml` includes itself, through `ci/base.yaml`";
    assert_eq!(told(case), [format!("ci/base.yaml:1:11: {circle}"), format!("ci/base.yaml:1:25: {circle}")]);
}

#[test]
fn a_chain_of_files_is_followed_to_a_limit_that_is_told_once() {
    let mut case = case().file("ci/99.yaml", "include: [100.yaml, 101.yaml]\n");
    for number in 0..99 {
        case = case.file(&format!("ci/{number}.yaml"), format!("include: [{}.yaml]\n", number + 1));
    }
    let main = "include: [ci/0.yaml]\nmachines: { build: }\nsteps: [{ run: make }]\n";
    assert_eq!(
        told(case.file("smolvm.yaml", main)),
        ["ci/98.yaml:1:11: error[SMOL0007]: the project has more than 100 files"]
    );
}

#[test]
fn every_file_is_mended_and_env_files_are_not() {
    let case = Case::new()
        .file("smolvm.yaml", "include: ci/base.yaml\nsteps: [{ run: make }]\n")
        .file("ci/base.yaml", "machines: { build: { memry: 1GiB } }\n")
        .file("more.yaml", "machines: { build: { cpus: \"2\" } }\n")
        .file("ci.env", "A: 1\n")
        .args(["-f", "smolvm.yaml", "-f", "more.yaml", "--env-file", "ci.env", "check", "--fix"]);
    let read = |name: &str| std::fs::read_to_string(case.project().join(name)).unwrap();
    let (_, said) = texts(&case.run());
    assert!(said.contains("ci/base.yaml:1:22: fixed[SMOL0003]") && said.contains("3 mistakes fixed"), "{said}");
    assert_eq!(read("smolvm.yaml"), "include: [ci/base.yaml]\nsteps: [{ run: make }]\n");
    assert_eq!(read("ci/base.yaml"), "machines: { build: { memory: 1GiB } }\n");
    assert_eq!(read("more.yaml"), "machines: { build: { cpus: 2 } }\n");
    assert_eq!(read("ci.env"), "A: 1\n");
    let (_, said) = texts(&case.run());
    assert!(!said.contains("fixed") && said.contains("ci.env:1:1"), "{said}");
}

#[test]
fn env_files_replace_the_one_beside_the_file() {
    let main = "machines: { build: { env: { A: '$A', B: '${B:-none}' } } }\nsteps: [{ run: make }]\n";
    let case = || Case::new().file("smolvm.yaml", main).file(".env", "A=0\nB=0\n").file("one.env", "A=1\n");
    let (config, _) = texts(&case().args(["config"]).run());
    assert!(config.contains("A: \"0\"") && config.contains("B: \"0\""), "{config}");
    let (config, _) = texts(&case().args(["--env-file", "one.env", "config"]).run());
    assert!(config.contains("A: \"1\"") && config.contains("B: none"), "{config}");
    let two = case().file("two.env", "A=2\n").args(["--env-file", "one.env", "config", "--env-file", "two.env"]);
    assert!(texts(&two.run()).0.contains("A: \"2\""));
    let missing = case().args(["--env-file", "one.evn", "check", "--format", "concise"]);
    assert_eq!(texts(&missing.run()).0, "error[SMOL0304]: the env file `one.evn` does not exist\n");
}
