//! Images through the command line, and what is known of those that are here, on real files of this computer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use smolvm::config::{FileRequest, LoadRequest, load};
use smolvm::diag::render_concise;
use smolvm::host::HostFiles;

use crate::support::Case;

const TWO: &str = "machines:
  db: { image: \"registry.test/db:16\", mounts: [./src:/data] }
  tool: { image: alpine }
  again: { image: alpine }
  here: {}
steps:
  - { machine: db, run: x }
  - { machine: tool, run: x }
  - { machine: again, run: x }
  - { machine: here, run: x }
";

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

#[test]
fn images_are_listed_once_and_sorted_whether_they_run_yet_or_not() {
    let case = |format: &[&str]| {
        let case = Case::new().file("smolvm.yaml", TWO).folder("src");
        let output = case.args(["config", "--images"]).args(format).run();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(case(&[]), "alpine\nhost\nregistry.test/db:16\n");
    assert_eq!(case(&["--format", "json"]), "[\"alpine\",\"host\",\"registry.test/db:16\"]\n");
}

#[test]
fn what_could_not_be_checked_is_said_last_and_fails_nothing() {
    let case = || Case::new().file("smolvm.yaml", TWO.replace("image: alpine", "image: host")).folder("src");
    let output = case().args(["check", "--format", "json"]).run();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = "what mounts of `db` hide in `registry.test/db:16`, and where its links lead: the image is not here";
    assert_eq!(told["unchecked"], serde_json::json!([text]));
    assert_eq!(told["errors"], 0);
    let output = case().args(["check"]).run();
    assert!(String::from_utf8_lossy(&output.stderr).ends_with(&format!("not checked: {text}\n")), "{output:?}");
    let here = case().file("smolvm.yaml", "machines: { a: { mounts: [./src:/code] } }\nsteps: [{ run: x }]\n");
    here.args(["check", "--format", "json"])
        .stdout("{\"version\":1,\"errors\":0,\"warnings\":0,\"notes\":0,\"diagnostics\":[]}\n")
        .exit(0);
}

#[test]
fn locked_asks_for_the_lock_file_and_one_that_cannot_be_read_is_an_error_without_it_too() {
    let lock = format!(
        "version 1\ndocker.io/library/alpine:latest linux/amd64 {}\nregistry.test/db:16 linux/amd64 {}\n",
        digest('a'),
        digest('b')
    );
    let code = |lock: Option<&str>, verb: &[&str]| {
        let case = Case::new().file("smolvm.yaml", TWO).folder("src");
        let case = match lock {
            Some(lock) => case.file("smolvm.lock", lock),
            None => case,
        };
        let output = case.args(verb).run();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), told.matches("[SMOL0404]").count())
    };
    assert_eq!(code(None, &["check"]), (Some(0), 0));
    assert_eq!(code(Some("version 1\n"), &["check"]), (Some(0), 0));
    assert_eq!(code(Some("version 2\n"), &["check"]), (Some(78), 1));
    assert_eq!(code(None, &["check", "--locked"]), (Some(78), 1));
    assert_eq!(code(Some(&lock), &["check", "--locked"]), (Some(0), 0));
    assert_eq!(code(Some("version 1\n"), &["check", "--locked"]), (Some(78), 2));
    assert_eq!(code(Some("version 1\n"), &["check", "--locked", "--fix"]), (Some(78), 2));
    assert_eq!(code(Some("version 1\n"), &["up", "--dry-run", "--locked"]), (Some(78), 2));
}

/// The remarks on a file in this folder, a line each.
fn check(folder: &Path, text: &str) -> Vec<String> {
    let path = folder.join("smolvm.yaml");
    fs::write(&path, text).unwrap();
    let files = vec![FileRequest::Path(path)];
    let request = LoadRequest { files, current_folder: folder.to_path_buf(), ..LoadRequest::default() };
    let loaded = load(request, &HostFiles::new());
    render_concise(&loaded.diagnostics, &loaded.sources, 0).lines().map(str::to_owned).collect()
}

#[test]
fn an_unpacked_image_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["src", "out", "root/usr/bin", "root/etc", "root/app", "root/opt/tool/lib/deep", "root/empty"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    symlink("usr/bin", at("root/bin")).unwrap();
    symlink("/opt", at("root/tools")).unwrap();
    fs::write(at("root/etc/passwd"), "app:x:1000:1000::/app:/bin/sh\n").unwrap();
    for name in ["lib/a", "lib/deep/b", "run"] {
        fs::write(at("root/opt/tool").join(name), "").unwrap();
    }
    let text = "machines: { a: { image: \"dir:./root\", mounts: [./src:/tools/tool, ./out:/app, ./src:/empty, \
        ./src:/bin/x, ./out:/usr/bin/x] } }\nsteps: [{ run: x }]\n";
    let told = check(folder.path(), text).join("\n");
    for expected in [
        "warning[SMOL0115]: the mount at `/tools/tool` (here `/opt/tool`) hides 3 files of the image of machine `a`",
        "warning[SMOL0104]: the target `/app` hides the home of `app`",
        "error[SMOL0101]: two mounts of machine `a` have the same place in it: `/bin/x` and `/usr/bin/x`",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(!told.contains("`/empty`"), "{told}");
}

/// Where a path leads in a folder that is a root, by the rules of a kernel: link by link, never out of the folder; and the
/// places that it goes through.
fn walk(root: &Path, path: &str, through: &mut Vec<String>) -> Option<String> {
    let mut done: Vec<String> = Vec::new();
    let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => drop(done.pop()),
            name => done.push(name.to_owned()),
        }
        let here: PathBuf = done.iter().fold(root.to_path_buf(), |at, name| at.join(name));
        if name != ".."
            && let Ok(target) = fs::read_link(&here)
        {
            links += 1;
            if links > 40 {
                return None;
            }
            let target = target.to_str().unwrap().to_owned();
            if target.starts_with('/') {
                done.clear();
            } else {
                drop(done.pop());
            }
            pending.extend(target.split('/').rev().map(str::to_owned));
        } else if !pending.is_empty() {
            through.push(format!("/{}", done.join("/")));
        }
    }
    Some(format!("/{}", done.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two targets are one place for the rules exactly where they are one place by hand.
    #[test]
    fn links_on_the_disk_lead_where_a_kernel_takes_them(
        farm in proptest::collection::btree_map("(/[abc]){1,3}", "/?([abc]|\\.\\.)(/([abc]|\\.\\.)){0,2}", 0..6),
        one in "(/[abc]){1,4}",
        other in "(/[abc]){1,4}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for name in ["src", "out", "root"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let is_below = |from: &str, above: &str| from.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
        let links: BTreeMap<&String, &String> =
            farm.iter().filter(|(from, _)| !farm.keys().any(|above| is_below(from, above))).collect();
        for (from, to) in links {
            let at = root.join(from.trim_start_matches('/'));
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(to, at).unwrap();
        }
        let by_hand = |path: &str| {
            let mut through = Vec::new();
            (walk(&root, path, &mut through).unwrap_or_else(|| path.to_owned()), through)
        };
        let ((first, on_first), (second, on_second)) = (by_hand(&one), by_hand(&other));
        // What lies in the other mount is led by that mount's own links, and a root can be no target.
        prop_assume!(first != "/" && second != "/");
        let is_apart = |a: &str, b: &str| !format!("{b}/").starts_with(&format!("{a}/"));
        prop_assume!(first == second || (is_apart(&first, &second) && is_apart(&second, &first)));
        let passes = |path: &str, through: &str| is_below(path, through);
        prop_assume!(!passes(&one, &second) && !passes(&other, &first));
        prop_assume!(!on_first.contains(&second) && !on_second.contains(&first));
        let text = format!(
            "machines: {{ a: {{ image: \"dir:./root\", mounts: [\"./src:{one}\", \"./out:{other}\"] }} }}\n\
             steps: [{{ run: x }}]\n"
        );
        let told = check(folder.path(), &text);
        let is_one = told.iter().any(|line| line.contains("SMOL0101"));
        prop_assert_eq!(is_one, first == second, "{} and {}: {:?}", first, second, told);
    }
}
