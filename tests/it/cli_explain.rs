//! `smolvm explain`: one rule, the list, the forms for programs, and codes that are none.

use crate::support::Case;

const TEXT: &str = "SMOL0505: a step runs nothing
error

`run` is an empty text, an empty list, or a list whose first word, the program, is empty.

Why
A step that does nothing always succeeds, and looks as if it had checked something.

Wrong
    machines: { build: }
    steps:
      - run: \"\"

Right
    machines: { build: }
    steps:
      - run: make
";

#[test]
fn a_rule_is_explained_however_its_code_is_typed() {
    for code in ["SMOL0505", "smol0505", "0505", "505"] {
        Case::new().args(["explain", code]).stdout(TEXT).exit(0);
    }
    let output = Case::new().args(["explain", "102", "--color", "always"]).run();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\x1b[1mWhy\x1b[0m"));
}

#[test]
fn the_list_has_a_line_a_rule() {
    let output = Case::new().args(["explain", "--list"]).run();
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().count(), smolvm::diag::Rule::all().len());
    assert!(list.contains("\nSMOL0101  error    two mounts of a machine are at the same place\n"), "{list}");
    assert!(list.contains("\nSMOL0114  note     a mount takes the place of `/workspace`\n"), "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
}

#[test]
fn programs_get_an_object() {
    let object = |args: &[&str]| {
        let output = Case::new().args(["explain", "--format", "json"]).args(args.iter().copied()).run();
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let rule = object(&["SMOL0102"]);
    assert_eq!((&rule["version"], &rule["code"], &rule["level"]), (&1.into(), &"SMOL0102".into(), &"error".into()));
    assert_eq!(rule["title"], "a target is not an absolute path");
    assert!(rule["markdown"].as_str().unwrap().contains("\n## Wrong\n```yaml\n"));
    let list = object(&["--list"]);
    let codes = list["rules"].as_array().unwrap().iter().map(|rule| rule["code"].as_str().unwrap());
    assert!(codes.clone().any(|code| code == "SMOL0102") && codes.is_sorted());
}

#[test]
fn a_code_that_is_none_is_answered_with_the_nearest() {
    Case::new()
        .args(["explain", "SMOL1102"])
        .stderr(
            "error: `SMOL1102` is not the code of a rule\nhelp: did you mean `SMOL0102`: a target is not an absolute \
             path?\nhelp: `smolvm explain --list` lists all rules\n",
        )
        .exit(2);
    Case::new()
        .args(["explain", "mounts"])
        .stderr("error: `mounts` is not the code of a rule\nhelp: `smolvm explain --list` lists all rules\n")
        .exit(2);
    assert_eq!(Case::new().args(["explain"]).run().status.code(), Some(2));
    assert_eq!(Case::new().args(["explain", "--list", "101"]).run().status.code(), Some(2));
}
