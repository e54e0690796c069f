//! `lock`, `update` and what is locked, with a real registry whose tags move.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Output;

use crate::registry::images::{LayoutImage, push, small_image, two_platforms};
use crate::registry::is_skipped;
use crate::registry::server::Registry;
use crate::support::{Case, machines};

/// A project in a folder of its own, and what the program says about it.
pub(crate) struct Project {
    pub(crate) case: Case,
}

impl Project {
    /// With this file.
    pub(crate) fn new(file: &str) -> Self {
        Self { case: Case::new().file("smolvm.yaml", file) }
    }

    /// A project with a machine an image.
    pub(crate) fn of_images(images: &[String]) -> Self {
        let mut file = "machines:\n".to_owned();
        for (number, image) in images.iter().enumerate() {
            file.push_str(&format!("  m{number}: {{ image: \"{image}\" }}\n"));
        }
        file.push_str("steps:\n");
        for number in 0..images.len() {
            file.push_str(&format!("  - {{ machine: m{number}, run: cat /etc/motd }}\n"));
        }
        Self::new(&file)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.case.project().join(name), content).unwrap();
    }

    pub(crate) fn lock(&self) -> String {
        fs::read_to_string(self.case.project().join("smolvm.lock")).unwrap_or_default()
    }

    /// Exit code, standard output, standard error.
    pub(crate) fn smolvm(&self, words: &str) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.case.command().args(words.split_whitespace()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// The same, where it must go well; standard output.
    #[track_caller]
    pub(crate) fn passes(&self, words: &str) -> String {
        let (code, stdout, stderr) = self.smolvm(words);
        assert_eq!(code, 0, "smolvm {words}\n{stdout}\n{stderr}");
        stdout
    }
}

fn short(image: &LayoutImage) -> String {
    image.manifest().0["sha256:".len()..][..12].to_owned()
}

#[test]
fn what_is_locked_stays_while_tags_move_until_it_is_updated() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    let (app, db) = (registry.image("app:1"), registry.image("team/db:2"));
    push(&two_platforms(), &registry, "app:1", &[]);
    push(&small_image(), &registry, "team/db:2", &[]);
    let project = Project::of_images(&[db.clone(), app.clone(), app.clone()]);
    let line = |image: &str, of: &LayoutImage| format!("{image} linux/amd64 {}", of.manifest().0);

    let told = project.passes("lock");
    assert_eq!(told, format!("{db}: {}\n{app}: {}\n", short(&small_image()), short(&two_platforms())));
    let written = project.lock();
    let lines: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["version 1", &line(&app, &two_platforms()), &line(&db, &small_image())]);
    project.passes("lock --check");
    project.passes("lock --check --remote");

    push(&small_image(), &registry, "app:1", &[]);
    assert_eq!((project.passes("lock"), project.lock()), (String::new(), written.clone()));
    project.passes("lock --check");
    let moved = format!("{app}: {} → {}\n", short(&two_platforms()), short(&small_image()));
    let (code, stdout, stderr) = project.smolvm("lock --check --remote");
    assert_eq!((code, &stdout), (78, &moved), "{stderr}");
    assert!(stderr.contains("help: `smolvm update` takes them into the lock file"), "{stderr}");
    assert_eq!(project.passes("update m0"), "", "the other one has not moved");
    assert_eq!(project.passes(&format!("update {app}")), moved);
    assert_eq!(project.lock(), written.replace(&two_platforms().manifest().0, &small_image().manifest().0));
    project.passes("lock --check --remote");
    assert!(project.passes("config --images").contains(&format!("{app}@{}", small_image().manifest().0)));
}

#[test]
fn lines_come_and_go_with_the_project_and_what_people_wrote_stays() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    push(&small_image(), &registry, "db:2", &[]);
    let (app, db) = (registry.image("app:1"), registry.image("db:2"));
    let digest = small_image().manifest().0;
    let project = Project::of_images(std::slice::from_ref(&app));
    let before = format!("# ours\r\nversion 1\r\n# of a machine\r\n{app} linux/amd64 {digest}\r\n");
    project.write("smolvm.lock", &before);
    project.passes("lock --check");
    let both = Project::of_images(&[app.clone(), db.clone()]).case;
    fs::copy(both.project().join("smolvm.yaml"), project.case.project().join("smolvm.yaml")).unwrap();
    let (code, _, stderr) = project.smolvm("lock --check");
    assert!(code == 78 && stderr.contains("SMOL0404") && stderr.contains("run `smolvm lock`"), "{code} {stderr}");
    assert_eq!(project.smolvm("check --locked").0, 78);
    project.passes("check");
    assert_eq!(project.passes("lock").lines().count(), 1);
    assert_eq!(project.lock(), format!("{before}{db} linux/amd64 {digest}\r\n"));

    let owner = fs::metadata(project.case.project()).unwrap();
    let own = fs::metadata(project.case.project().join("smolvm.lock")).unwrap();
    assert_eq!((own.uid(), own.gid()), (owner.uid(), owner.gid()));
    let one = Project::of_images(std::slice::from_ref(&db)).case;
    fs::copy(one.project().join("smolvm.yaml"), project.case.project().join("smolvm.yaml")).unwrap();
    let (code, _, stderr) = project.smolvm("lock --check");
    assert!(code == 78 && stderr.contains(&format!("no image of the project is `{app}`")), "{code} {stderr}");
    drop(registry);
    assert_eq!(project.passes("lock"), format!("{app}: no longer used\n"), "no registry is asked for that");
    assert_eq!(project.lock(), format!("# ours\r\nversion 1\r\n{db} linux/amd64 {digest}\r\n"));
}

#[test]
fn a_registry_that_does_not_answer_leaves_the_lock_file_as_it_is() {
    if is_skipped() {
        return;
    }
    let registry = Registry::start();
    push(&small_image(), &registry, "app:1", &[]);
    let (app, gone) = (registry.image("app:1"), registry.image("gone:1"));
    let project = Project::of_images(&[app.clone(), gone.clone()]);
    let (code, stdout, stderr) = project.smolvm("lock");
    assert!(code == 125 && stdout.is_empty() && stderr.contains("gone"), "{code} {stdout} {stderr}");
    assert_eq!(project.lock(), "");
    drop(registry);
    let (code, _, stderr) = project.smolvm("update m0");
    let address = app.split('/').next().unwrap();
    assert!(code == 125 && stderr.contains(address), "{code} {stderr}");
    assert_eq!(project.smolvm("update nothing-of-the-kind").0, 4);
}

#[test]
fn a_project_without_images_of_registries_has_no_lock_file() {
    let project = Project::new("machines:\n  build: { image: host }\nsteps:\n  - run: make\n");
    for words in ["lock", "lock --check", "update"] {
        assert_eq!(project.passes(words), "", "{words}");
    }
    assert!(!project.case.project().join("smolvm.lock").exists());
}

#[test]
fn what_is_locked_and_here_runs_when_the_registry_is_gone() {
    if is_skipped() {
        return;
    }
    let Some(_machines) = machines() else { return };
    let registry = Registry::start();
    push(&two_platforms(), &registry, "app:1", &[]);
    let app = registry.image("app:1");
    let cache = tempfile::tempdir().unwrap();
    let project = Project::of_images(std::slice::from_ref(&app));
    // The kernel is that of all tests; images have a place of their own.
    let kernels = crate::pull::shared_kernels(cache.path());
    let smolvm = |words: &str| {
        let mut command = project.case.command();
        command.env("XDG_CACHE_HOME", cache.path()).args(words.split_whitespace());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert!(kernels, "the cache of the user has kernels");
    assert_eq!(smolvm("up --locked").0, Some(78), "nothing is locked yet");
    assert_eq!(smolvm("lock").0, Some(0));
    let (code, _, stderr) = smolvm("pull --locked --progress plain");
    assert_eq!(code, Some(0), "{stderr}");
    // The tag moves, and then the registry goes.
    push(&small_image(), &registry, "app:1", &[]);
    drop(registry);
    let (code, stdout, stderr) = smolvm("up --locked --progress plain");
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("a small image"), "{stdout}\n{stderr}");
    let (code, _, stderr) = smolvm("check --locked");
    assert_eq!(code, Some(0), "{stderr}");
}
