//! The command line itself: verbs that need no project, mistakes in words, settings, where no file is found.

use crate::support::Case;

#[test]
fn version_says_name_and_number() {
    Case::new().args(["version"]).stdout("smolvm [VERSION]\n").exit(0);
    Case::new().args(["--version"]).stdout("smolvm [VERSION]\n").exit(0);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    Case::new()
        .args(["check", "--formt", "json"])
        .stderr(
            "error: unexpected argument '--formt' found\n\n  tip: a similar argument exists: '--format'\n\n\
             Usage: smolvm check --format <FORM>\n\nFor more information, try '--help'.\n",
        )
        .exit(2);
}

#[test]
fn an_unknown_verb_is_a_usage_error() {
    Case::new()
        .args(["dctor"])
        .stderr(
            "error: unrecognized subcommand 'dctor'\n\n  tip: a similar subcommand exists: 'doctor'\n\n\
             Usage: smolvm [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.\n",
        )
        .exit(2);
}

/// A number that is none of this option: what is allowed is said, and nothing about options that are not known.
#[test]
fn a_number_that_an_option_does_not_take_is_a_usage_error() {
    let seconds = "write whole seconds from 0 to 4294967295, as `10`";
    let lines = "write how many lines, as `20`, or `all`";
    let one = "write a whole number from 1 to 4294967295";
    let count = "write a whole number, as `10`, or 0 for all";
    let port = "a port is a number from 1 to 65535, as `80` or `80/tcp`";
    let cases: [(&[&str], &str, &str); 8] = [
        (&["stop", "-t"], "--timeout <SECONDS>", seconds),
        (&["restart", "-t"], "--timeout <SECONDS>", seconds),
        (&["logs", "-n"], "--tail <N>", lines),
        (&["up", "--parallel"], "--parallel <N>", one),
        (&["run", "--image", "host", "--cpus"], "--cpus <N>", one),
        (&["check", "--max-diagnostics"], "--max-diagnostics <N>", count),
        (&["pull", "--max-diagnostics"], "--max-diagnostics <N>", count),
        (&["port", "box"], "[PORT]", port),
    ];
    for (words, option, help) in cases {
        for value in ["-1", "+5", "99999999999999999999999", "", "1.5"] {
            let stderr = format!(
                "error: invalid value '{value}' for '{option}': {help}\n\nFor more information, try '--help'.\n"
            );
            Case::new().args(words.iter().copied().chain([value])).stderr(&stderr).exit(2);
        }
    }
    Case::new()
        .args(["kill", "-s", "-9"])
        .stderr("error: `-9` is no signal\nhelp: write its name or number, as `HUP`, `SIGUSR1` or `10`\n")
        .exit(2);
}

#[test]
fn without_a_file_the_place_and_the_way_out_are_named() {
    for verb in ["check", "plan", "up"] {
        Case::new()
            .args([verb])
            .stderr(
                "error: there is no `smolvm.yaml` in `[PROJECT]` or above it\n\
                 help: `smolvm init` writes one, `-f FILE` names another\n",
            )
            .exit(78);
    }
}

#[test]
fn json_progress_ends_with_the_run_also_where_no_file_is_found() {
    Case::new()
        .args(["up", "--progress", "json"])
        .stdout(
            "{\"v\":1,\"t\":0.0,\"event\":\"run-finished\",\"status\":\"invalid\",\"exit_code\":78,\
             \"cause\":\"there is no `smolvm.yaml` in `[PROJECT]` or above it\",\"seconds\":0.0,\
             \"passed\":0,\"failed\":0,\"skipped\":0,\"cached\":0}\n",
        )
        .stderr(
            "error: there is no `smolvm.yaml` in `[PROJECT]` or above it\n\
             help: `smolvm init` writes one, `-f FILE` names another\n",
        )
        .exit(78);
}

#[test]
fn standard_input_needs_a_folder() {
    Case::new()
        .args(["check", "-f", "-"])
        .stderr("error: `-f -` needs `--project-directory`\nhelp: say where relative paths of the file start\n")
        .exit(2);
}

#[test]
fn a_folder_of_the_project_goes_with_standard_input_and_must_be_there() {
    Case::new()
        .file("smolvm.yaml", "machines: { a: }\n")
        .args(["check", "-f", "smolvm.yaml", "--project-directory", "."])
        .stderr(
            "error: `--project-directory` goes with `-f -` only: paths of a file start at the folder that holds it\n",
        )
        .exit(2);
    for file in [&["-f", "-"] as &[&str], &[]] {
        Case::new()
            .file("smolvm.yaml", "machines: { a: }\n")
            .args(["check", "--project-directory", "nowhere"])
            .args(file.iter().copied())
            .stderr("error: `--project-directory nowhere` is not a folder\n")
            .exit(2);
    }
}

#[test]
fn a_name_that_no_project_can_have_is_a_usage_error() {
    let stderr = "error: `../acme` cannot be the name of a project\n\
                  help: write lower-case letters, digits, `-` and `_`, as `-p my-project`\n";
    let case = || Case::new().file("smolvm.yaml", "machines: { a: }\n").stderr(stderr);
    case().args(["-p", "../acme", "check"]).exit(2);
    case().env("SMOLVM_PROJECT_NAME", "../acme").args(["plan"]).exit(2);
}

#[test]
fn a_variable_with_an_unknown_value_is_a_usage_error() {
    Case::new()
        .env("SMOLVM_PROGRESS", "loud")
        .args(["version"])
        .stderr(
            "error: variable `SMOLVM_PROGRESS` is `loud`, which is none of `auto`, `tty`, `plain`, `json`, `quiet`\n",
        )
        .exit(2);
}

#[test]
fn unknown_variables_are_ignored() {
    Case::new().env("SMOLVM_UNHEARD_OF", "1").args(["version"]).stdout("smolvm [VERSION]\n").exit(0);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let mut child = Case::new().args(["schema"]).command().spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let case = Case::new().args(["schema"]);
    let output = case.command().stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(stderr, "error: cannot write to standard output\n  caused by: No space left on device (os error 28)\n");
}
