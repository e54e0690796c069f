//! `smolvm init`: for every kind of project a file that is checked without a remark, and runs.

use std::fs;
use std::process::Output;

use crate::support::{Case, machines};

/// A project of each kind, small enough to be built under emulation.
fn add(case: Case, kind: &str) -> Case {
    match kind {
        "Cargo" => case
            .file("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n")
            .file("Cargo.lock", "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n")
            .file("src/main.rs", "fn main() {}\n\n#[test]\nfn passes() {}\n"),
        "npm" => case.file("package.json", r#"{ "scripts": { "build": "true", "test": "node -e 0" } }"#),
        "pnpm" => case.file("package.json", "{}").file("pnpm-lock.yaml", ""),
        "Yarn" => case.file("package.json", r#"{ "scripts": { "lint": "true" } }"#).file("yarn.lock", ""),
        "Python" => case
            .file("pyproject.toml", "[project]\nname = \"app\"\n")
            .file("tests/test_app.py", "import unittest\n\nclass App(unittest.TestCase):\n    def test(self): pass\n"),
        "Make" => case
            .file("Makefile", "app: main.c\n\tcc -o $@ $<\n\tcp app /out/\n\ntest: app\n\t./app\n")
            .file("main.c", "int main(void) { return 0; }\n"),
        _ => case,
    }
}

/// Runs the program again in the project of a case.
fn again(case: &Case, args: &[&str]) -> Output {
    let command = case.command();
    let mut fresh = std::process::Command::new(command.get_program());
    fresh.args(args).current_dir(case.project());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => fresh.env(name, value),
            None => fresh.env_remove(name),
        };
    }
    fresh.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn passed(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn written(kinds: &[&str]) -> (Case, String) {
    let case = kinds.iter().fold(Case::new(), |case, kind| add(case, kind)).with_shared_cache().args(["init"]);
    let output = case.run();
    passed(&output);
    assert!(output.stdout.is_empty());
    for kind in kinds {
        assert!(text(&output.stderr).contains(kind), "{kind}: {}", text(&output.stderr));
    }
    let file = fs::read_to_string(case.project().join("smolvm.yaml")).unwrap();
    (case, file)
}

#[test]
fn what_is_written_for_every_kind_is_checked_without_a_remark_and_planned() {
    let kinds: [&[&str]; 8] =
        [&["Cargo"], &["npm"], &["pnpm"], &["Yarn"], &["Python"], &["Make"], &["Cargo", "npm", "Python", "Make"], &[]];
    for kinds in kinds {
        let (case, file) = written(kinds);
        let checked = again(&case, &["check", "--deny", "warnings"]);
        passed(&checked);
        assert_eq!(text(&checked.stderr), "smolvm.yaml: no mistakes\n", "{file}");
        assert!(file.lines().all(|line| line.trim_end() == line), "{file}");
        let mut names: Vec<_> = fs::read_dir(case.project()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().contains("smolvm"));
        assert_eq!(names, ["smolvm.yaml"]);
    }
}

#[test]
fn steps_are_those_that_the_project_has() {
    for (kinds, steps) in [
        (["Cargo"], &["cargo build --offline --locked", "cargo test --offline --locked"][..]),
        (["npm"], &["npm run build", "npm run test"]),
        (["Yarn"], &["yarn run lint"]),
        (["Python"], &["-m compileall", "-m unittest discover -s tests"]),
        (["Make"], &["run: make\n", "run: make test\n"]),
        (["pnpm"], &["node --version"]),
    ] {
        let (_, file) = written(&kinds);
        for step in steps {
            assert!(file.contains(step), "{step}\n{file}");
        }
        assert_eq!(file.matches("  - id: ").count(), steps.len(), "{file}");
    }
}

#[test]
fn a_schema_that_is_there_is_named_in_the_first_line() {
    let case = Case::new().file("smolvm.schema.json", "{}").args(["init", "."]);
    passed(&case.run());
    let file = fs::read_to_string(case.project().join("smolvm.yaml")).unwrap();
    assert!(file.starts_with("# yaml-language-server: $schema=./smolvm.schema.json\n"), "{file}");
    let (_, file) = written(&["Make"]);
    assert!(!file.contains("$schema"), "{file}");
}

#[test]
fn a_file_that_is_there_is_left_as_it_is() {
    for name in ["smolvm.yaml", "smolvm.yml"] {
        let case = Case::new().file(name, "mine").args(["init"]);
        let project = case.project();
        let output = case.run();
        assert_eq!(output.status.code(), Some(78));
        let told = text(&output.stderr);
        assert!(told.contains(&format!("`{name}` is there already, and is left as it is\nhelp: ")), "{told}");
        assert_eq!(fs::read_to_string(project.join(name)).unwrap(), "mine");
        assert_eq!(fs::read_dir(&project).unwrap().count(), 1);
    }
    let case = Case::new().args(["init"]);
    std::os::unix::fs::symlink("nowhere", case.project().join("smolvm.yaml")).unwrap();
    assert_eq!(case.run().status.code(), Some(78));
}

#[test]
fn a_file_of_another_name_and_a_folder_that_is_none_are_usage_errors() {
    Case::new()
        .args(["init", "-f", "other.yaml"])
        .stderr(
            "error: `init` writes `smolvm.yaml`, and `-f` names another file\n\
             help: leave `-f` out, or rename the file afterwards\n",
        )
        .exit(2);
    Case::new()
        .args(["init", "nowhere"])
        .stderr("error: `nowhere` is not a folder\nhelp: make it first, or name another\n")
        .exit(2);
}

#[test]
fn what_is_written_for_make_runs() {
    let Some(_machines) = machines() else { return };
    let (case, _) = written(&["Make"]);
    passed(&again(&case, &["up"]));
    assert!(case.project().join("out/app").is_file());
    assert!(!case.project().join("app").exists(), "a step wrote into the project");
}

#[test]
fn what_is_written_for_cargo_runs_with_the_toolchain_of_the_home() {
    let Some(_machines) = machines() else { return };
    let (case, _) = written(&["Cargo"]);
    let output = again(&case, &["up"]);
    passed(&output);
    assert!(text(&output.stdout).contains("test passes ... ok"), "{}", text(&output.stdout));
    assert!(case.project().join("out/target/debug/app").is_file());
}
