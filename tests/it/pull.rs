//! `pull`: what is said of images on their way, once they are here, and when they cannot be had.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lock::Project;
use crate::registry::images::{push, small_image, two_platforms};
use crate::registry::is_skipped;
use crate::registry::server::Registry;

/// Lets a cache have the kernels of the invoking user's; false where there are none.
pub(crate) fn shared_kernels(cache: &Path) -> bool {
    let home = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let Some(kernels) = home.map(|home| home.join("smolvm/kernels")).filter(|kernels| kernels.is_dir()) else {
        return false;
    };
    std::fs::create_dir_all(cache.join("smolvm")).unwrap();
    std::os::unix::fs::symlink(kernels, cache.join("smolvm/kernels")).is_ok()
}

/// Lines without the time of day that each begins with.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
}

#[test]
fn an_image_is_brought_once_and_then_it_is_here() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&two_platforms(), &registry, "app:1", &[]);
    push(&small_image(), &registry, "db:1", &[]);
    let (app, db) = (registry.image("app:1"), registry.image("db:1"));
    let project = Project::of_images(std::slice::from_ref(&app));
    let digest = &small_image().manifest().0["sha256:".len()..][..12];

    let (code, stdout, stderr) = project.smolvm("pull");
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    let told = lines(&stderr);
    assert_eq!(told.len(), 3, "a line a layer and one for the image: {stderr}");
    assert!(told[2].starts_with(&format!("{app}: pulled ")) && told[2].ends_with(&format!("({digest})")), "{stderr}");
    let again = lines(&project.smolvm("pull").2);
    assert_eq!(again, [format!("{app}: here already ({digest})")]);
    let asked = lines(&project.smolvm("pull --policy always").2);
    assert_eq!(asked, [format!("{app}: up to date ({digest})")]);
    // Another name of the same layers.
    let other = lines(&project.smolvm(&format!("pull {db}")).2);
    assert_eq!(other, [format!("{db}: here already ({digest})")], "nothing is fetched twice");
    assert_eq!(project.smolvm("pull -q").2, "");

    drop(registry);
    assert_eq!(lines(&project.smolvm("pull").2), again, "no registry is asked");
    let (code, _, stderr) = project.smolvm("pull --policy always");
    assert!(code == 125 && stderr.contains(app.split('/').next().unwrap()), "{code} {stderr}");
}

#[test]
fn programs_are_told_of_layers_and_images_as_events() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let app = registry.image("app:1");
    let project = Project::new("machines:\n  build: { image: host }\nsteps:\n  - run: make\n");
    let stdout = project.passes(&format!("--progress json pull --image {app}"));
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["v"] == 1 && event["t"].is_number() && event["image"] == app));
    let layers: std::collections::BTreeSet<&str> = events.iter().filter_map(|event| event["layer"].as_str()).collect();
    assert_eq!(layers.len(), 2, "{stdout}");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"pull-finished".into(), &"pulled".into()));
    assert_eq!(last["digest"], small_image().manifest().0);
    let whole = events.iter().rev().find(|event| event["event"] == "pull" && event["layer"].is_null()).unwrap();
    assert!(whole["done"] == whole["total"] && last["fetched"] == whole["total"], "{stdout}");
}

#[test]
fn what_is_not_here_is_said_of_all_images_at_once_without_network() {
    if is_skipped() {
        return;
    }
    let project = Project::of_images(&["registry.test/one:1".to_owned(), "registry.test/two:1".to_owned()]);
    let offline = |words: &str| {
        let mut command = project.case.command();
        let output = command.env("SMOLVM_OFFLINE", "1").args(words.split_whitespace()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for words in ["pull", "up"] {
        let (code, stderr) = offline(words);
        assert_eq!(code, Some(125), "{words}: {stderr}");
        for told in ["registry.test/one:1", "registry.test/two:1", "smolvm pull"] {
            assert!(stderr.contains(told), "{words}: {stderr}");
        }
    }
    let (code, stderr) = offline("lock");
    assert!(code == Some(125) && stderr.contains("SMOLVM_OFFLINE"), "{stderr}");
}

#[test]
fn an_image_that_is_here_is_known_to_the_rules() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let app = registry.image("app:1");
    let file = format!(
        "machines:\n  m: {{ image: \"{app}\", mounts: [\"./src:/data\", \"./src:/var/run/x\"] }}\n\
         steps:\n  - run: make\n"
    );
    let project = Project::new(&file);
    std::fs::create_dir(project.case.project().join("src")).unwrap();
    let before = project.smolvm("check").2;
    assert!(before.contains("not checked: what mounts of `m` hide in") && !before.contains("SMOL0115"), "{before}");
    assert!(!project.case.project().parent().unwrap().join("cache").exists(), "who only looks makes no folder");
    project.passes("pull");
    drop(registry);
    let (code, _, after) = project.smolvm("check");
    assert_eq!(code, 0, "{after}");
    assert!(after.contains("SMOL0115") && after.contains("`noise` cannot be seen"), "{after}");
    assert!(!after.contains("not checked"), "{after}");
}

#[test]
fn an_interrupted_pull_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (met, connected) = std::sync::mpsc::channel();
    // A registry that takes connections and never answers.
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
            let _ = met.send(());
        }
    });
    let project = Project::of_images(&[format!("{address}/app:1")]);
    let child = project.case.command().arg("pull").spawn().unwrap();
    connected.recv_timeout(Duration::from_secs(30)).unwrap();
    let began = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((output.status.code(), output.status.signal()), (Some(130), None));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted by SIGINT"));
}
