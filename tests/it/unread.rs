//! Machines whose project's file can no longer be understood, or is gone with its folder: they are listed, reached and ended.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::running::signal;
use crate::support::machines;
use crate::world::{Who, World};

/// A machine with a port of this computer that nobody has.
fn file() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("name: acme\nmachines: {{ one: {{ memory: 256MiB, workspace: false, ports: [\"{port}:7\"] }} }}\n")
}

/// Exit code, standard output and standard error of the program in a folder.
fn told(world: &World, folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = world.command(args).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn listed(world: &World, folder: &Path) -> Vec<(String, String)> {
    let (code, text, errors) = told(world, folder, &["ls", "--format", "json"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    report["projects"].as_array().unwrap().iter().map(|entry| (word(entry, "name"), word(entry, "folder"))).collect()
}

#[test]
fn machines_of_a_project_whose_file_is_gone_are_listed_reached_and_ended() {
    let Some(_machines) = machines() else { return };
    let world = World::new(Who::Ordinary);
    let file = file();
    world.write("project/smolvm.yaml", &file);
    world.make_folder("project/below");
    let (project, elsewhere) = (world.place("project"), world.place("home"));
    assert!(listed(&world, &elsewhere).is_empty());
    let up = told(&world, &project, &["up", "-d", "--accel", "tcg"]);
    assert_eq!(up.0, Some(0), "{}", up.2);
    let folder = project.canonicalize().unwrap().display().to_string();
    assert_eq!(listed(&world, &elsewhere), [("acme".to_owned(), folder.clone())]);

    let (code, checked, said) = told(&world, &project, &["check"]);
    assert!(code == Some(0) && !checked.contains("SMOL0702"), "the port is its own: {checked}{said}");

    // A process that was stopped does not keep others waiting for ever.
    let text = told(&world, &elsewhere, &["ls", "--format", "json"]).1;
    let report: Value = serde_json::from_str(&text).unwrap();
    let pid = u32::try_from(report["projects"][0]["pid"].as_u64().unwrap()).unwrap();
    signal(pid, Signal::STOP);
    let (code, _, said) = told(&world, &project, &["exec", "-T", "one", "true"]);
    signal(pid, Signal::CONT);
    assert!(
        code == Some(125) && said.contains(&format!("process {pid}, which holds the machines, does not answer")),
        "{said}"
    );

    // A file with a slip: what runs is looked at all the same, and the slip is not passed over.
    world.write("project/smolvm.yaml", "name: acme\nmachines: { one: [\n");
    let (code, shown, said) = told(&world, &project, &["ps"]);
    assert!(code == Some(0) && shown.lines().any(|line| line.starts_with("one ")), "{shown}{said}");
    assert_eq!(
        said,
        "note: the project's file cannot be understood; project `acme` is known by its machines that are up\n"
    );
    assert_eq!(told(&world, &project, &["exec", "-T", "one", "echo", "there"]).1, "there\n");
    assert_eq!(told(&world, &project, &["up"]).0, Some(78), "it is not run");
    // Another project's file is not this one's.
    assert_eq!(told(&world, &project, &["-p", "other", "ps"]).0, Some(78));

    fs::remove_file(world.place("project/smolvm.yaml")).unwrap();
    assert_eq!(told(&world, &world.place("project/below"), &["ps", "-q"]).1, "one\n");
    assert_eq!(told(&world, &elsewhere, &["ps"]).0, Some(78), "a name must be given");
    assert_eq!(told(&world, &elsewhere, &["-p", "acme", "ps", "-q"]).1, "one\n");

    // Its folder is somewhere else, and where it was is another project of the same name.
    let moved = world.place("moved");
    fs::rename(&project, &moved).unwrap();
    assert_eq!(listed(&world, &moved), [("acme".to_owned(), folder)]);
    let table = told(&world, &moved, &["ls"]).1;
    assert!(table.lines().nth(1).is_some_and(|line| line.ends_with(" (gone)")), "{table}");
    world.write("moved/smolvm.yaml", &file);
    assert!(told(&world, &moved, &["down"]).2.contains("no machine of project `acme` is up"));
    assert_eq!(listed(&world, &moved).len(), 1);
    let (code, _, said) = told(&world, &moved, &["-p", "acme", "down"]);
    assert!(code == Some(0) && said.contains("its folder or file is gone"), "{said}");
    assert!(listed(&world, &moved).is_empty());
    fs::rename(&moved, &project).unwrap();
    world.assert_nothing_stays();
}
