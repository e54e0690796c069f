//! Files of every kind, from their bytes to the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::MemoryFiles;
use super::super::model::{Command, Image, KernelSource, Needs, Project};
use super::super::text::FILE_MAX_BYTES;
use super::*;
use crate::diag::{Code, FileId, RenderOptions, Severity, render_concise, render_full, render_json};

/// Much of the language, for texts to be broken.
const WHOLE: &str = "\u{feff}name: acme # größe\r\nenv: { CI: \"${CI:-false}\" }\nx-rust: &rust\n  image: host\n  \
    cpus: 2\nmachines:\n  build:\n    <<: *rust\n    mounts:\n      - ./src:/code:ro\n      - { source: ./out, \
    target: /output, create: true, owner: invoker }\n  test: *rust\nsteps:\n  - id: compile\n    machine: build\n    \
    run: |\n      make\n    timeout: 10m\n    outputs: [/output/app]\n  - machine: test\n    needs: [compile]\n    \
    run: ['a', \"b\\n\"]\nfinally:\n  - { machine: test, run: dmesg }\n";

fn load_bytes(bytes: Vec<u8>, files: &MemoryFiles) -> Loaded {
    let request = LoadRequest {
        files: vec![FileRequest::Stdin { bytes, folder: PathBuf::from("/project") }],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    load(request, files)
}

fn project(text: &str) -> Project {
    let files = MemoryFiles::new().folder("/project/src").folder("/project/out").folder("/project/root");
    load_bytes(text.as_bytes().to_vec(), &files).project.expect("can be lowered")
}

#[test]
fn paths_become_absolute_against_the_folder_of_the_file_and_keep_parent_components() {
    let project = project(
        "machines:\n  a:\n    image: dir:root\n    kernel: ./boot/vmlinux\n    modules: ~/mods\n    mounts:\n      - ./src/.:/x/./y/\n      - ../other:/z\nsteps: []\n",
    );
    let machine = &project.machines[0];
    assert_eq!(machine.image.value, Image::Dir(PathBuf::from("/project/root")));
    assert_eq!(machine.kernel.value, KernelSource::Path(PathBuf::from("/project/boot/vmlinux")));
    assert_eq!(machine.modules.as_ref().map(|path| path.value.clone()), Some(PathBuf::from("/home/ada/mods")));
    assert_eq!(machine.mounts[0].source().unwrap().value, PathBuf::from("/project/src"));
    assert_eq!(machine.mounts[0].target.value.as_str(), "/x/y");
    assert_eq!(machine.mounts[1].source().unwrap().value, PathBuf::from("/project/../other"));
}

#[test]
fn steps_take_machine_shell_and_id_from_what_is_around_them() {
    let project = project(
        "machines: { only: { shell: [bash, -eu] } }\nsteps:\n  - run: one\n  - { run: two, shell: python3, needs: [step-1] }\n  - run: [three]\nfinally: [{ run: four }]\n",
    );
    let ids: Vec<&str> = project.steps.iter().chain(&project.finally).map(|step| step.id.value.as_str()).collect();
    assert_eq!(ids, ["step-1", "step-2", "step-3", "finally-1"]);
    assert!(project.steps.iter().all(|step| step.machine.value == "only"));
    let shell = |index: usize| match &project.steps[index].command.value {
        Command::Script { shell, .. } => shell.clone(),
        Command::List(list) => list.clone(),
    };
    assert_eq!(shell(0), ["bash", "-eu"]);
    assert_eq!(shell(1), ["python3"]);
    assert_eq!(shell(2), ["three"]);
    assert_eq!(project.steps[0].needs, Needs::Above);
    assert!(matches!(&project.steps[1].needs, Needs::Explicit(needs) if needs.len() == 1));
}

#[test]
fn scripts_have_line_feeds_whatever_the_file_has() {
    let project = project("machines: { a: }\r\nsteps:\r\n  - run: |\r\n      one\r\n      two\r\n");
    assert!(matches!(&project.steps[0].command.value, Command::Script { text, .. } if text == "one\ntwo\n"));
}

#[test]
fn null_in_env_passes_a_variable_on_where_it_is_set() {
    let files = MemoryFiles::new().variable("TERM", "xterm");
    let text = "env: { A: file, B: file, TERM: , NOT_SET: ~ }\nmachines: { m: { env: { B: machine, N: 1.10 } } }\n";
    let loaded = load_bytes(text.as_bytes().to_vec(), &files);
    let project = loaded.project.expect("can be lowered");
    let pairs =
        |env: &BTreeMap<String, String>| env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    assert_eq!(pairs(&project.env), ["A=file", "B=file", "TERM=xterm"]);
    assert_eq!(pairs(&project.machines[0].env), ["B=machine", "N=1.10"]);
}

#[test]
fn what_is_not_run_yet_warns_in_check_and_is_an_error_in_run() {
    let text = b"machines: { a: }\nsteps: [{ run: x, inputs: [a] }]\n".to_vec();
    for (mode, severity) in [(Mode::Check, Severity::Warning), (Mode::Run, Severity::Error)] {
        let request = LoadRequest {
            files: vec![FileRequest::Stdin { bytes: text.clone(), folder: PathBuf::from("/project") }],
            current_folder: PathBuf::from("/"),
            mode,
            ..LoadRequest::default()
        };
        let loaded = load(request, &MemoryFiles::new());
        let found = loaded.diagnostics.iter().find(|diagnostic| diagnostic.code == Code(11));
        assert_eq!(found.map(|diagnostic| diagnostic.severity), Some(severity));
    }
}

#[test]
fn missing_file_has_no_label_and_names_the_nearest_one() {
    let files = MemoryFiles::new().file("/project/smolvm.yaml", "x");
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    let loaded = load(request, &files);
    let text = render_concise(&loaded.diagnostics, &loaded.sources, 0);
    assert_eq!(text, "error[SMOL0010]: the file `smolvm.yml` does not exist\n");
    let help = loaded.diagnostics.iter().next().and_then(|diagnostic| diagnostic.help.clone());
    assert_eq!(help.as_deref(), Some("did you mean `smolvm.yaml`?"));
}

#[test]
fn files_over_the_limit_are_not_read() {
    let loaded = load_bytes(vec![b'#'; FILE_MAX_BYTES + 1], &MemoryFiles::new());
    assert_eq!(loaded.diagnostics.iter().map(|one| one.code.0).collect::<Vec<_>>(), [7]);
    let loaded =
        load_bytes([vec![b'#'; FILE_MAX_BYTES - 20], b"\nmachines: { a: }\n".to_vec()].concat(), &MemoryFiles::new());
    assert_eq!(loaded.diagnostics.iter().filter(|one| one.severity == Severity::Error).count(), 0);
}

#[test]
fn find_looks_upwards_and_prefers_the_long_ending() {
    let files = MemoryFiles::new().file("/a/smolvm.yml", "").file("/a/b/smolvm.yml", "").file("/a/smolvm.yaml", "");
    assert_eq!(find(Path::new("/a/b/c"), &files), Some(PathBuf::from("/a/b/smolvm.yml")));
    assert_eq!(find(Path::new("/a"), &files), Some(PathBuf::from("/a/smolvm.yaml")));
    assert_eq!(find(Path::new("/x"), &files), None);
    let files = files.link("/a/b/c/smolvm.yaml", "nowhere").folder("/a/b/d/smolvm.yaml");
    assert_eq!(find(Path::new("/a/b/c"), &files), Some(PathBuf::from("/a/b/c/smolvm.yaml")));
    assert_eq!(find(Path::new("/a/b/d"), &files), Some(PathBuf::from("/a/b/smolvm.yml")));
}

#[test]
fn name_comes_from_the_request_then_the_file_then_the_folder() {
    let request = |name: Option<&str>, text: &str, folder: &str| LoadRequest {
        files: vec![FileRequest::Stdin { bytes: text.as_bytes().to_vec(), folder: PathBuf::from(folder) }],
        current_folder: PathBuf::from("/"),
        mode: Mode::Run,
        name: name.map(str::to_owned),
        ..LoadRequest::default()
    };
    let name = |request| load(request, &MemoryFiles::new()).project.expect("lowered").name;
    let (named, bare) = ("name: own\nmachines: { a: }\n", "machines: { a: }\n");
    assert_eq!(name(request(Some("given"), named, "/My Dir")), "given");
    assert_eq!(name(request(None, named, "/My Dir")), "own");
    assert_eq!(name(request(None, bare, "/x/My Dir.2")), "mydir2");
    assert_eq!(name(request(None, bare, "/x/日本")), "project");
}

/// Everything that is done with a file, on bytes that may be anything.
fn check_any(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let length = bytes.len();
    let files = MemoryFiles::new().folder("/project/src").folder("/project/out");
    let loaded = load_bytes(bytes, &files);
    for diagnostic in loaded.diagnostics.iter() {
        let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span);
        for span in diagnostic.labels.iter().map(|label| label.span).chain(edits) {
            prop_assert!(span.start <= span.end && span.end <= length, "{diagnostic:?}");
        }
    }
    render_full(&loaded.diagnostics, &loaded.sources, &RenderOptions::default());
    render_full(&loaded.diagnostics, &loaded.sources, &RenderOptions { width: 1, ..RenderOptions::default() });
    render_json(&loaded.diagnostics, &loaded.sources, 0);
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check_any(bytes)?;
    }

    #[test]
    fn no_yaml_like_text_panics(text in "([a-c]|é|: |- |\\n|\\n  |\\r\\n|\\{|\\}|\\[|\\]|, |&a |\\*a|<<: |\"|'|\\||>|#|\t|!x |\\$\\{A|machines:|steps:|run: ){0,40}") {
        check_any(text.into_bytes())?;
    }

    #[test]
    fn no_broken_file_panics(edits in proptest::collection::vec((0usize..WHOLE.len(), 0usize..6, "[a-z:{}\\[\\]$&*\"' \n\r\té-]{0,3}"), 0..6)) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for (at, removed, added) in edits {
            let at = at.min(bytes.len());
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, added.into_bytes());
        }
        check_any(bytes)?;
    }
}

/// A project of several files in `/project`; the first of them is `smolvm.yaml`.
fn several(files: &[(&str, &str)], named: &[&str]) -> Loaded {
    let mut world = MemoryFiles::new().folder("/project/src").folder("/project/out");
    for (name, text) in files {
        world = world.file(Path::new("/project").join(name), *text);
    }
    let request = LoadRequest {
        files: named.iter().map(|name| FileRequest::Path(Path::new("/project").join(name))).collect(),
        current_folder: PathBuf::from("/project"),
        mode: Mode::Check,
        ..LoadRequest::default()
    };
    load(request, &world)
}

fn merged(files: &[(&str, &str)], named: &[&str]) -> Project {
    let loaded = several(files, named);
    assert!(!loaded.diagnostics.has_errors(), "{}", render_concise(&loaded.diagnostics, &loaded.sources, 0));
    loaded.project.expect("without mistakes")
}

#[test]
fn what_is_included_counts_before_its_file_and_that_before_the_next_one() {
    let env = |name: &str| format!("env: {{ LAST: {name}, {name}: set }}\n");
    let files = [
        ("smolvm.yaml", format!("include: [a.yaml, b.yaml]\n{}machines: {{ m: }}\n", env("MAIN"))),
        ("a.yaml", format!("include: [c.yaml]\n{}", env("A"))),
        ("b.yaml", format!("include: [c.yaml, a.yaml]\n{}", env("B"))),
        ("c.yaml", env("C")),
        ("d.yaml", env("D")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let loaded = several(&files, &["smolvm.yaml", "d.yaml"]);
    let project = loaded.project.expect("lowered");
    assert_eq!(project.env["LAST"], "D");
    assert_eq!(project.env.len(), 6);
    let name = |file: &FileId| loaded.sources.get(*file).name.clone();
    let order: Vec<String> = project.origins.files().iter().map(name).collect();
    assert_eq!(order, ["c.yaml", "a.yaml", "b.yaml", "smolvm.yaml", "d.yaml"]);
}

#[test]
fn maps_merge_and_steps_and_commands_are_replaced_as_a_whole() {
    let base = "name: base\nmachines:\n  m: { cpus: 1, memory: 2GiB, env: { A: 1, B: 1 } }\n  n: { hostname: kept }\n\
        steps: [{ machine: m, run: one }, { machine: m, run: two }]\nfinally: [{ machine: m, run: last }]\n";
    let main = "machines: { m: { cpus: 4, env: { B: 2 } }, n: }\nsteps: [{ machine: n, run: [three] }]\n";
    let project = merged(&[("smolvm.yaml", base), ("more.yaml", main)], &["smolvm.yaml", "more.yaml"]);
    let machine = &project.machines[0];
    assert_eq!((project.name.as_str(), machine.cpus.as_ref().map(|cpus| cpus.value)), ("base", Some(4)));
    assert_eq!((machine.memory_mib.value, machine.env["A"].as_str(), machine.env["B"].as_str()), (2048, "1", "2"));
    assert_eq!(project.machines[1].hostname.as_deref(), Some("kept"), "null adds nothing");
    assert_eq!((project.steps.len(), project.finally.len()), (1, 1));
    assert_eq!(machine.cpus.as_ref().map(|cpus| cpus.span.file), Some(FileId(1)));
}

#[test]
fn mounts_of_a_later_file_take_the_place_of_those_with_their_target() {
    let base = "machines: { m: { mounts: ['./src:/a:ro', './src:/b:ro', './src:/c:ro'] } }\nsteps: [{ run: x }]\n";
    let main = "machines:\n  m:\n    mounts:\n      - { type: tmpfs, target: '/${NAME:-b}/.' }\n      - ./out:/d\n";
    let project = merged(&[("smolvm.yaml", base), ("more.yaml", main)], &["smolvm.yaml", "more.yaml"]);
    let mounts: Vec<(&str, &str)> =
        project.machines[0].mounts.iter().map(|mount| (mount.target.value.as_str(), mount.kind_word())).collect();
    assert_eq!(mounts, [("/a", "bind"), ("/b", "tmpfs"), ("/c", "bind"), ("/d", "bind")]);
}

#[test]
fn the_name_of_an_included_file_is_not_the_projects() {
    let base = ("base.yaml", "name: base\n");
    let main = ("smolvm.yaml", "include: [base.yaml]\nmachines: { m: }\nsteps: [{ run: x }]\n");
    assert_eq!(merged(&[main, base], &["smolvm.yaml"]).name, "project");
    assert_eq!(merged(&[main, base], &["smolvm.yaml", "base.yaml"]).name, "project", "it was met before");
    let more = ("more.yaml", "name: more\n");
    assert_eq!(merged(&[main, base, more], &["smolvm.yaml", "more.yaml"]).name, "more");
}

#[test]
fn of_a_part_that_cannot_be_read_only_itself_is_told() {
    let main = "include: [broken.yaml]\nmachines: { m: { healthcheck: { interval: 1s } } }\n\
        steps: [{ machine: other, run: x, needs: [y], outputs: [/out] }, { machine: m, run: x, outputs: [/out] }]\n";
    let loaded = several(&[("smolvm.yaml", main), ("broken.yaml", "machines: {")], &["smolvm.yaml"]);
    let errors = loaded.diagnostics.iter().filter(|one| one.severity == Severity::Error);
    assert_eq!(errors.map(|one| one.code.0).collect::<Vec<_>>(), [1]);
    assert_eq!(loaded.read, 1);
}

#[test]
fn a_list_of_dependencies_says_nothing_of_each_and_a_map_of_another_file_may() {
    let machines = |depends_on: &str| format!("machines:\n  m: {{ depends_on: {depends_on} }}\n");
    let services = "  db: { command: [x] }\n  cache: { command: [x] }\nsteps: [{ machine: m, run: x }]\n";
    let conditions = |base: &str, more: &str| {
        let base = format!("{}{services}", machines(base));
        let project = merged(&[("smolvm.yaml", &base), ("more.yaml", &machines(more))], &["smolvm.yaml", "more.yaml"]);
        let one = |dependency: &crate::config::model::Dependency| {
            format!("{}:{}", dependency.machine.value, dependency.condition.is_some())
        };
        project.machines[0].depends_on.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(conditions("[db]", "[cache, db]"), ["db:false", "cache:false"]);
    assert_eq!(conditions("[db, cache]", "{ db: { condition: started } }"), ["db:true", "cache:false"]);
    assert_eq!(conditions("{ db: { condition: started } }", "[db, cache]"), ["db:true", "cache:false"]);
}

#[test]
fn a_word_for_the_network_replaces_a_map_and_maps_are_joined() {
    let network = |value: &str| format!("machines: {{ m: {{ network: {value} }} }}\nsteps: [{{ run: x }}]\n");
    let read = |base: &str, more: &str| {
        let (base, more) = (network(base), network(more));
        let project = merged(&[("smolvm.yaml", &base), ("more.yaml", &more)], &["smolvm.yaml", "more.yaml"]);
        format!("{:?}", project.machines[0].network)
    };
    let joined = read("{ mode: nat, allow: [10.0.0.0/8] }", "{ allow: [192.0.2.1] }");
    assert!(joined.contains("10.0.0.0") && joined.contains("192.0.2.1"), "{joined}");
    let replaced = read("{ mode: nat, allow: [10.0.0.0/8] }", "nat");
    assert!(!replaced.contains("10.0.0.0"), "{replaced}");
}

proptest! {
    #[test]
    fn no_two_broken_files_panic_and_every_place_is_in_its_own(edits in proptest::collection::vec((any::<bool>(), 0usize..WHOLE.len(), 0usize..6, "[a-z:{}\\[\\]$&*\"' \n\r\té-]{0,3}"), 0..8)) {
        let mut texts = [WHOLE.as_bytes().to_vec(), format!("{WHOLE}include: [more.yaml]\n").into_bytes()];
        for (is_first, at, removed, added) in edits {
            let bytes = &mut texts[usize::from(is_first)];
            let at = at.min(bytes.len());
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, added.into_bytes());
        }
        let [more, main] = texts;
        let files = MemoryFiles::new().folder("/project/src").file("/project/more.yaml", more);
        let files = files.file("/project/smolvm.yaml", main);
        let request = LoadRequest {
            files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
            current_folder: PathBuf::from("/project"),
            ..LoadRequest::default()
        };
        let loaded = load(request, &files);
        for diagnostic in loaded.diagnostics.iter() {
            let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span);
            for span in diagnostic.labels.iter().map(|label| label.span).chain(edits) {
                let length = loaded.sources.get(span.file).bytes.len();
                prop_assert!(span.start <= span.end && span.end <= length, "{diagnostic:?}");
            }
        }
        render_full(&loaded.diagnostics, &loaded.sources, &RenderOptions::default());
    }
}
