//! `smolvm config`: what it prints, and that it can be read again.

use std::path::{Path, PathBuf};

use smolvm::config::{Hashes, Loaded, Mode, load, resolved_hashes, resolved_json, resolved_yaml};
use smolvm::diag::render_concise;

use crate::cases::{case, cases, checked, run};
use crate::support::Case;

const FILE: &str = "name: acme
x-base: &base { memory: 2048, env: { CI: \"${CI:-no}\" } }
machines:
  build:
    <<: *base
    mounts: [./src:/code:ro, { source: dist, target: /dist/, create: true }]
steps:
  - run: |
      echo $HOME
      make
  - { id: test, run: [make, test], timeout: 90s, env: { PRICE: $$5 } }
finally:
  - run: echo done
";

const YAML: &str = "name: acme
machines:
  build:
    image: host
    kernel: auto
    memory: 2GiB
    env:
      CI: \"no\"
    mounts:
      - source: [PROJECT]/src
        target: /code
        readonly: true
      - source: [PROJECT]/dist
        target: /dist
        create: true
steps:
  - id: step-1
    machine: build
    run: |
      echo $HOME
      make
    needs: []
  - id: test
    machine: build
    run: [make, test]
    env:
      PRICE: $$5
    needs: [step-1]
    timeout: 1m30s
finally:
  - id: finally-1
    machine: build
    run: echo done
";

#[test]
fn everything_is_written_out() {
    let case = || Case::new().file("smolvm.yaml", FILE).folder("src").env("CI", "");
    case().args(["config"]).stdout(YAML).exit(0);
    let output = case().args(["config", "--format", "json"]).run();
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["machines"]["build"]["memory"], "2GiB");
    assert_eq!(object["steps"][0]["run"], "echo $HOME\nmake\n");
}

#[test]
fn what_does_not_run_yet_is_written_and_told() {
    let file = "machines: { db: { image: \"postgres:16\", command: [postgres], ports: [\"5432:5432\"] } }\nsteps: [{ run: x, inputs: [\"*.c\"] }]\n";
    let output = Case::new().file("smolvm.yaml", file).args(["config", "--format", "json"]).run();
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("warning[SMOL0011]") && !told.contains("error["), "{told}");
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    let db = &object["machines"]["db"];
    assert_eq!((&db["command"][0], &db["ports"][0]), (&"postgres".into(), &"127.0.0.1:5432:5432".into()), "{said}");
}

#[test]
fn a_file_that_is_wrong_gives_the_mistakes_only() {
    let output = Case::new().file("smolvm.yaml", "machines: { a: { memry: 1 } }\n").args(["config"]).run();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("SMOL0003"));
}

/// Loads `text` in the place of all files of a case.
fn load_text(path: &Path, text: &str) -> Loaded {
    let (files, mut request) = case(path, Mode::Run);
    request.files.truncate(1);
    request.texts.insert(PathBuf::from("/project/smolvm.yaml"), text.as_bytes().to_vec());
    checked(load(request, &files))
}

#[test]
fn every_valid_file_is_written_so_that_it_is_read_the_same() {
    for path in cases("valid") {
        let name = path.display();
        let project = run(&path, Mode::Run).project.unwrap();
        let yaml = resolved_yaml(&project);
        for text in [&yaml, &resolved_json(&project)] {
            let loaded = load_text(&path, text);
            let words = render_concise(&loaded.diagnostics, &loaded.sources, 0);
            assert!(loaded.diagnostics.is_empty(), "{name}:\n{words}\n{text}");
            assert_eq!(resolved_yaml(&loaded.project.unwrap()), yaml, "{name}");
        }
    }
}

fn hashes(text: &str) -> Hashes {
    resolved_hashes(&load_text(Path::new("text.yaml"), text).project.unwrap())
}

#[test]
fn a_hash_does_not_depend_on_how_the_file_is_written() {
    let one = hashes("env: { CI: true }\nmachines:\n  a: { cpus: 1, memory: 2GiB, mounts: [./src:/code:ro] }\n  b:\n");
    let other = hashes(
        "machines:\n  a:\n    mounts:\n    - { target: /code, readonly: true, source: ./src } # the same\n    \
         memory: \"${UNSET:-2048}\"\n    cpus: 1\n  b: {}\nenv: { CI: \"true\" }\n",
    );
    assert_eq!(one, other);
    assert_eq!(one.machines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_hash_changes_with_its_machine_and_the_environment_of_the_file_only() {
    let before = hashes("machines: { a: { cpus: 1 }, b: }\nsteps: [{ machine: a, run: x }]");
    let machine = hashes("machines: { a: { cpus: 2 }, b: }\nsteps: [{ machine: a, run: x }]");
    assert_ne!(before.machines[0], machine.machines[0]);
    assert_eq!(before.machines[1], machine.machines[1]);
    assert_ne!(before.project, machine.project);
    let step = hashes("machines: { a: { cpus: 1 }, b: }\nsteps: [{ machine: a, run: y }]");
    assert_eq!(before.machines, step.machines);
    assert_ne!(before.project, step.project);
    let env = hashes("env: { A: b }\nmachines: { a: { cpus: 1 }, b: }\nsteps: [{ machine: a, run: x }]");
    assert!(before.machines.iter().zip(&env.machines).all(|(before, after)| before != after));
}

#[test]
fn hashes_are_printed_a_line_a_machine_or_as_an_object() {
    let case = || {
        Case::new()
            .file("smolvm.yaml", "machines: { b: , a: }\nsteps: [{ machine: a, run: x }, { machine: b, run: x }]\n")
    };
    let text = String::from_utf8(case().args(["config", "--hash"]).run().stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["b", "a"]);
    assert!(lines.iter().all(|(_, hash)| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())));
    let output = case().args(["config", "--hash", "--format", "json"]).run();
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["version"], &object["machines"]["b"]), (&1.into(), &lines[0].1.into()));
    assert_eq!(object["project"].as_str().map(str::len), Some(64));
}
