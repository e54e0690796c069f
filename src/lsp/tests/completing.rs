//! What is offered in texts that are being written; `|` is the cursor.

use serde_json::Value;

use super::{MemoryFiles, ROOT, Session};

fn world() -> MemoryFiles {
    MemoryFiles::new()
        .file("/project/src/a.txt", "")
        .file("/project/src/.hidden", "")
        .folder("/project/srv")
        .file("/project/ci/base.yaml", "")
        .file("/project/.env", "FROM_FILE=1\nAPI_TOKEN=hunter2\n")
        .variable("FROM_SHELL", "2")
}

/// What is offered: label and the text that comes of it on the line of the cursor.
fn offered(text: &str) -> Vec<(String, String)> {
    let offset = text.find('|').expect("a cursor");
    let text = format!("{}{}", &text[..offset], &text[offset + 1..]);
    let mut session = Session::new(world());
    session.open_as(ROOT, &text);
    let line = text[..offset].matches('\n').count();
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let position = serde_json::json!({ "line": line, "character": offset - start });
    let params = serde_json::json!({ "textDocument": { "uri": ROOT }, "position": position });
    let result = session.ask("textDocument/completion", params);
    let written = text[start..].split('\n').next().unwrap_or_default();
    let items = result["items"].as_array().expect("items").iter();
    items
        .map(|item| {
            let edit = &item["textEdit"];
            let column = |end: &str| usize::try_from(edit["range"][end]["character"].as_u64().unwrap()).unwrap();
            let new = edit["newText"].as_str().unwrap();
            let line = format!("{}{new}{}", &written[..column("start")], &written[column("end")..]);
            (item["label"].as_str().unwrap().to_owned(), line.trim().to_owned())
        })
        .collect()
}

fn labels(text: &str) -> Vec<String> {
    offered(text).into_iter().map(|(label, _)| label).collect()
}

fn has(text: &str, wanted: &[&str]) {
    let all = labels(text);
    for label in wanted {
        assert!(all.iter().any(|one| one == label), "{text}\nlacks {label}: {all:?}");
    }
}

fn lacks(text: &str, unwanted: &[&str]) {
    let all = labels(text);
    for label in unwanted {
        assert!(!all.iter().any(|one| one == label), "{text}\nhas {label}: {all:?}");
    }
}

fn line_of(text: &str, label: &str) -> String {
    let all = offered(text);
    let found = all.iter().find(|(one, _)| one == label);
    found.unwrap_or_else(|| panic!("{text}\nlacks {label}: {all:?}")).1.clone()
}

#[test]
fn keys_that_fit_the_place_are_offered_and_those_that_are_there_are_not() {
    has("|", &["machines", "steps", "name"]);
    has("machines:\n  a: {}\nst|", &["steps", "volumes", "finally"]);
    lacks("machines:\n  a: {}\n|", &["machines", "image"]);
    has("machines:\n  a:\n    |\n", &["image", "memory", "mounts"]);
    has("machines:\n  a:\n    im|\n", &["image"]);
    has("machines:\n  a:\n    cpus: 2\n    |\nsteps:\n  - run: x\n", &["image", "memory"]);
    lacks("machines:\n  a:\n    cpus: 2\n    |\nsteps:\n  - run: x\n", &["cpus", "run", "steps"]);
    has("machines:\n  a: { |", &["image"]);
    has("machines:\n  a: { cpus: 2, | }\nsteps: []\n", &["image"]);
    lacks("machines:\n  a: { cpus: 2, | }\nsteps: []\n", &["cpus"]);
    has("machines: { a: {} }\nsteps:\n  - |", &["id", "run"]);
    has("machines: { a: {} }\nsteps:\n  - id: x\n    |\n  - run: y\n", &["run", "needs"]);
    has("machines: { a: {} }\nsteps:\n- id: x\n  |\n", &["run", "needs"]);
    lacks("machines: { a: {} }\nfinally:\n  - |", &["needs", "inputs"]);
    has("machines:\n  a:\n    healthcheck:\n      |", &["test", "interval"]);
    has("volumes:\n  cache:\n    |", &["size"]);
}

#[test]
fn a_key_is_written_as_its_value_needs_it() {
    assert_eq!(line_of("machines:\n  a:\n    im|\n", "image"), "image:");
    assert_eq!(line_of("machines:\n  a:\n    mou|\n", "mounts"), "mounts:");
    assert_eq!(line_of("machines:\n  a:\n    im|: host\n", "image"), "image: host", "the colon is there");
    assert_eq!(line_of("machines:\n  a:\n    i|mag\n    cpus: 1\n", "image"), "image:");
}

#[test]
fn keys_of_a_mount_are_those_of_its_type() {
    let mount = |more: &str| format!("machines:\n  a:\n    mounts:\n      - {more}");
    has(&mount("|"), &["source", "target", "type"]);
    has(&mount("type: tmpfs\n        |"), &["size", "target"]);
    lacks(&mount("type: tmpfs\n        |"), &["source", "owner"]);
    has(&mount("source: ./src\n        |"), &["readonly", "owner", "create"]);
    lacks(&mount("source: ./src\n        |"), &["size", "source"]);
    has(&mount("type: |"), &["bind", "tmpfs", "volume", "overlay"]);
    has(&mount("readonly: |"), &["true", "false"]);
    has(&mount("cache: |"), &["auto", "always", "never"]);
    has(&mount("owner: |"), &["invoker", "guest"]);
    has(&mount("{ source: ./src, readonly: | }"), &["true", "false"]);
}

#[test]
fn words_that_the_language_knows_are_offered() {
    has("machines:\n  a:\n    network: |\n", &["none", "nat"]);
    has("machines:\n  a:\n    network: { mode: |\n", &["none", "nat"]);
    has("machines:\n  a:\n    restart: |\n", &["no", "on-failure", "always"]);
    has("machines:\n  a:\n    image: |\n", &["host"]);
    assert_eq!(line_of("machines:\n  a:\n    restart: on-f|\n", "on-failure"), "restart: on-failure");
}

#[test]
fn names_are_offered_where_they_are_meant() {
    let head = "machines:\n  build: { image: host }\n  test:\n    depends_on: [|]\nsteps:\n  - id: one\n    run: x\n";
    has(head, &["build"]);
    lacks(head, &["test", "one"]);
    let step = |more: &str| {
        format!(
            "machines:\n  build:\n  test:\nsteps:\n  - id: one\n    run: x\n  - run: y\n  - id: two\n    {more}\n    run: z\n"
        )
    };
    has(&step("machine: |"), &["build", "test"]);
    has(&step("needs: [|"), &["one", "step-2"]);
    lacks(&step("needs: [|"), &["two", "build"]);
    lacks(&step("needs: [one, |]"), &["one"]);
    has(&step("needs:\n      - |"), &["one"]);
    assert_eq!(line_of(&step("needs:\n      on|"), "one"), "- one");
    has("machines:\n  db:\n  web:\n    depends_on:\n      |\n", &["db"]);
    assert_eq!(line_of("machines:\n  db:\n  web:\n    links: [d|]\n", "db"), "links: [db:]");
    let volume = "machines:\n  a:\n    mounts:\n      - { type: volume, source: |, target: /c }\nvolumes: { cargo: }\n";
    has(volume, &["cargo"]);
    has("machines:\n  a:\n    mounts:\n      - |\nvolumes: { cargo: }\n", &["cargo"]);
    has("x-r: &rust { cpus: 2 }\nmachines:\n  a:\n    <<: *|\n", &["rust"]);
}

#[test]
fn host_paths_are_offered_folder_by_folder() {
    let source = |more: &str| format!("machines:\n  a:\n    mounts:\n      - source: {more}\n        target: /t\n");
    assert_eq!(line_of(&source("./s|"), "src"), "- source: ./src/");
    has(&source("./src/|"), &["a.txt"]);
    lacks(&source("./src/|"), &[".hidden"]);
    has(&source("./src/.|"), &[".hidden"]);
    let short = "machines:\n  a:\n    mounts:\n      - ./sr|\n";
    assert_eq!(line_of(short, "srv"), "- ./srv/");
    has("machines:\n  a:\n    mounts:\n      - ./src:/code:|\n", &["ro", "rw"]);
    has("machines:\n  a:\n    image: dir:./|\n", &["src"]);
    has("include: [./ci/|]\n", &["base.yaml"]);
}

#[test]
fn variables_are_offered_after_a_dollar() {
    assert_eq!(line_of("env: { A: \"${FROM|\" }\nmachines: {}\n", "FROM_FILE"), "env: { A: \"${FROM_FILE}\" }");
    assert_eq!(line_of("env: { A: \"${FROM|}\" }\nmachines: {}\n", "FROM_SHELL"), "env: { A: \"${FROM_SHELL}\" }");
    has("machines:\n  a:\n    matrix: { os: [x] }\n    image: \"${MA|\"\n", &["MATRIX_OS", "MATRIX_ID"]);
    lacks("machines: { a: }\nsteps:\n  - run: echo $FR|\n", &["FROM_FILE"]);
    lacks("machines: { a: }\nsteps:\n  - run: |-\n      echo $|\n".replacen("|-", ">-", 1).as_str(), &["FROM_FILE"]);
}

#[test]
fn below_an_anchor_the_place_of_its_use_counts() {
    has("x-r: &rust\n  |\nmachines:\n  a: *rust\n", &["image", "cpus"]);
    has("x-r: &rust\n  cpus: 2\n  mounts:\n    - type: tmpfs\n      |\nmachines:\n  a:\n    <<: *rust\n", &["size"]);
    has("machines:\n  a:\n    <<: { | }\n", &["image"]);
}

#[test]
fn nothing_is_offered_in_comments_and_scripts() {
    for text in ["# |", "name: a # |", "machines: { a: }\nsteps:\n  - run: |-\n      ma§\n"] {
        let text = if text.contains('§') { text.replace("|-", ">-").replace('§', "|") } else { text.to_owned() };
        assert_eq!(offered(&text), [], "{text}");
    }
}

#[test]
fn keys_come_with_their_meaning() {
    let mut session = Session::open("machines:\n  a:\n    \n");
    let params = serde_json::json!({ "textDocument": { "uri": ROOT }, "position": { "line": 2, "character": 4 } });
    let result: Value = session.ask("textDocument/completion", params);
    let memory = result["items"].as_array().unwrap().iter().find(|item| item["label"] == "memory").unwrap().clone();
    assert!(memory["documentation"]["value"].as_str().unwrap().contains("1GiB"), "{memory}");
}
