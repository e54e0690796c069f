//! The schema in `schema/` is what the program prints, accepts what is valid and rejects what it can.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&smolvm::config::schema::render()).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("the schema is a schema")
}

fn parse(text: &str) -> Value {
    read(text).expect("the case is YAML")
}

/// As YAML 1.2 reads it: `no` is text.
fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    serde_yaml::from_str_with_options(text, serde_yaml::options! { strict_booleans: true })
}

fn problems(validator: &Validator, text: &str) -> Vec<String> {
    let value = parse(text);
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path)).collect()
}

#[test]
fn the_checked_in_schema_is_what_the_program_prints() {
    let path = root().join("schema/smolvm.schema.json");
    let rendered = smolvm::config::schema::render();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("schema/");
        std::fs::write(&path, &rendered).expect("the schema is written");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == rendered, "schema/smolvm.schema.json is stale: run `make schema`");
}

/// Every YAML file below a folder, sorted.
fn cases(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_valid_case_is_accepted() {
    let validator = validator();
    for path in cases("tests/cases/valid") {
        let text = std::fs::read_to_string(&path).expect("a case");
        // A file that is included may be empty: no value, so nothing that a schema looks at.
        if parse(&text).is_null() {
            continue;
        }
        let problems = problems(&validator, &text);
        assert!(problems.is_empty(), "{}:\n{}", path.display(), problems.join("\n"));
    }
}

#[test]
fn the_whole_language_is_accepted() {
    let problems = problems(&validator(), WHOLE_LANGUAGE);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_file_that_includes_others_need_not_have_machines() {
    let problems = problems(&validator(), "include: [./base.yaml]\nenv: { CI: true }");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_a_schema_can_know_to_be_wrong_is_rejected() {
    let validator = validator();
    let cases = [
        ("no machines", "steps: []"),
        ("an unknown key of the file", "machines: { a: }\nservices: {}"),
        ("an unknown key of a machine", "machines: { a: { imgae: host } }"),
        ("an unknown key of a step", "machines: { a: }\nsteps: [{ run: x, script: y }]"),
        ("an unknown key of a mount", "machines: { a: { mounts: [{ source: ./a, target: /a, ro: true }] } }"),
        ("a key of another type of mount", "machines: { a: { mounts: [{ type: tmpfs, target: /a, source: ./a }] } }"),
        ("a name in upper case", "machines: { Build: }"),
        ("machines as a list", "machines: [a]"),
        ("a step without run", "machines: { a: }\nsteps: [{ id: x }]"),
        ("an empty run", "machines: { a: }\nsteps: [{ run: [] }]"),
        ("a size as compose takes it", "machines: { a: { memory: 512m } }"),
        ("a duration without unit", "machines: { a: }\nsteps: [{ run: x, timeout: 10 }]"),
        ("a duration in another order", "machines: { a: }\nsteps: [{ run: x, timeout: 1s2m }]"),
        ("no CPUs", "machines: { a: { cpus: 0 } }"),
        ("a relative target", "machines: { a: { mounts: [{ source: ./a, target: a }] } }"),
        ("a target that climbs", "machines: { a: { mounts: [{ source: ./a, target: /a/../b }] } }"),
        ("an unknown mode", "machines: { a: { mounts: [\"./a:/a:rx\"] } }"),
        ("a relative output", "machines: { a: }\nsteps: [{ run: x, outputs: [out] }]"),
        ("one need that is no list", "machines: { a: }\nsteps: [{ run: x, needs: y }]"),
        ("null where text belongs", "machines: { a: { image: } }"),
        ("needs in finally", "machines: { a: }\nfinally: [{ run: x, needs: [y] }]"),
        ("an unknown type of mount", "machines: { a: { mounts: [{ type: nfs, source: ./a, target: /a }] } }"),
        ("a short target that climbs", "machines: { a: { mounts: [\"./a:/a/../b\"] } }"),
        ("no memory", "machines: { a: { memory: 0 } }"),
        ("an unknown condition", "machines: { a: { depends_on: { b: { condition: up } } } }"),
        ("a path in another's home", "machines: { a: { modules: ~bob/lib } }"),
        ("always of a writable mount", "machines: { a: { mounts: [{ source: ./a, target: /a, cache: always }] } }"),
        ("an unknown network", "machines: { a: { network: bridge } }"),
    ];
    for (what, text) in cases {
        assert!(!validator.is_valid(&parse(text)), "the schema accepts {what}");
    }
}

/// Bad files that the schema accepts, and why it cannot know better. A file that cannot be read as YAML, and those of
/// rules that need more than the shape of one value (0009 and on), are not asked for.
const UNSEEN: &[(&str, &str)] = &[
    ("0004-a-root-that-is-a-list", "the file that it includes is the bad one"),
    ("0005-if-foreign", "a condition is read by its own grammar"),
    ("0005-if-unreadable", "a condition is read by its own grammar"),
    ("0005-matrix-too-large", "combinations are not counted"),
    ("0005-value-of-a-matrix", "what a variable comes to is not known"),
    ("0005-values-of-variables-are-shown", "what a variable comes to is not known"),
    ("0006-healthcheck-of-nothing", "another file may bring its `test`"),
    ("0006-only-with-a-command", "another file may bring its `command`"),
    ("0102-a-file-into-a-folder", "whether a source is a file is not known"),
];

/// Rules of the shape of values, which a schema is there for.
const SHAPES: &[&str] = &["0003", "0004", "0005", "0006", "0102", "0116", "0505"];

#[test]
fn bad_shapes_are_rejected_but_for_those_that_a_schema_cannot_see() {
    let validator = validator();
    let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
    for path in cases("tests/cases/invalid") {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if !SHAPES.iter().any(|rule| name.starts_with(rule)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a case of these rules is text");
        let Ok(value) = read(&text) else { continue };
        if validator.is_valid(&value) { accepted.push(name) } else { rejected.push(name) }
    }
    let unseen: Vec<&str> = UNSEEN.iter().map(|(name, _)| *name).collect();
    let surprises: Vec<_> = accepted.iter().filter(|name| !unseen.contains(&name.as_str())).collect();
    let seen: Vec<_> = rejected.iter().filter(|name| unseen.contains(&name.as_str())).collect();
    assert!(surprises.is_empty(), "the schema accepts: {surprises:?}");
    assert!(seen.is_empty(), "the schema rejects these now, take them out of the list: {seen:?}");
    assert!(rejected.len() > 25, "{}", rejected.len());
}

const WHOLE_LANGUAGE: &str = r#"
name: acme
requires: ">=0.1"
include: [./ci/base.yaml]
env: { CI: "${CI:-false}", PORT: 8080, PASSED_ON: null }
env_file: [./a.env]
x-rust: &rust { image: "debian:12", cpus: 2, memory: 2GiB, working_dir: /code }
machines:
  x-ignored: 1
  empty:
  build:
    <<: *rust
    mounts:
      - ./src:/code:ro
      - "${SOURCE}:/more"
      - { source: ./dist, target: /output, readonly: false, create: true, owner: invoker, x-why: because }
      - { type: tmpfs, target: /scratch, size: 512MiB }
      - { type: overlay, source: ./vendor, target: /vendor }
      - { type: "${KIND}", target: /by-variable, size: 1GiB }
      - { type: volume, source: cargo-cache, target: /cargo }
      - ./ci/tool.conf:/etc/tool.conf:ro
  db:
    image: postgres:16-alpine
    command: [postgres, -c, fsync=off]
    ports: ["5432:5432", "127.0.0.1:0:8080", "[::1]:80:80"]
    healthcheck: { test: pg_isready -q, interval: 1s, timeout: 2s, retries: 30, start_period: 5s }
    restart: "${RESTART}"
    stop_signal: sigRtMin+3
    depends_on: [build, "test[debian:12]"]
  test:
    <<: *rust
    matrix: { image: ["debian:12", "alpine:3.20"] }
    image: "${MATRIX_IMAGE}"
    cpus: "${CPUS}"
    depends_on: { db: { condition: healthy } }
    links: ["db:5432", "db[16]:5432"]
    restart: no
    network: { mode: nat, allow: [crates.example, 10.0.0.0/8] }
    user: 1000
    workspace: false
    memory: 512
steps:
  - id: compile
    machine: build
    run: |
      make -C /code O=/output
    inputs: ["src/**", "!src/**/*.snap"]
    outputs: [/output/app, "/output/*.o"]
    timeout: 1h10m
  - id: unit
    machine: test
    needs: [compile]
    run: [/code/run-tests, --report, /reports/unit.xml]
    shell: [bash, -euo, pipefail]
    env_file: [{ path: ./ci/test.env, required: false }]
    retry: { attempts: 2, delay: 500ms }
    if: "${CI} == true"
    chown: true
finally:
  - { machine: test, run: "dmesg > /reports/dmesg.txt" }
volumes: { cargo-cache: { size: 4GiB }, plain: }
"#;
