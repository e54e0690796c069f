//! `smolvm check --fix` through the command line: the file on the disk, standard input, what is said.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::support::Case;

/// Two mistakes that are mended, and a machine that is not declared.
const BAD: &str = "machines: # all\n  build: { memry: 512m }\nsteps:\n  - { machine: biuld, run: make }\n";

const MENDED: &str = "machines: # all\n  build: { memory: 512MiB }\nsteps:\n  - { machine: biuld, run: make }\n";

const LEFT: &str = ":4:16: error[SMOL0201]: step `step-1` runs in machine `biuld`, which is not declared\n";

fn fixed(name: &str) -> String {
    format!(
        "{name}:2:12: fixed[SMOL0003]: unknown key `memry` in a machine\n\
         {name}:2:19: fixed[SMOL0005]: `memory` is `512m`, which is not a size\n2 mistakes fixed\n"
    )
}

#[test]
fn the_file_is_mended_and_what_is_left_is_told() {
    let case = Case::new().file("smolvm.yaml", BAD).args(["check", "--fix", "--format", "concise"]);
    let path = case.project().join("smolvm.yaml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = case.run();
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(String::from_utf8_lossy(&output.stderr), fixed("smolvm.yaml"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("smolvm.yaml{LEFT}"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), MENDED);
    let before = std::fs::metadata(&path).unwrap();
    assert_eq!(before.mode() & 0o777, 0o600);
    // Once more changes nothing, not even the file's number.
    let output = case.run();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(78), 0));
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), before.ino());
}

#[test]
fn a_file_that_is_right_in_the_end_passes() {
    let text = BAD.replace("biuld", "build");
    Case::new()
        .file("smolvm.yaml", text)
        .args(["check", "--fix"])
        .stderr(&format!("{}smolvm.yaml: no mistakes\n", fixed("smolvm.yaml")))
        .exit(0);
}

#[test]
fn standard_input_is_printed_mended_or_not() {
    let case =
        |text: &str| Case::new().stdin(text).args(["-f", "-", "--project-directory", ".", "check", "--fix", "-q"]);
    case(&BAD.replace("biuld", "build")).stdout(&MENDED.replace("biuld", "build")).exit(0);
    let right = "machines: { a: }\nsteps: [{ run: make }]";
    case(right).stdout(right).exit(0);
    case(BAD)
        .args(["--format", "json"])
        .stderr(
            "error: `--fix` with `-f -` prints the file, and `--format` would print there too\nhelp: leave `--format` \
             out\n",
        )
        .exit(2);
}

#[test]
fn no_other_file_is_changed() {
    let case = Case::new().file("smolvm.yaml", BAD).file("other.yaml", BAD).file(".env", "A: 1\n");
    let output = case.args(["check", "--fix", "-f", "other.yaml"]);
    let folder = output.project();
    assert!(String::from_utf8_lossy(&output.run().stderr).starts_with(&fixed("other.yaml")));
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!((text("smolvm.yaml"), text("other.yaml"), text(".env")), (BAD.into(), MENDED.into(), "A: 1\n".into()));
}
