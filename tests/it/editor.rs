//! What an editor makes of the schema: a real YAML language server, as VS Code and Neovim run it, on good and bad files.
//!
//! The server comes from `tests/npm`; `scripts/setup.sh test`, which `make test` runs first, installs it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::cases::cases;
use crate::language_server::LanguageServer;
use crate::support::repository;

/// The server, and how many documents it has been shown.
struct Editor {
    server: LanguageServer,
    documents: usize,
}

impl Editor {
    fn open() -> Self {
        let program = repository().join("tests/npm/node_modules/yaml-language-server/bin/yaml-language-server");
        assert!(program.is_file(), "the YAML language server is not installed; run `scripts/setup.sh test`");
        let schema = format!("file://{}", repository().join("schema/smolvm.schema.json").display());
        let yaml = json!({
            "schemas": { schema: "*.yaml" },
            "validate": true, "hover": true, "completion": true, "yamlVersion": "1.2",
            // Nothing is fetched.
            "schemaStore": { "enable": false }
        });
        let settings = json!({ "yaml": yaml, "http": {}, "[yaml]": {}, "editor": {}, "files": {} });
        let mut server = LanguageServer::start(Command::new("node").arg(program).arg("--stdio"), settings);
        server.wait_for_settings();
        Self { server, documents: 0 }
    }

    /// Shows the server a file and gives its name and what is told of it.
    fn show(&mut self, text: &str) -> (String, Vec<Value>) {
        self.documents += 1;
        let uri = format!("file:///project/{}.yaml", self.documents);
        let remarks = self.server.open(&uri, text);
        (uri, remarks)
    }

    /// What is offered where `|` stands in the text.
    fn offered(&mut self, text: &str) -> Vec<String> {
        let (line, column) = place(text, "|");
        let (uri, _) = self.show(&text.replace('|', ""));
        self.server.complete(&uri, line, column)
    }
}

/// Line and column of a word's first place, from 0.
fn place(text: &str, word: &str) -> (usize, usize) {
    let before = &text[..text.find(word).unwrap()];
    let line = before.matches('\n').count();
    (line, before.len() - before.rfind('\n').map_or(0, |end| end + 1))
}

fn lines(remarks: &[Value]) -> String {
    let one = |remark: &Value| {
        let line = remark["range"]["start"]["line"].as_u64().unwrap_or_default() + 1;
        format!("{line}: {}\n", remark["message"].as_str().unwrap_or_default())
    };
    remarks.iter().map(one).collect()
}

#[test]
fn good_files_are_told_nothing() {
    let mut editor = Editor::open();
    let mut files: Vec<PathBuf> = cases("valid");
    files.push(repository().join("smolvm.yaml"));
    for example in std::fs::read_dir(repository().join("examples")).unwrap() {
        files.extend(Some(example.unwrap().path().join("smolvm.yaml")).filter(|file| file.is_file()));
    }
    for file in files {
        let (_, remarks) = editor.show(&std::fs::read_to_string(&file).unwrap());
        assert!(remarks.is_empty(), "{}:\n{}", file.display(), lines(&remarks));
    }
}

#[test]
fn bad_files_are_told_the_mistake_in_its_line() {
    let mut editor = Editor::open();
    let machine = |key: &str| format!("machines:\n  build:\n    {key}\n");
    let mount = |keys: &str| format!("machines:\n  build:\n    mounts:\n      - {keys}\n");
    let step = |key: &str| format!("machines: {{ a: }}\nsteps:\n  - run: make\n    {key}\n");
    for (text, line, words) in [
        ("steps: []\n".to_owned(), 1, "Missing property \"machines\"."),
        ("machines: { a: }\nservices: {}\n".to_owned(), 2, "Property services is not allowed."),
        ("machines:\n  Build:\n".to_owned(), 2, "Expected a map of names: lower-case letters"),
        ("machines: { a: }\nsteps:\n  - id: x\n".to_owned(), 3, "Missing property \"run\"."),
        (machine("imgae: host"), 3, "Property imgae is not allowed."),
        (machine("memory: 512m"), 3, "A size is digits and a unit, as 512MiB or 2GiB"),
        (machine("network: bridge"), 3, "Expected `none` or `nat`."),
        (machine("cpus: two"), 3, "Expected a whole number, at least 1."),
        (machine("image:"), 3, "Expected `host`, `dir:PATH`"),
        (machine("ports: [8080]"), 3, "A port is `[HOST_IP:]HOST:GUEST`"),
        (machine("restart: never"), 3, "Expected `no`, `on-failure` or `always`."),
        (machine("env: [A=1]"), 3, "Expected a map."),
        (machine("depends_on: db"), 3, "Expected a list of machines, or a map"),
        (mount("./a:/a:rx"), 4, "A mount is `SOURCE:TARGET[:ro|:rw]`"),
        (mount("{ type: tmpfs, target: /a, source: ./a }"), 4, "Property source is not allowed."),
        (mount("{ type: nfs, source: ./a, target: /a }"), 4, "Expected `bind`, `overlay`, `volume` or `tmpfs`."),
        (mount("{ source: ./a }"), 4, "Missing property \"target\"."),
        (mount("{ source: ./a, target: a }"), 4, "Expected an absolute path in the guest"),
        (mount("{ source: ./a, target: /a, readonly: yes }"), 4, "Expected true or false."),
        (mount("{ source: ./a, target: /a, cache: always, readonly: false }"), 4, "is for read-only mounts"),
        (step("timeout: 60"), 4, "A duration is whole numbers with units, as 90s"),
        (step("needs: compile"), 4, "Expected a list."),
        (step("outputs: [app]"), 4, "Expected an absolute path or glob in the guest"),
        (step("retry: { attempts: 0 }"), 4, "Value is below the minimum of 1."),
        (step("if: [a]"), 4, "Expected text."),
    ] {
        let (_, remarks) = editor.show(&text);
        let told = lines(&remarks);
        let (first, rest) = told.split_once('\n').unwrap_or_else(|| panic!("nothing is told of\n{text}"));
        assert!(rest.is_empty(), "one mistake is told as several:\n{text}{told}");
        assert!(first.starts_with(&format!("{line}: ")) && first.contains(words), "{text}{told}");
    }
}

#[test]
fn every_key_shows_what_it_means() {
    let mut editor = Editor::open();
    let schema: Value = serde_json::from_str(&smolvm::config::schema::render()).unwrap();
    let example = |key: &Value| {
        let shape = key["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        key["examples"].get(0).or_else(|| schema["$defs"][shape?]["examples"].get(0)).unwrap().clone()
    };
    let file = |key: &str, value: &Value| format!("{key}: {value}\n");
    let machine = |key: &str, value: &Value| format!("machines:\n  a:\n    {key}: {value}\n");
    let mount = |key: &str, value: &Value| format!("machines:\n  a:\n    mounts:\n    - {key}: {value}\n");
    let step = |key: &str, value: &Value| format!("machines: {{ a: }}\nsteps:\n- {key}: {value}\n");
    let check = |key: &str, value: &Value| format!("machines:\n  a:\n    healthcheck:\n      {key}: {value}\n");
    type File<'f> = &'f dyn Fn(&str, &Value) -> String;
    let shapes: [(&Value, File<'_>); 5] = [
        (&schema, &file),
        (&schema["$defs"]["Machine"], &machine),
        (&schema["$defs"]["Bind"], &mount),
        (&schema["$defs"]["Step"], &step),
        (&schema["$defs"]["Healthcheck"], &check),
    ];
    let mut count = 0;
    for (shape, text) in shapes {
        for (key, property) in shape["properties"].as_object().unwrap() {
            let text = text(key, &if key == "type" { json!("bind") } else { example(property) });
            let (line, column) = place(&text, &format!("{key}: "));
            let (uri, _) = editor.show(&text);
            let shown = editor.server.hover(&uri, line, column + 1);
            let plain = |text: &str| text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
            let description = property["description"].as_str().unwrap();
            assert!(plain(&shown).contains(&plain(description)), "{key}:\n{description}\nbut shown is\n{shown}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn the_keys_of_the_place_are_offered_and_no_others() {
    let mut editor = Editor::open();
    let offers = |offered: Vec<String>, ours: &str, not: &str| {
        for key in ours.split_whitespace() {
            assert!(offered.iter().any(|word| word == key), "`{key}` is not offered: {offered:?}");
        }
        for key in not.split_whitespace() {
            assert!(!offered.iter().any(|word| word == key), "`{key}` is offered: {offered:?}");
        }
    };
    let (file, machine) = ("name requires include env env_file steps finally volumes", "image cpus memory mounts");
    offers(editor.offered("machines: { a: }\n|\n"), file, "image run");
    offers(editor.offered("machines:\n  a:\n    user: x\n    |\n"), machine, "run steps user");
    let mount = |keys: &str| format!("machines:\n  a:\n    mounts:\n      - {keys}\n        |\n");
    offers(editor.offered(&mount("source: ./a")), "target readonly create owner guest_owner cache type", "size source");
    offers(editor.offered(&mount("type: tmpfs")), "target size create", "source readonly owner cache");
    offers(editor.offered(&mount("type: overlay")), "source target guest_owner create", "size readonly owner cache");
    offers(editor.offered(&mount("type: volume")), "source target readonly create", "size owner cache");
    let values = |key: &str| format!("machines:\n  a:\n    {key}: |\n");
    offers(editor.offered(&values("network")), "none nat", "");
    offers(editor.offered(&values("restart")), "\"no\" on-failure always", "");
    let entry = |list: &str| format!("machines: {{ a: }}\n{list}:\n  - run: make\n    |\n");
    let both = "id name machine shell env working_dir user outputs timeout continue_on_error if chown profiles";
    offers(editor.offered(&entry("steps")), &format!("{both} needs inputs retry"), "image");
    offers(editor.offered(&entry("finally")), both, "needs inputs retry");
}
