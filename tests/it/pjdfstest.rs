//! The suite of POSIX file system tests of the crate `pjdfstest`, run by root in a guest on a share.
//!
//! What differs from ext4 is listed in `pjdfstest.txt`, and nothing else may: a new failure and one that is gone both
//! end the test. On a plain file system of the same guest nothing fails. Deliberately not here: what the suite lacks,
//! such as locks, mappings and holes (`files`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use crate::support::machines;
use crate::world::{Who, World, as_everyone};

const VERSION: &str = "0.2.2";

/// Tests of a plain file system that are left out there too.
const SKIPPED: &[&str] = &["link::link_count_max"];

/// Builds the suite from the package registry, once.
fn suite() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pjdfstest-{VERSION}"));
    let program = root.join("bin/pjdfstest");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(["install", "pjdfstest", "--locked", "--version", VERSION, "--root"]).arg(&root);
        let built = command.arg("--target-dir").arg(root.join("target")).status().unwrap();
        assert!(built.success(), "pjdfstest {VERSION} cannot be fetched from the package registry and built");
    }
    program
}

/// A user of this computer, whose root file system is the guest's, with the name of its group.
fn user(name: &str) -> String {
    let field = |line: &str, index: usize| line.split(':').nth(index).unwrap_or_default().to_owned();
    let line_of = |file: &str, index: usize, value: &str| {
        let text = fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| field(line, index) == value).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{file} has no {value}"))
    };
    let group = line_of("/etc/group", 2, &field(&line_of("/etc/passwd", 0, name), 3));
    format!("[\"{name}\", \"{}\"]", field(&group, 0))
}

/// Remounting succeeds only in a process that has not used the file system otherwise, on ext4 too.
fn configuration(can_remount: bool) -> String {
    format!(
        "[features]\nposix_fallocate = {{}}\nrename_ctime = {{}}\nutime_now = {{}}\nutimensat = {{}}\n\
         [settings]\nnaptime = 0.01\nallow_remount = {can_remount}\n\
         [dummy_auth]\nentries = [{}, {}]\n",
        user("nobody"),
        user("daemon")
    )
}

/// Names of the list below this heading.
fn listed(heading: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_below = false;
    for line in include_str!("pjdfstest.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => is_below = name == heading,
            None if is_below => assert!(found.insert(line.to_owned()), "twice: {line}"),
            None => {}
        }
    }
    assert!(!found.is_empty(), "{heading}");
    found
}

/// Names of the tests with their results, of both runs of a step. Reasons stand below, indented.
fn results(told: &str) -> Vec<(&str, &str)> {
    told.lines()
        .filter(|line| !line.starts_with(['\t', ' ']))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, result)| (name, result.trim()))
        .filter(|(name, result)| name.contains("::") && ["ok", "FAILED", "skipped"].contains(result))
        .collect()
}

/// Asserts that exactly the expected tests of a step did not pass.
fn assert_only(told: &str, expected: &BTreeSet<String>, what: &str) {
    let results = results(told);
    let passed: BTreeSet<&str> = results.iter().filter(|(_, result)| *result == "ok").map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = results.iter().map(|(name, _)| *name).collect();
    assert!(all.len() > 390, "only {} tests ran: {told}", all.len());
    let differing: BTreeSet<String> = all.difference(&passed).map(|name| (*name).to_owned()).collect();
    let new: Vec<_> = differing.difference(expected).collect();
    let gone: Vec<_> = expected.difference(&differing).collect();
    assert!(new.is_empty() && gone.is_empty(), "{what}: new {new:#?}, gone {gone:#?}\n{told}");
}

#[test]
#[ignore = "slow: make test-all"]
fn only_listed_tests_of_posix_differ_from_a_disk() {
    let Some(_machines) = machines() else { return };
    let suite = suite();
    as_everyone(|who| {
        let world = World::new(who);
        for folder in ["project/suite", "project/invoker", "project/guest"] {
            world.make_folder(folder);
        }
        fs::copy(&suite, world.place("project/suite/pjdfstest")).unwrap();
        fs::set_permissions(world.place("project/suite/pjdfstest"), fs::Permissions::from_mode(0o755)).unwrap();
        world.write("project/suite/once.toml", &configuration(false));
        world.write("project/suite/remount.toml", &configuration(true));
        // Only root may give files to the ids that a guest asks for.
        let has_literal = geteuid().is_root() && who == Who::Ourselves;
        let literal = if has_literal { ", { source: ./guest, target: /guest, owner: guest }" } else { "" };
        let mut steps = "steps:\n".to_owned();
        for (id, folder) in [("disk", "/dev/shm"), ("invoker", "/invoker"), ("guest", "/guest")] {
            let other = if id == "disk" { "/invoker" } else { "/dev/shm" };
            let run = |config: &str, pattern: &str| {
                format!("/suite/pjdfstest -c /suite/{config}.toml -p {folder} -s {other} {pattern} || true")
            };
            if id != "guest" || has_literal {
                let (once, remount) = (run("once", ""), run("remount", "erofs"));
                steps.push_str(&format!("  - {{ id: {id}, run: \"cd /; {once}; {remount}\" }}\n"));
            }
        }
        let keys = format!(", mounts: [./suite:/suite:ro, ./invoker:/invoker{literal}]");
        world.project(&keys, &steps);
        let ran = world.up(&[]).finish().passed();
        let skipped: BTreeSet<String> = SKIPPED.iter().map(|name| (*name).to_owned()).collect();
        assert_only(&ran.stdout("disk"), &skipped, "a plain file system");
        let every = listed("every owner");
        let of_invoker: BTreeSet<String> = every.union(&listed("owner: invoker")).cloned().collect();
        assert_only(&ran.stdout("invoker"), &of_invoker, &format!("{who:?}"));
        if has_literal {
            assert_only(&ran.stdout("guest"), &every, "owner: guest");
        }
    });
}
