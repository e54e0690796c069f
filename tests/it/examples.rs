//! The demonstration, the run that the README shows, and every folder of `examples/`, in real machines.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use crate::docs::{blocks, marked, text};
use crate::support::{Case, machines, redact, repository};

fn up(case: Case) -> (Case, Output) {
    let case = case.with_shared_cache().args(["up", "--progress", "plain"]);
    let output = case.run();
    (case, output)
}

#[track_caller]
fn passed(output: &Output) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", shown(&output.stdout), shown(&output.stderr));
}

fn example(name: &str) -> Case {
    Case::new().copy(&repository().join("examples").join(name))
}

fn read(case: &Case, name: &str) -> String {
    let path = case.project().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn is_ours(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{}", path.display());
}

#[test]
fn the_demonstration_compiles_tests_and_reports() {
    let Some(_machines) = machines() else { return };
    let root = repository().join("smolvm.yaml");
    let case = Case::new().file("smolvm.yaml", std::fs::read(root).unwrap()).folder("examples");
    let hello = case.project().join("examples/hello-c");
    let (case, output) = up(case.copy_to(&repository().join("examples/hello-c"), "examples/hello-c"));
    passed(&output);
    assert!(hello.join("main.c").is_file());
    for name in ["out", "out/bin", "out/bin/hello", "out/reports/unit.tap", "out/report.txt"] {
        is_ours(&case.project().join(name));
    }
    let report = read(&case, "out/report.txt");
    assert!(report.contains("tests:    4 passed\n"), "{report}");
    assert!(report.lines().any(|line| line.ends_with("  bin/hello")), "{report}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let order: Vec<usize> = ["compile", "unit", "report"]
        .map(|step| stderr.find(&format!("step {step}: passed")).unwrap_or_else(|| panic!("{step}: {stderr}")))
        .to_vec();
    assert!(order.is_sorted(), "{stderr}");
}

#[test]
fn the_readme_shows_a_run_as_it_is() {
    let Some(_machines) = machines() else { return };
    let readme = text("README.md");
    let case = Case::new()
        .file("smolvm.yaml", blocks(&readme, "yaml").remove(0))
        .file("src/main.c", "#include <stdio.h>\nint main(void) { puts(\"acme 1.0\"); return 0; }\n")
        .with_shared_cache()
        .args(["up", "--accel", "tcg"]);
    let path = case.project().join("transcript");
    let both = std::fs::File::create(&path).unwrap();
    let status = case.command().stdout(both.try_clone().unwrap()).stderr(both).status().unwrap();
    // The line on the engine says what this host is; the README says another's.
    let shown = |text: &str| -> Vec<String> {
        let text = redact(text, &case.project());
        text.lines().filter(|line| !line.starts_with("engine: ")).map(str::to_owned).collect()
    };
    assert_eq!(shown(&std::fs::read_to_string(path).unwrap()), shown(&marked(&readme, "up")));
    assert!(status.success());
}

#[test]
fn readonly() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("readonly"));
    passed(&output);
    let poem = std::fs::read_to_string(repository().join("examples/readonly/data/poem.txt")).unwrap();
    assert_eq!(read(&case, "data/poem.txt"), poem);
    assert_eq!(read(&case, "out/copy.txt"), poem);
    assert!(!case.project().join("data/new.txt").exists());
}

#[test]
fn ordered_steps() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("ordered-steps"));
    passed(&output);
    assert_eq!(read(&case, "out/whole"), "one\ntwo\nthree\nfour\n");
    assert_eq!(read(&case, "out/end"), "finished\n");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("step lint: failed with exit code 1 (allowed)"), "{stderr}");
}

#[test]
fn non_root_user() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("non-root-user"));
    passed(&output);
    assert_eq!(read(&case, "out/root.txt"), "root\nmore\n");
    for name in ["out/root.txt", "out/user.txt"] {
        is_ours(&case.project().join(name));
    }
}

#[test]
fn overlay() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("overlay"));
    passed(&output);
    assert_eq!(read(&case, "out/result.txt"), "/vendor/library/number.txt\ntwo\n");
    assert_eq!((read(&case, "vendor/lib/number.txt"), read(&case, "vendor/old.txt")), ("one\n".into(), "old\n".into()));
    is_ours(&case.project().join("out/result.txt"));
}

#[test]
fn single_file() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("single-file"));
    passed(&output);
    assert_eq!(read(&case, "results.txt"), "level is debug\n");
    assert_eq!(read(&case, "ci/tool.conf"), "level=debug\n");
}

#[test]
fn matrix() {
    let Some(_machines) = machines() else { return };
    let (case, output) = up(example("matrix"));
    passed(&output);
    for name in ["out/1", "out/1/numbers.gz", "out/9", "out/9/numbers.gz", "out/report.txt"] {
        is_ours(&case.project().join(name));
    }
    let report = read(&case, "out/report.txt");
    let sizes: Vec<u64> = report.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    assert!(matches!(sizes[..], [one, nine, both] if one != nine && both == one + nine), "{report}");
}

#[test]
fn every_example_has_a_test() {
    let tests = ["examples", "real_use"]
        .map(|name| std::fs::read_to_string(repository().join(format!("tests/it/{name}.rs"))).unwrap())
        .concat();
    for entry in std::fs::read_dir(repository().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The library's is a part of `tests/library`.
        let is_run = name == "library" || tests.contains(&format!("{name}\")"));
        assert!(is_run, "examples/{name} is run by no test");
    }
}
